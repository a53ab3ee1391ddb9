"""Search progress as curves over model calls: means with intervals, and targets reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from deap_xai.comparison.statistics import PROBLEM

__all__ = ["TARGETS", "Curve", "Trajectories", "anytime", "ecdf", "trajectories_of"]

RESAMPLES = 1000

TARGETS = 10.0 ** np.linspace(0, -2, 51)
"""Gaps to the best value found on a problem, as shares of the whole way there: 51 targets, spaced
by logarithm as COCO spaces its own (Hansen et al., "COCO: a platform for comparing continuous
optimizers in a black-box setting", Optimization Methods and Software 36(1), 2021). COCO knows the
optimum; here the best of all runs of all variants stands for it, so the last target is within 1 %
of the way."""


class Curve(NamedTuple):
    """A value at each number of model calls, (C,), with its 95 % interval."""

    calls: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


Trajectories = Mapping[str, Mapping[tuple[str, str], NDArray[np.float64]]]
"""By variant and problem: a row a seed, a column a model call, (n, C)."""


def trajectories_of(long: pd.DataFrame, measure: str) -> Trajectories:
    """Trajectories as arrays; runs that ended early keep their last value."""
    wide = long.pivot(index=["variant", *PROBLEM, "seed"], columns="calls", values=measure)
    # Calls under other fills than the own are spent as well, with nothing gained meanwhile.
    wide = wide.reindex(columns=range(1, int(long["calls"].max()) + 1)).ffill(axis=1)
    return {
        variant: {
            problem: rows.to_numpy(float)
            for problem, rows in wide.loc[[variant]].groupby(level=PROBLEM, sort=False)
        }
        for variant in dict.fromkeys(long["variant"])
    }


def anytime(trajectories: Trajectories, unit: str, seed: int = 0) -> dict[str, Curve]:
    """For each variant the mean over problems of the mean over seeds, with a bootstrap interval.

    Parameters
    ----------
    trajectories
        As :func:`trajectories_of` gives them.
    unit
        What the bootstrap draws anew: ``"problem"`` whole problems, ``"run"`` the seeds within
        each problem. 1000 times; the interval is from the 2.5th to the 97.5th percentile.
    seed
        Of the bootstrap.
    """
    curves = {}
    for variant, by_problem in trajectories.items():
        strata: Sequence[NDArray[Any]] = list(by_problem.values())
        if unit == "problem":
            strata = [np.stack([rows.mean(axis=0) for rows in strata])]
        rng = np.random.default_rng(seed)
        mean = np.mean([rows.mean(axis=0) for rows in strata], axis=0)
        drawn = np.mean([_resampled(rows, rng) for rows in strata], axis=0)
        low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
        curves[variant] = Curve(np.arange(1, len(mean) + 1), mean, low, high)
    return curves


def ecdf(trajectories: Trajectories) -> dict[str, NDArray[np.float64]]:
    """For each variant the share of targets reached after 1, 2, … model calls, (C,), 0..1.

    Over all runs, with problems weighing the same. Targets are :data:`TARGETS`, between
    the value after the full and the empty view, which every run asks first, and the best that any
    variant's run reached on that problem.
    """
    problems = dict.fromkeys(p for by_problem in trajectories.values() for p in by_problem)
    shares: dict[str, list[NDArray[np.float64]]] = {variant: [] for variant in trajectories}
    for problem in problems:
        mine = {v: by[problem] for v, by in trajectories.items() if problem in by}
        start = min(rows[:, :2].max(axis=1).min() for rows in mine.values())
        best = max(rows.max() for rows in mine.values())
        targets = best - (best - start) * TARGETS
        for variant, rows in mine.items():
            reached = rows[:, :, None] >= targets - 1e-12
            shares[variant].append(reached.mean(axis=(0, 2)))
    return {variant: np.mean(found, axis=0) for variant, found in shares.items()}


def _resampled(rows: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Means of rows (n, C) drawn with replacement: (RESAMPLES, C)."""
    n = len(rows)
    means: NDArray[Any] = rng.multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n @ rows
    return means
