"""Estimation of distribution, through DEAP's generate-update interface."""

from __future__ import annotations

from typing import Any

import numpy as np
from deap import algorithms as deap_algorithms

from deap_xai.algorithms.registration import (
    algorithm,
    evaluate,
    generations,
    new_logbook,
    record,
)
from deap_xai.errors import BudgetExhausted

__all__ = ["UMDA", "eaUMDA"]

MARGIN = 0.25
"""The most by which marginals stay off 0 and 1: with two bits 1/S would leave no way to go."""


class UMDA:
    """A probability for each bit, learnt from the selected individuals.

    The univariate marginal distribution algorithm of Mühlenbein and Paaß (PPSN IV, 1996) at a
    rate of 1. Under 1, as it is unless said otherwise, it moves only part of the way, as PBIL does
    (Baluja, 1994). The marginals stay
    within 1/S and 1 - 1/S, of few bits within 1/4 and 3/4, so that no bit is ever lost.

    Parameters
    ----------
    individuals
        Their number is that of each generation, their class that of new ones.
    toolbox
        Its ``select`` chooses whom to learn from.
    rng
        Source of chance.
    rate
        How far the marginals move to the selected individuals' mean, 0..1.
    share
        Share of individuals selected, 0..1.

    Attributes
    ----------
    marginals
        The probability of each bit, (S,).
    drawn
        The individuals generated last.
    """

    def __init__(
        self,
        individuals: list[Any],
        toolbox: Any,
        rng: np.random.Generator,
        rate: float = 0.7,
        share: float = 0.3,
    ) -> None:
        self._make, self._n = type(individuals[0]), len(individuals)
        self._toolbox, self._rng = toolbox, rng
        self._rate, self._share = rate, share
        self.marginals = np.full(len(individuals[0]), 0.5)
        self.drawn: list[Any] = []

    def generate(self) -> list[Any]:
        """New individuals drawn bit by bit from the marginals."""
        bits = self._rng.random((self._n, len(self.marginals))) < self.marginals
        self.drawn = [self._make(row) for row in bits.astype(int).tolist()]
        return self.drawn

    def update(self, individuals: list[Any]) -> None:
        """Move the marginals towards the best of these."""
        chosen = self._toolbox.select(individuals, max(1, round(self._share * len(individuals))))
        margin = min(1 / len(self.marginals), MARGIN)
        moved = (1 - self._rate) * self.marginals + self._rate * np.mean(chosen, axis=0)
        self.marginals = np.clip(moved, margin, 1 - margin)


@algorithm(
    objectives=("probability",), select="selBest", pick="best", idle=("bits", "mate", "mutate")
)
def eaUMDA(
    population: list[Any],
    toolbox: Any,
    rate: float = 0.7,
    share: float = 0.3,
    ngen: int | None = None,
    stats: Any = None,
    halloffame: Any = None,
    verbose: bool = False,
) -> tuple[list[Any], Any]:
    """:class:`UMDA` run by DEAP's ``eaGenerateUpdate``.

    Parameters
    ----------
    population
        Its size is what each generation has; the first marginals are 1/2.
    rate, share
        See :class:`UMDA`.
    toolbox, ngen, stats, halloffame, verbose
        As for :func:`~deap_xai.algorithms.eaElitist`.

    Returns
    -------
    The individuals evaluated last, fewer where the budget ended amid a generation, and a
    ``deap.tools.Logbook``.
    """
    strategy = UMDA(population, toolbox, toolbox.rng, rate, share)
    toolbox.register("generate", strategy.generate)
    toolbox.register("update", strategy.update)
    logbook = new_logbook(stats)
    for gen in generations(toolbox, ngen):
        try:
            population[:], rows = deap_algorithms.eaGenerateUpdate(toolbox, 1, verbose=False)
        except BudgetExhausted:
            drawn, nevals = evaluate(strategy.drawn, toolbox)  # those that the budget covered
            population[:] = drawn or population
            record(logbook, stats, halloffame, drawn, verbose, gen=gen - 1, nevals=nevals)
            break
        # The first, drawn from 1/2, was bred by nobody: generation 0, as in the other algorithms.
        nevals = rows[0]["nevals"]
        record(logbook, stats, halloffame, population, verbose, gen=gen - 1, nevals=nevals)
    return population, logbook
