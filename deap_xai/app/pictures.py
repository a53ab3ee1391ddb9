"""What the live page draws and says."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image
from skimage.segmentation import find_boundaries

from deap_xai.app.search import Snapshot
from deap_xai.app.trial import Answer, Trial
from deap_xai.archive import FrontPoint
from deap_xai.checks import PICK
from deap_xai.explanation import Explanation
from deap_xai.plotting import EDGE, draw_front, kept_picture
from deap_xai.typing import Mask, Segments, View
from deap_xai.wording import decimal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "board",
    "enlarged",
    "enlargement",
    "found",
    "front_figure",
    "problem",
    "running",
    "tried",
]

SIDE = 600
"""About how many pixels the board's longer side has."""


def enlargement(view: View) -> int:
    """How many pixels of the board a pixel of the view takes, across and down."""
    return max(1, round(SIDE / max(view.shape[:2])))


def enlarged(view: View) -> View:
    """The view as large as the board shows it."""
    height, width = view.shape[:2]
    factor = enlargement(view)
    return np.asarray(PIL.Image.fromarray(view).resize((width * factor, height * factor)))


def board(view: View, segments: Segments, mask: Mask) -> View:
    """The view, enlarged: hidden pieces faded, thin lines between all, a bold one around the kept.

    >>> view, segments = np.zeros((4, 8, 3), np.uint8), np.repeat([[0, 0, 0, 0, 1, 1, 1, 1]], 4, 0)
    >>> board(view, segments, np.array([True, False])).shape
    (300, 600, 3)
    """
    factor = enlargement(view)
    labels = segments.repeat(factor, axis=0).repeat(factor, axis=1)
    picture = kept_picture(enlarged(view), labels, mask).astype(float)
    lines = find_boundaries(labels, mode="inner")
    picture[lines] = 0.55 * picture[lines] + 0.45 * 128  # seen on light and on dark alike
    picture[find_boundaries(mask[labels], mode="thick")] = EDGE
    return picture.astype(np.uint8)


def front_figure(
    points: Sequence[FrontPoint], n_segments: int, shown: int, full: float, empty: float = np.nan
) -> Figure:
    """The front as a figure of its own, which no other thread draws on."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = draw_front(figure.subplots(), points, n_segments, shown, full, empty)
    axes.set_xlabel("pieces kept", fontsize=9)
    return figure


def running(snapshot: Snapshot) -> str:
    """How far a search is and what it has, as HTML."""
    s = snapshot
    of, bar = "", ""
    if s.total:
        done = f"{min(1, s.calls / s.total):.0%}"
        of, bar = f" of {s.total}", f'<div class="bar"><div style="width: {done}"></div></div>'
    return (
        f"<p>Searching: asked the classifier {s.calls}{of} times.</p>{bar}"
        f"<p>Best so far: {s.shown.size} of {len(s.shown.mask)} pieces give "
        f"<b>{s.shown.probability:.3f}</b>; the whole picture gives {s.full:.3f}.</p>"
    )


def found(explanation: Explanation) -> str:
    """What an explanation says, as HTML."""
    e = explanation
    facts = [
        ("the whole picture", e.probability_full),
        (f"the {e.size} of {e.n_segments} pieces found", e.probability),
        ("all other pieces", e.probability_rest),
        ("nothing at all", e.probability_empty),
    ]
    rows = "".join(f"<tr><th>{name}</th><td>{decimal(value)}</td></tr>" for name, value in facts)
    # The page offers no other pick; its curve has the best mask of every size.
    told = (text.partition(PICK)[0].replace("superpixels", "pieces") for text in e.warnings)
    notes = "".join(f'<p class="note">{html.escape(text)}</p>' for text in told)
    return (
        f"<p>How sure the classifier is of <b>{html.escape(e.target_name)}</b>, from 0 to 1, when "
        f"it sees</p><table>{rows}</table>{notes}"
        f"<p>It was asked {e.model_calls} times, in {e.seconds:.1f} s.</p>"
    )


def tried(trial: Trial, answer: Answer) -> str:
    """What the model says of the pieces shown, as HTML."""
    e, best = trial.explanation, next(iter(answer.top))
    name = html.escape(e.target_name)
    says = f"<b>{name}</b> <b>{answer.probability:.3f}</b>"
    if best != e.target_name:
        says += f"; it now takes it for <b>{html.escape(best)}</b> ({answer.top[best]:.3f})"
    return f"<p>With {int(trial.mask.sum())} of {e.n_segments} pieces shown: {says}.</p>"


def problem(error: BaseException | str) -> str:
    """What went wrong, as HTML."""
    return f'<p class="problem" role="alert">{html.escape(str(error))}</p>'
