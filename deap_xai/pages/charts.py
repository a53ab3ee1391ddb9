"""Charts as SVG inside a page, in the page's own colours, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import NDArray

from deap_xai.archive import FrontPoint
from deap_xai.plotting import PURPLE, draw_convergence, draw_front, importance_limit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["convergence_chart", "front_chart", "importance_colours"]

INK = "#010203"
"""Stands for the text's colour until the page's own is put in; no chart uses it otherwise."""

COLOURS = {INK: "currentColor", "#666666": "currentColor", PURPLE: "var(--accent)"}

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: smaller, and in the page's font
    "svg.hashsalt": "deap_xai",  # the same chart, the same ids
    "font.family": "sans-serif",
    **dict.fromkeys(
        "text.color axes.edgecolor axes.labelcolor xtick.color ytick.color".split(), INK
    ),
}


def convergence_chart(history: dict[str, NDArray[Any]], full: float) -> Markup:
    """Best probability so far against model calls, as SVG."""
    with mpl.rc_context(STYLE):
        figure, axes = _empty()
        draw_convergence(axes, history["calls"], history["probability"], full)
        axes.set_title("")
        return _svg(figure, "convergence")


def front_chart(
    points: Sequence[FrontPoint], shown: Sequence[FrontPoint], full: float, empty: float
) -> tuple[Markup, list[tuple[float, float]]]:
    """The front as SVG, and where in it the points lie that the page can show.

    Returns
    -------
    The chart; for each of ``shown`` a pair of left and top, in percent of the chart's sides.
    """
    with mpl.rc_context(STYLE):
        figure, axes = _empty()
        draw_front(axes, points, len(points[0].mask), None, full, empty)
        chart = _svg(figure, "front")
    places = axes.transData.transform([(point.size, point.probability) for point in shown])
    left, bottom = figure.transFigure.inverted().transform(places).T * 100
    return chart, [(round(x, 2), round(100 - y, 2)) for x, y in zip(left, bottom, strict=True)]


def importance_colours(attribution: NDArray[Any], steps: int = 9) -> tuple[list[str], list[str]]:
    """The heat map's colour of each superpixel, and those of its scale from low to high.

    Examples
    --------
    >>> importance_colours(np.array([0.0, 2.0]), steps=3)
    (['#f7f7f6', '#7f3b08'], ['#2d004b', '#f7f7f6', '#7f3b08'])
    """
    colours, limit = mpl.colormaps["PuOr_r"], importance_limit(attribution)
    shares = (attribution / limit + 1) / 2
    both = (shares, np.linspace(0, 1, steps))
    mine, scale = ([mpl.colors.to_hex(colours(share)) for share in some] for some in both)
    return mine, scale


def _empty() -> tuple[Figure, Axes]:
    # A figure without pyplot: no window and nothing to close.
    figure = Figure(figsize=(3.8, 2.6), layout="constrained")
    axes = figure.subplots()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    return figure, axes


def _svg(figure: Figure, name: str) -> Markup:
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    # Two charts in one page must not share ids; most of them name nothing but a group.
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*pt"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*pt"', r'\1 aria-hidden="true"', text, count=1)
    for drawn, shown in COLOURS.items():
        text = text.replace(drawn, shown)
    return Markup(text)
