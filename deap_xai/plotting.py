"""Pictures of views, masks and searches. Functions draw arrays on matplotlib axes.

Importance is drawn with the diverging map ``PuOr``, which colour-blind people can read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from deap_xai.archive import FrontPoint
from deap_xai.typing import Mask, Segments, View
from deap_xai.views import reduce_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "draw_attribution",
    "draw_convergence",
    "draw_front",
    "draw_view",
    "fit_labels",
    "importance_limit",
    "kept_panel",
    "kept_picture",
    "panels",
    "save_png",
    "short",
    "some",
]

EDGE = (255, 170, 0)
"""Colour of the line around the kept part."""

PURPLE = "#5e3c99"
"""Colour of the best masks; a page puts its own in its place."""

PANEL, LINE = 640, 4
"""Pixels of a panel's longer side, at most, and of the line there, which small panels shrink."""

FAINT = 0.05
"""Log-odds that a heat map's full colours stand for at least: less moves no probability by more
than a hundredth or so, and bright colours would make much of noise."""


def kept_picture(view: View, segments: Segments, mask: Mask, line: int = 1) -> View:
    """The view with what isn't kept faded to white and a line around what is: (h, w, 3), uint8.

    The line is so many pixels wide.

    Examples
    --------
    >>> view, segments = np.zeros((4, 4, 3), np.uint8), np.repeat([[0, 0, 1, 1]], 4, axis=0)
    >>> picture = kept_picture(view, segments, np.array([True, False]))
    >>> picture[0, 0].tolist(), picture[0, 3].tolist()
    ([0, 0, 0], [209, 209, 209])
    """
    keep = mask[segments]
    faded = (0.18 * view + 0.82 * 255).astype(np.uint8)
    picture = np.where(keep[..., None], view, faded)
    picture[binary_dilation(keep, iterations=line) & ~keep] = EDGE
    return picture


def kept_panel(view: View, segments: Segments, mask: Mask) -> View:
    """The same for a panel of a plot, whatever the size of the view: 320 to 640 pixels long.

    Examples
    --------
    >>> view, mask = np.zeros((1600, 800, 3), np.uint8), np.array([True])
    >>> kept_panel(view, np.zeros((1600, 800), int), mask).shape
    (640, 320, 3)
    >>> kept_panel(view[:3, :4], np.zeros((3, 4), int), mask).shape
    (480, 640, 3)
    """
    view = reduce_image(view, PANEL)
    factor = PANEL // max(view.shape[:2])
    view = view.repeat(factor, axis=0).repeat(factor, axis=1)
    return kept_picture(view, fit_labels(segments, view.shape[:2]), mask, line=LINE)


def fit_labels(segments: Segments, shape: tuple[int, ...]) -> Segments:
    """The label map at another size, each pixel from the nearest.

    Examples
    --------
    >>> fit_labels(np.array([[0, 0, 1, 1], [2, 2, 3, 3]], np.int32), (1, 2)).tolist()
    [[2, 3]]
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, segments.shape, strict=True)
    )
    return segments[np.ix_(rows, columns)]


def panels(view: View) -> tuple[Figure, Any]:
    """A figure with three panels of the view's proportions and one of a chart's, and their axes."""
    from matplotlib import pyplot as plt

    proportion = min(max(view.shape[1] / view.shape[0], 0.3), 3)
    width = min(max(3.25 * proportion, 2.9), 4.5)  # the narrowest has room for its title
    size = 3 * width + 3.25, min(max(width / proportion, 1.8), 3) + 0.4
    ratios = [width, width, width, 3.25]
    return plt.subplots(1, 4, figsize=size, width_ratios=ratios, layout="constrained")


def draw_view(axes: Axes, picture: View, title: str = "") -> Axes:
    """An RGB picture (h, w, 3) without ticks."""
    axes.imshow(picture, interpolation="antialiased")
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, parse_math=False)
    return axes


def importance_limit(attribution: NDArray[Any]) -> float:
    """The importance that a heat map's full colours stand for, above 0.

    Examples
    --------
    >>> importance_limit(np.array([0.5, -2.0])), importance_limit(np.array([1e-5, 0.0]))
    (2.0, 0.05)
    """
    return max(FAINT, float(np.abs(attribution).max()))


def draw_attribution(
    axes: Axes,
    view: View,
    segments: Segments,
    attribution: NDArray[Any],
    title: str = "",
    bar: bool = True,
) -> Axes:
    """Importance of each superpixel (S,) as colour over the view in grey, with a colour bar.

    Where none of them matters, a line below says so.
    """
    axes.imshow(view.mean(axis=2), cmap="gray", vmin=0, vmax=255)
    limit = importance_limit(attribution)
    image = axes.imshow(attribution[segments], cmap="PuOr_r", vmin=-limit, vmax=limit, alpha=0.65)
    if bar:
        # Beside the axes, so that the picture keeps its size.
        scale = axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.045, 1)))
        scale.ax.tick_params(labelsize=7)
        scale.ax.set_facecolor("0.5")  # its colours lie over grey there too
    if limit == FAINT:
        words, where = "no superpixel was found to matter", axes.transAxes
        axes.text(0.5, -0.03, words, ha="center", va="top", fontsize=8, transform=where)
    axes.set_axis_off()
    axes.set_title(title, fontsize=10, parse_math=False)
    return axes


def draw_convergence(
    axes: Axes, calls: NDArray[Any], probability: NDArray[Any], full: float
) -> Axes:
    """Best probability so far against model calls, and the full view's as a dashed line."""
    # Each call is as wide as one, or a search of one call would show none, and the last no width.
    edges = np.arange(len(calls) + 1) + calls[0] - 0.5
    axes.stairs(
        probability, edges, baseline=None, color=PURPLE, linewidth=1.5, label="best mask so far"
    )
    axes.axhline(full, color="#666666", linestyle="--", linewidth=1, label="full view")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.set_xlabel("model calls", fontsize=9)
    axes.set_ylabel("probability", fontsize=9)
    axes.set_ylim(0, 1.02)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="best", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("search", fontsize=10)
    return axes


def draw_front(
    axes: Axes,
    points: Sequence[FrontPoint],
    n_segments: int,
    picked: int | None,
    full: float,
    empty: float = np.nan,
) -> Axes:
    """Best probability for each size; the picked size as a dot, the full view as a dashed line.

    The line begins at the probability of nothing at all, ``empty``; where that is NaN, since
    nobody asked, at the first point.
    No dot where ``picked`` is None or no point of the front has that size, as when a check came
    upon a better mask than the one picked.
    """
    sizes = [*(point.size for point in points), n_segments]
    values = [*(point.probability for point in points), points[-1].probability]
    if not np.isnan(empty):
        sizes, values = [0, *sizes], [empty, *values]
    # Not clipped, or the frame would halve what lies on it, as where every superpixel is kept.
    whole: Any = {"clip_on": False, "zorder": 3}
    axes.step(sizes, values, where="post", color=PURPLE, label="best mask of that size", **whole)
    for chosen in (point for point in points if point.size == picked):
        x, y, label = chosen.size, chosen.probability, f"shown: {picked}"
        axes.plot(x, y, "o", color="#e66101", label=label, **whole)
    axes.axhline(full, color="#666666", linestyle="--", linewidth=1, label="full view")
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.set_xlabel("superpixels kept", fontsize=9)
    axes.set_ylabel("probability", fontsize=9)
    axes.set_xlim(0, n_segments)
    axes.set_ylim(0, 1.02)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8, loc="best", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def some(axes: Axes | None) -> Axes:
    """The axes given, or those of a new figure."""
    if axes is not None:
        return axes
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(5, 3.6), layout="constrained")[1]


def save_png(figure: Figure, path: Any) -> None:
    """Write a figure as PNG and close it."""
    from matplotlib import pyplot as plt

    figure.savefig(path, dpi=130)
    plt.close(figure)


def use_files_only() -> None:
    """Let matplotlib draw to files, where there may be no screen."""
    mpl.use("Agg")


def short(text: str, limit: int = 28) -> str:
    """A name that fits over a picture; Chinese, Japanese and Korean letters are two wide.

    Examples
    --------
    >>> short("frog"), short("a very long name", limit=6), short("金毛寻回犬", limit=6)
    ('frog', 'a ver…', '金毛…')
    """
    widths = [1 + (unicodedata.east_asian_width(letter) in "WF") for letter in text]
    if sum(widths) <= limit:
        return text
    return text[: int((np.cumsum(widths) <= limit - 1).sum())] + "…"
