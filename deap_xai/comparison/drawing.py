"""Pictures of a comparison."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from deap_xai.comparison.curves import Curve
from deap_xai.comparison.statistics import ALPHA
from deap_xai.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_anytime", "draw_ecdf", "draw_ranks"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's, which colour-blind people can tell apart; yellow left out, too pale on white."""

BANDS = 4
"""Curves up to which each has its band; more would cover each other."""

MARGIN = {"facecolor": "white", "edgecolor": "none", "pad": 3}
"""Keeps the diagram's lines from the names that they lead to."""

LINES = ("-", "--", ":", "-.")
STYLES = cycler(color=COLOURS * len(LINES)) + cycler(linestyle=LINES * len(COLOURS))
"""How each curve is drawn: in another line than the one before, which may lie right under it."""


def draw_anytime(curves: Mapping[str, Curve], label: str, interval: str) -> Figure:
    """Mean value against model calls, with its interval as a band where there are few."""
    figure, axes = _figure(curves)
    for (name, curve), style in zip(curves.items(), STYLES(), strict=False):
        axes.plot(curve.calls, curve.mean, label=_wrapped(name), linewidth=1.5, **style)
        if len(curves) <= BANDS:
            axes.fill_between(
                curve.calls, curve.low, curve.high, color=style["color"], alpha=0.15, linewidth=0
            )
    # Every search rises steeply at first; what tells them apart comes later.
    late = [curve.low[len(curve.low) // 10] for curve in curves.values()]
    late += [curve.high[-1] for curve in curves.values()]
    room = max(0.05 * (max(late) - min(late)), 0.005)
    axes.set_ylim(min(late) - room, max(late) + room)
    _finish(axes, f"mean {label}")
    if len(curves) <= BANDS and any((one.high > one.low).any() for one in curves.values()):
        axes.set_title(interval, fontsize=9, loc="left")
    return figure


def draw_ecdf(shares: Mapping[str, NDArray[Any]], label: str) -> Figure:
    """Share of runs and targets reached against model calls."""
    figure, axes = _figure(shares)
    for (name, share), style in zip(shares.items(), STYLES(), strict=False):
        calls = np.arange(1, len(share) + 1)
        axes.step(calls, share, where="post", label=_wrapped(name), linewidth=1.5, **style)
    _finish(axes, "share of runs and targets reached")
    axes.set_ylim(0, 1.02)
    axes.set_title(f"targets: {label} up to 1 % short of the best run's", fontsize=9, loc="left")
    return figure


def draw_ranks(ranks: pd.Series, p_values: pd.DataFrame, label: str) -> Figure:
    """Critical-difference diagram: mean ranks, 1 is best; a bar joins what isn't told apart.

    A bar runs along all ranks between its ends, so it joins variants of which no two are.
    Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7, 2006.
    """
    posthocs: Any = require("scikit_posthocs", "compare")
    names = {name: _wrapped(name) for name in ranks.index}
    order, joined = ranks.sort_values().index, p_values.copy()
    for first, second in combinations(range(len(order)), 2):
        span, ends = order[first : second + 1], (order[first], order[second])
        least = p_values.loc[span, span].to_numpy().min()
        joined.loc[ends] = joined.loc[ends[::-1]] = least
    figure, axes = plt.subplots(layout="constrained")
    posthocs.critical_difference_diagram(
        ranks.rename(index=names),
        joined.rename(index=names, columns=names),
        alpha=ALPHA,
        ax=axes,
        label_fmt_left="{label}  ({rank:.2f})",
        label_fmt_right="({rank:.2f})  {label}",
        label_props={"fontsize": 9, "zorder": 3, "bbox": MARGIN},
        elbow_props={"linewidth": 1},
        # Each name stands beside its line: colours would tell nothing more, and some are too pale
        # for text.
        color_palette=dict.fromkeys(names.values(), "black"),
        text_h_margin=0.02 * (len(ranks) - 1),
    )
    axes.set_xlim(1, len(ranks))  # not only as far as the ranks reach
    axes.set_xticks(range(1, len(ranks) + 1))
    title = f"mean rank by {label}, 1 is best; a bar joins variants no two of which were told apart"
    axes.set_title(title, fontsize=9, loc="left", pad=14)
    lines = max(text.count("\n") + 1 for text in names.values())
    rows = -axes.get_ylim()[0]  # the diagram draws a label or a bar at each whole number
    figure.set_size_inches(8, 0.9 + rows * (0.1 + 0.15 * lines))
    return figure


def _figure(names: Mapping[str, Any]) -> tuple[Figure, Axes]:
    height = max(3.6, 0.8 + sum(0.15 * (_wrapped(name).count("\n") + 1) + 0.06 for name in names))
    return plt.subplots(figsize=(8, height), layout="constrained")


def _finish(axes: Axes, ylabel: str) -> None:
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.set_xlabel("model calls", fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))


def _wrapped(name: str) -> str:
    """A name in lines that fit; a leading underscore or a dollar means nothing to matplotlib."""
    name = name.replace(",", ", ").replace("$", r"\$")
    text = "\n".join(textwrap.wrap(name, 32, break_on_hyphens=False)) or name
    return f" {text}" if text.startswith("_") else text
