"""The paper's genetic algorithm."""

from __future__ import annotations

from typing import Any

from deap import algorithms as deap_algorithms
from deap import tools

from deap_xai.algorithms.registration import (
    algorithm,
    evaluate,
    generations,
    new_logbook,
    record,
)
from deap_xai.errors import check_count

__all__ = ["eaElitist"]


@algorithm(objectives=("probability",), pick="best")
def eaElitist(
    population: list[Any],
    toolbox: Any,
    cxpb: float = 0.9,
    mutpb: float = 0.5,
    ngen: int | None = None,
    n_elite: int = 2,
    stats: Any = None,
    halloffame: Any = None,
    verbose: bool = False,
) -> tuple[list[Any], Any]:
    """A generational GA whose best individuals survive unchanged.

    The algorithm of E-LIME (Wang, Pei, Xue and Zhang, arXiv 2211.15143): bitstrings over
    superpixels, fitness from the target's probability, elitism, no preset number of superpixels.
    The paper's rates and population size aren't known to us; the defaults here are ours.

    Parameters
    ----------
    population
        Individuals, as ``toolbox.population(n=…)`` makes them.
    toolbox
        With ``evaluate``, ``map``, ``clone``, ``mate``, ``mutate`` and ``select``.
    cxpb, mutpb
        Probabilities that a pair is mated and that an individual is mutated, 0..1.
    ngen
        Number of generations; None goes on until the evaluator's budget ends.
    n_elite
        How many of the best survive unchanged, of the population all but one at most; 0: nobody.
    stats, halloffame, verbose
        As in DEAP's own algorithms.

    Returns
    -------
    The last population that was evaluated whole, and a ``deap.tools.Logbook``.

    Raises
    ------
    SettingError
        If ``n_elite`` is no whole number of at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> from deap_xai import Explainer
    >>> brightness = lambda views: [[v.mean() / 255, 1 - v.mean() / 255] for v in views]
    >>> explainer = Explainer(brightness, segments="grid:n_segments=9", fill="black", budget=200)
    >>> toolbox = explainer.toolbox(np.full((30, 30, 3), 200, np.uint8))
    >>> population, logbook = eaElitist(toolbox.population(n=20), toolbox, ngen=15)
    >>> sum(tools.selBest(population, 1)[0])
    9
    """
    check_count("n_elite", n_elite, 0)
    logbook = new_logbook(stats)
    population[:], nevals = evaluate(population, toolbox)
    record(logbook, stats, halloffame, population, verbose, gen=0, nevals=nevals)
    for gen in generations(toolbox, ngen):
        # At least one place is left for something new, however small the population.
        best = tools.selBest(population, min(n_elite, len(population) - 1))
        elite = [toolbox.clone(individual) for individual in best]
        parents = toolbox.select(population, len(population) - len(elite))
        offspring = deap_algorithms.varAnd(parents, toolbox, cxpb, mutpb)
        offspring, nevals = evaluate(offspring, toolbox)
        if len(offspring) < len(parents):
            break  # the budget ended amid this generation
        population[:] = elite + offspring
        record(logbook, stats, halloffame, population, verbose, gen=gen, nevals=nevals)
    return population, logbook
