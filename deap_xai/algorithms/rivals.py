"""Searches without evolution, to compare with: random and greedy."""

from __future__ import annotations

from typing import Any

import numpy as np
from deap import tools
from numpy.typing import NDArray

from deap_xai.algorithms.registration import (
    algorithm,
    evaluate,
    generations,
    new_logbook,
    record,
)
from deap_xai.errors import SettingError

__all__ = ["eaGreedy", "eaRandom"]


@algorithm(bits="initSizes", idle=("mate", "mutate", "select"))
def eaRandom(
    population: list[Any],
    toolbox: Any,
    ngen: int | None = None,
    stats: Any = None,
    halloffame: Any = None,
    verbose: bool = False,
) -> tuple[list[Any], Any]:
    """Random search: every generation is drawn anew by ``toolbox.individual``.

    Parameters as for :func:`~deap_xai.algorithms.eaElitist`. Returned are the individuals evaluated
    last, fewer where the budget ended amid a generation, and a ``deap.tools.Logbook``.
    """
    logbook = new_logbook(stats)
    n = len(population)
    for gen in generations(toolbox, ngen):
        drawn = population if gen == 1 else toolbox.population(n=n)
        drawn, nevals = evaluate(drawn, toolbox)
        population[:] = drawn or population
        record(logbook, stats, halloffame, drawn, verbose, gen=gen, nevals=nevals)
    return population, logbook


@algorithm(idle=("bits", "mate", "mutate", "select"))
def eaGreedy(
    population: list[Any],
    toolbox: Any,
    direction: str = "both",
    ngen: int | None = None,
    stats: Any = None,
    halloffame: Any = None,
    verbose: bool = False,
) -> tuple[list[Any], Any]:
    """Greedy search: one superpixel a generation, the one that is best by fitness.

    ``"forward"`` grows the kept part from nothing and asks S(S+1)/2 times. ``"both"`` grows it
    from nothing and, in turn, shrinks it from the full view by the one whose loss is least, until
    the two meet, about S²/2 times: the bidirectional search of SMDL-Attribution (Chen, Zhang,
    Liang, Li and Cao, ICLR 2024) and LiMA (Chen, Liang, Li, Liu, Liu, Zhang and Cao, arXiv
    2504.00470), without their submodular score and the complements that it asks about.

    Parameters
    ----------
    population
        Only its individuals' class is used; greedy search starts from nothing.
    direction
        ``"forward"`` or ``"both"``.
    toolbox, ngen, stats, halloffame, verbose
        As for :func:`~deap_xai.algorithms.eaElitist`.

    Returns
    -------
    The steps' best individuals in order, or the population that was given where no step was
    evaluated whole; and a ``deap.tools.Logbook``.
    """
    if direction not in ("forward", "both"):
        raise SettingError(f"direction must be 'forward' or 'both'; got {direction!r}")
    logbook = new_logbook(stats)
    make, n_segments = type(population[0]), toolbox.evaluator.n_segments
    kept, open_ = np.zeros(n_segments, bool), np.ones(n_segments, bool)
    chain: list[Any] = []
    for gen in generations(toolbox, n_segments if ngen is None else ngen):
        if not open_.any():
            break
        shrink = direction == "both" and gen % 2 == 0
        # Growing adds one of the open ones to the kept; shrinking drops one from kept and open.
        start = kept | open_ if shrink else kept
        steps, nevals = evaluate([make(row) for row in _flips(start, open_)], toolbox)
        if len(steps) < open_.sum():
            break  # the budget ended amid this step
        best = tools.selBest(steps, 1)[0]
        changed = np.flatnonzero(np.array(best, bool) != start)
        open_[changed] = False
        kept[changed] = not shrink
        chain.append(best)
        record(logbook, stats, halloffame, steps, verbose, gen=gen, nevals=nevals)
    population[:] = chain or population
    return population, logbook


def _flips(start: NDArray[np.bool_], open_: NDArray[np.bool_]) -> list[list[int]]:
    """``start`` with each of the open bits flipped, one at a time."""
    rows = np.repeat(start[None], open_.sum(), axis=0)
    rows[np.arange(len(rows)), np.flatnonzero(open_)] ^= True
    return rows.astype(int).tolist()
