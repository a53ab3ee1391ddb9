"""Which differences between variants are more than chance.

The unit of the tests is the problem, a model's answer on an image, each with the mean over its
seeds, since several seeds on one image say nothing new about other images. Where there are so few
problems that the test couldn't show any difference, the unit is the run: those of one problem and
seed are paired, and what comes out says something of these problems alone.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from deap_xai.errors import SettingError, require
from deap_xai.wording import counted

__all__ = ["ALPHA", "MEASURES", "PROBLEM", "Blocks", "a12", "blocks", "friedman", "pairs"]

ALPHA = 0.05
"""Chance of claiming any difference where there is none, over all pairs together."""

MEASURES = {"front_quality": "front quality", "probability": "best probability"}
"""What variants are compared by, and what it is called in sentences; higher is better."""

PROBLEM = ["model", "image"]

DIGITS = 12
"""Decimal places that means over seeds are compared to, and differences: 0.8 - 0.7 is 0.4 - 0.3."""

NEAR = 1e-5
"""Values of one problem that are within so much of the lowest are taken for equal, then those that
are within so much of the next: a model's answers to one mask may differ in the seventh digit."""


class Blocks(NamedTuple):
    """What the tests compare: a row a unit, a column a variant; and every single run.

    Attributes
    ----------
    values
        One number a unit and variant.
    unit
        ``"problem"`` or ``"run"``.
    runs
        One number a problem, seed and variant; what is nearer than :data:`NEAR`, here and in
        ``values``, is equal.
    """

    values: pd.DataFrame
    unit: str
    runs: pd.DataFrame

    @property
    def n_problems(self) -> int:
        """Number of problems."""
        return int(self.runs.groupby(level=PROBLEM).ngroups)

    @property
    def enough(self) -> bool:
        """Whether so many units could show a difference at all."""
        return _could_show(len(self.values), self.values.shape[1])

    def describe(self) -> str:
        """What was tested, and what that says, in one sentence."""
        n, k = len(self.values), self.values.shape[1]
        if self.unit == "problem":
            return f"Tested over {n} problems, each with the mean over its seeds."
        over = f"{n} pairs of problem and seed on {self.n_problems} problems"
        if n == self.n_problems:
            over = f"{counted(n, 'problem')}, one seed each"
        elif self.n_problems == 1:
            over = f"{n} seeds on one problem"
        said = f"Tested over {over}: it says nothing about other images"
        if not self.enough:
            least = next(m for m in range(1, 1000) if _could_show(m, k))
            few = "1 is" if n == 1 else f"{n} are"
            return f"{said}, and {few} too few to tell any pair apart; {least} at least are needed."
        return f"{said}."


def blocks(table: pd.DataFrame, measure: str) -> Blocks:
    """The units that all variants have, from a table with a row a run.

    Runs that failed leave out their problem and seed for all variants; a variant that has no run
    is left out itself.
    """
    order = list(dict.fromkeys(table["variant"]))
    runs = table.pivot(index=[*PROBLEM, "seed"], columns="variant", values=measure)[order].dropna()
    for rows in runs.groupby(level=PROBLEM, sort=False).indices.values():
        runs.iloc[rows] = _levelled(runs.iloc[rows].to_numpy())
    # Means of the same values in another order differ in their last digits: no rank is in those.
    problems = runs.groupby(level=PROBLEM, sort=False).mean().round(DIGITS)
    if _could_show(len(problems), len(order)):
        return Blocks(problems, "problem", runs)
    return Blocks(runs, "run", runs)


def _levelled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values, each as the lowest of those that it is taken for equal to."""
    levels = [-np.inf]
    for value in np.unique(values):
        if value - levels[-1] >= NEAR:
            levels.append(value)
    lowest: NDArray[np.float64] = np.array(levels)
    return lowest[np.searchsorted(lowest, values, side="right") - 1]


def friedman(values: pd.DataFrame) -> float:
    """P-value of Friedman's test that all variants are alike; 1 where all are equal.

    It takes three variants at least; of two, Wilcoxon's signed-rank test.
    """
    columns = values.to_numpy(float).T
    if len(values) < 2 or (columns == columns[0]).all():
        return 1.0
    if len(columns) == 2:
        return _wilcoxon(*(values[name] for name in values))
    return float(stats.friedmanchisquare(*columns).pvalue)


def wilcoxon_holm(values: pd.DataFrame) -> pd.DataFrame:
    """P-values of all pairs: Wilcoxon's signed-rank test, adjusted by Holm's method.

    Differences of zero are left out, as Wilcoxon did; where none is left, the variants are equal
    and p is 1. Pairs are tested by themselves rather than by mean ranks, since those depend on
    which other variants take part: Benavoli, Corani and Mangili, "Should we really use post-hoc
    tests based on mean-ranks?", JMLR 17(5), 2016.
    """
    multitest: Any = require("statsmodels.stats.multitest", "compare")
    names = list(values.columns)
    raw = [_wilcoxon(values[a], values[b]) for a, b in combinations(names, 2)]
    p_values = pd.DataFrame(1.0, index=names, columns=names)
    adjusted = multitest.multipletests(raw, method="holm")[1]
    for (a, b), p in zip(combinations(names, 2), adjusted, strict=True):
        p_values.loc[a, b] = p_values.loc[b, a] = p
    return p_values


def _wilcoxon(first: pd.Series, second: pd.Series) -> float:
    differences = (first - second).round(DIGITS).to_numpy(float)
    differences = differences[differences != 0]
    return float(stats.wilcoxon(differences).pvalue) if len(differences) else 1.0


def a12(first: ArrayLike, second: ArrayLike) -> float:
    """Chance that a value of the first is above one of the second, ties counting half: 0..1.

    Vargha and Delaney, "A critique and improvement of the CL common language effect size
    statistics of McGraw and Wong", Journal of Educational and Behavioral Statistics 25(2), 2000:
    (R1 / m - (m + 1) / 2) / n, with R1 the sum of the first's m ranks among all m + n.

    Examples
    --------
    >>> a12([3, 4], [1, 2]), a12([1, 2], [1, 2])
    (1.0, 0.5)
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    m, n = len(first), len(second)
    ranks = stats.rankdata(np.concatenate([first, second]))
    return float((ranks[:m].sum() / m - (m + 1) / 2) / n)


def pairs(blocks: Blocks, measure: str) -> pd.DataFrame:
    """A row a pair of variants: their difference, its size, its p-value, and a sentence.

    ``difference`` is the mean over problems of the mean over seeds, ``a12`` the mean over
    problems. ``shown`` says whether the p-value after Holm is at most :data:`ALPHA` and these two
    and the ranks that the test sums point the same way; then the better variant stands first.

    Raises
    ------
    SettingError
        If no problem and seed was run by all variants.
    """
    if not len(blocks.runs):
        raise SettingError("no problem and seed was run by all variants: nothing to compare")
    p_values = wilcoxon_holm(blocks.values)
    rows = []
    for first, second in combinations(blocks.values.columns, 2):
        difference, effect = _effect(blocks.runs, first, second)
        if difference < 0:
            first, second, difference, effect = second, first, -difference, 1 - effect
        p = float(p_values.loc[first, second])
        agree = difference > 0 and effect > 0.5 and _ranks(blocks.values, first, second) > 0
        shown = p <= ALPHA and agree
        row = {"first": first, "second": second, "difference": difference}
        rows.append({**row, "a12": effect, "p": p, "shown": shown})
    n_runs, n_problems = len(blocks.runs), blocks.n_problems
    for row in rows:
        row["sentence"] = _sentence(row, measure, n_runs, n_problems, len(rows))
    return pd.DataFrame(rows)


def _ranks(values: pd.DataFrame, first: str, second: str) -> float:
    """Wilcoxon's W+ less W-: above 0 where his test speaks for the first."""
    differences = (values[first] - values[second]).round(DIGITS).to_numpy(float)
    differences = differences[differences != 0]
    return float(np.sign(differences) @ stats.rankdata(np.abs(differences)))


def _effect(runs: pd.DataFrame, first: str, second: str) -> tuple[float, float]:
    found = [
        (float(part[first].mean() - part[second].mean()), a12(part[first], part[second]))
        for _, part in runs.groupby(level=PROBLEM)
    ]
    difference, effect = np.mean(found, axis=0)
    return float(difference), float(effect)


def _sentence(row: Any, measure: str, n_runs: int, n_problems: int, n_pairs: int) -> str:
    p = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.3g}"
    p += " after Holm" if n_pairs > 1 else ""
    runs = f"{counted(n_runs, 'run')} each on {counted(n_problems, 'problem')}"
    size = row["difference"]
    told = f"{size:+.1e}" if 0 < size < 0.0005 else f"{size:+.3f}"
    facts = f"{MEASURES[measure]} {told} (A12 {row['a12']:.2f}, {p}, {runs})"
    if row["shown"]:
        return f"{row['first']} is better than {row['second']}: {facts}."
    return f"No difference was shown between {row['first']} and {row['second']}: {facts}."


def _could_show(n_units: int, n_variants: int) -> bool:
    """Whether Wilcoxon's smallest p-value for so many units passes Holm's first step.

    With n pairs it is 2 / 2**n, two-sided.
    """
    n_pairs = n_variants * (n_variants - 1) / 2
    return 2.0 ** (1 - n_units) * n_pairs <= ALPHA
