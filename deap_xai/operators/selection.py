"""NSGA-II's selection: what DEAP's own gives, to the last place, but compared as arrays."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
from deap import tools
from numpy.typing import NDArray

from deap_xai.errors import SettingError
from deap_xai.operators.registration import operators

__all__ = ["assignCrowdingDist", "selNSGA2", "sortNondominated"]


@operators.register
def selNSGA2(individuals: list[Any], k: int, nd: str = "standard") -> list[Any]:
    """The k best by front, and within the last front that fits in part by crowding distance.

    Deb, Pratap, Agarwal and Meyarivan, IEEE Transactions on Evolutionary Computation 6(2), 2002.
    The same individuals in the same order as from ``deap.tools.selNSGA2``, which compares them
    pair by pair.

    Parameters
    ----------
    individuals
        With a valid fitness each; their ``fitness.crowding_dist`` is set.
    k
        How many are selected, each at most once.
    nd
        ``"standard"``; ``"log"`` is DEAP's own, by Fortin, Grenier and Parizeau, GECCO 2013.

    Raises
    ------
    SettingError
        If ``nd`` is anything else.

    Examples
    --------
    >>> from deap_xai.individual import individual_class
    >>> make = individual_class((1.0, -1.0))
    >>> population = [make([1, 0]), make([0, 1]), make([1, 1])]
    >>> for one, values in zip(population, [(0.4, 1), (0.5, 1), (1, 2)]):
    ...     one.fitness.values = values
    >>> [list(individual) for individual in selNSGA2(population, 2)]
    [[0, 1], [1, 1]]
    """
    if nd == "log":
        return list(tools.selNSGA2(individuals, k, nd))
    if nd != "standard":
        raise SettingError(f"nd must be 'standard' or 'log'; got {nd!r}")
    fronts = sortNondominated(individuals, k)
    for front in fronts:
        assignCrowdingDist(front)
    chosen = list(chain.from_iterable(fronts[:-1]))
    if k > len(chosen):
        last = sorted(fronts[-1], key=lambda one: one.fitness.crowding_dist, reverse=True)
        chosen += last[: k - len(chosen)]
    return chosen


def sortNondominated(individuals: list[Any], k: int) -> list[list[Any]]:
    """Fronts, the non-dominated individuals first, until k individuals are in one.

    The same lists in the same order as from ``deap.tools.sortNondominated``.
    """
    if k == 0:
        return []
    alike: dict[tuple[float, ...], list[Any]] = {}
    for individual in individuals:
        alike.setdefault(individual.fitness.wvalues, []).append(individual)
    groups, dominates = list(alike.values()), _dominates(np.array(list(alike)))
    left = dominates.sum(axis=0)
    front, fronts, n = np.flatnonzero(left == 0), list[list[Any]](), 0
    while True:
        fronts.append([one for i in front for one in groups[i]])
        n += len(fronts[-1])
        if n >= min(len(individuals), k):
            return fronts
        below = dominates[front]
        left -= below.sum(axis=0)
        new = np.flatnonzero((left == 0) & below.any(axis=0))
        # DEAP's order: each as the last of those that dominate it is passed.
        last = len(front) - below[::-1, new].argmax(axis=0)
        front = new[np.argsort(last, kind="stable")]


def assignCrowdingDist(individuals: list[Any]) -> None:
    """Set each individual's ``fitness.crowding_dist``, as ``deap.tools.emo`` does."""
    if not individuals:
        return
    values = np.array([individual.fitness.values for individual in individuals])
    order, distance = np.arange(len(values)), np.zeros(len(values))
    for column in values.T:
        order = order[np.argsort(column[order], kind="stable")]
        ranked = column[order]
        distance[order[[0, -1]]] = np.inf
        if ranked[0] != ranked[-1]:
            extent = values.shape[1] * (ranked[-1] - ranked[0])
            distance[order[1:-1]] += (ranked[2:] - ranked[:-2]) / extent
    for individual, crowding in zip(individuals, distance.tolist(), strict=True):
        individual.fitness.crowding_dist = crowding


def _dominates(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which rows dominate which, of weighted values (N, objectives), higher is better: (N, N)."""
    worse = np.zeros((len(values), len(values)), bool)
    better = worse.copy()
    for column in values.T:
        worse |= column[:, None] < column
        better |= column[:, None] > column
    return better & ~worse
