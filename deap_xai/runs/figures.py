"""A summary as pictures."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from deap_xai.errors import SettingError
from deap_xai.explanation import Explanation
from deap_xai.plotting import EDGE, draw_view, kept_panel
from deap_xai.runs.folder import RunFolder
from deap_xai.runs.places import CELLS
from deap_xai.runs.rows import GRID
from deap_xai.runs.words import LEAST, large_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from deap_xai.runs.overview import Summary

__all__ = ["draw_groups", "draw_maps"]

MAPS, COLUMNS = 12, 4
EXAMPLES = 4


def draw_maps(summary: Summary) -> Figure:
    """Mean maps over all and of the classes of most pictures; places that stand out are framed."""
    from matplotlib import pyplot as plt

    shown = summary.classes[:MAPS]
    if len(summary.classes) == 2:  # one class: the same map twice says nothing
        shown = shown[:1]
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(0.8 + 2.4 * columns, 2.7 * rows),
        layout="constrained",
        squeeze=False,
    )
    top = max(float(one.map.max()) for one in shown)
    for axes, one in zip(grid.flat, shown, strict=False):
        image = _draw_map(axes, one.map, top, f"{one.name} ({one.pictures})")
        wanted = None if one is shown[0] else one.name  # a class may be called "all"
        for place in summary.places:
            if place.target_name == wanted:
                _frame(axes, place.row, place.column)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    if hidden := len(summary.classes[MAPS:]):
        left_out = (
            f"not shown: {hidden} of {len(summary.classes) - 1} classes, those of fewest pictures"
        )
        figure.supxlabel(left_out, fontsize=8)
    bar = figure.colorbar(image, ax=grid, fraction=0.04, pad=0.02)
    _label(bar, "mean share of the cell that is kept")
    return figure


def draw_groups(summary: Summary) -> Figure:
    """A row for each group: its mean map, and the kept parts of its most typical pictures.

    Raises
    ------
    SettingError
        If there is no group of three pictures at least.
    """
    from matplotlib import pyplot as plt

    shown = large_groups(summary)
    if not shown:
        raise SettingError(f"no {LEAST} of these explanations are alike: there is no group to draw")
    figure, grid = plt.subplots(
        len(shown), 1 + EXAMPLES, figsize=(9, 1.95 * len(shown)), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    folder = RunFolder(summary.folder)
    for row, group in zip(grid, shown, strict=True):
        image = _draw_map(row[0], group.map, 1.0, f"{group.pictures} alike")
        for axes in row[1:]:
            axes.set_axis_off()
        for axes, index in zip(row[1:], group.typical, strict=False):
            with suppress(SettingError):  # one that was damaged since leaves its place empty
                e = Explanation.load(folder.file(summary.ids[index]))
                draw_view(axes, kept_panel(e.view, e.segments, e.mask), e.target_name[:24])
    bar = figure.colorbar(image, ax=grid[:, 0], location="left", fraction=0.1)
    _label(bar, "mean share kept")  # short, since one row alone is low
    return figure


def _draw_map(axes: Axes, values: NDArray[Any], top: float, title: str) -> Any:
    image = axes.imshow(values, cmap="Purples", vmin=0, vmax=top or 1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title[:32], fontsize=9, parse_math=False)
    return image


def _label(bar: Any, text: str) -> None:
    bar.set_label(text, fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _frame(axes: Axes, row: int, column: int) -> None:
    step = GRID / CELLS
    corner = column * step - 0.5, row * step - 0.5
    colour = tuple(np.array(EDGE) / 255)
    axes.add_patch(Rectangle(corner, step, step, fill=False, edgecolor=colour, linewidth=2.5))
