"""The page of one explanation."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from deap_xai.archive import FrontPoint
from deap_xai.pages.charts import convergence_chart, front_chart, importance_colours
from deap_xai.pages.command import command_line
from deap_xai.pages.honesty import model_rows, sentences
from deap_xai.pages.pictures import LONGEST, data_uri, label_runs
from deap_xai.pages.rendering import render
from deap_xai.plotting import FAINT, fit_labels, importance_limit, kept_picture
from deap_xai.views import reduce_image
from deap_xai.wording import known

if TYPE_CHECKING:
    from deap_xai.certificates import Consensus
    from deap_xai.explanation import Explanation

__all__ = ["explanation_page"]


def explanation_page(
    explanation: Explanation, image: str = "", consensus: Consensus | None = None
) -> str:
    """One HTML page with everything in it: pictures, charts, style and script.

    Parameters
    ----------
    explanation
        What is shown.
    image
        The image's file name, or nothing.
    consensus
        What several seeds agree on, or None.

    Returns
    -------
    HTML, some hundred kilobytes.
    """
    points = shown_points(explanation)
    picked = next(i for i, p in enumerate(points) if (p.mask == explanation.mask).all())
    colours, scale = importance_colours(explanation.attribution)
    chart, places = front_chart(
        explanation.front, points, explanation.probability_full, explanation.probability_empty
    )
    small = reduce_image(explanation.view, LONGEST)
    labels = fit_labels(explanation.segments, small.shape[:2])
    facts = {
        "height": labels.shape[0],
        "width": labels.shape[1],
        "runs": label_runs(labels),
        "points": [_point(explanation, point) for point in points],
        "picked": picked,
        "places": places,
        "colours": colours,
        "target": explanation.target_name,
        "superpixels": _superpixels(explanation, points, consensus),
    }
    return render(
        "report",
        e=explanation,
        image=os.path.basename(image),  # noqa: PTH119  # of any text, also one that is no path here
        facts=facts,
        view=data_uri(small),
        kept=data_uri(kept_picture(small, labels, explanation.mask)),
        scale=scale,
        limit=importance_limit(explanation.attribution),
        faint=FAINT,
        front_chart=chart,
        convergence_chart=convergence_chart(explanation.history, explanation.probability_full),
        rows=model_rows(explanation),
        sentences=sentences(explanation, consensus),
        command=command_line(explanation, image, consensus and len(consensus.explanations)),
        settings=_settings(explanation),
    )


def shown_points(explanation: Explanation) -> list[FrontPoint]:
    """The front, from small to large, and the explanation's own mask where it isn't on it.

    That happens when a check, asked after the picking, came upon a better mask.
    """
    points = explanation.front
    if not any((point.mask == explanation.mask).all() for point in points):
        points = [*points, FrontPoint(explanation.mask, explanation.probability)]
    return sorted(points, key=lambda point: point.size)


def _point(explanation: Explanation, point: FrontPoint) -> dict[str, Any]:
    # The front's numbers are the own model's, so this one is.
    archive = explanation.reference or explanation.archive
    (asked,) = archive.known(~point.mask[None])
    rest = explanation.probability_rest if (point.mask == explanation.mask).all() else np.nan
    return {
        "mask": "".join("01"[kept] for kept in point.mask.astype(int)),
        "size": point.size,
        "probability": point.probability,
        "rest": known(rest if np.isnan(asked) else asked),
    }


def _superpixels(
    explanation: Explanation, points: list[FrontPoint], consensus: Consensus | None
) -> list[dict[str, Any]]:
    """For each superpixel: its importance, its rank in it, how often it was kept."""
    importance = explanation.attribution
    ranks = np.argsort(np.argsort(-importance, kind="stable"), kind="stable") + 1
    kept = np.sum([point.mask for point in points], axis=0)
    runs = 0 if consensus is None else len(consensus.explanations)
    seeds = [None] * len(kept) if consensus is None else np.rint(consensus.kept * runs).astype(int)
    return [
        {
            "label": label,
            "importance": float(importance[label]),
            "rank": int(ranks[label]),
            "kept": int(kept[label]),
            "seeds": None if seeds[label] is None else f"{seeds[label]} of {runs}",
        }
        for label in range(len(kept))
    ]


def _settings(explanation: Explanation) -> list[tuple[str, str]]:
    """Every setting as a pair of name and text, flat."""
    found = []
    for name, value in {**explanation.settings, "seed": explanation.seed}.items():
        if isinstance(value, dict):
            found += [(f"{name}: {key}", str(one)) for key, one in value.items()]
        elif isinstance(value, (list, tuple)):
            found += [(name.replace("_", " "), ", ".join(map(str, value)))] if value else []
        elif value is not None:
            found.append((name.replace("_", " "), str(value)))
    return found
