"""Algorithms of DEAP's (mu + lambda) kind: NSGA-II, NSGA-III, and the plain one."""

from __future__ import annotations

from collections.abc import Callable
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
from deap_xai.errors import SettingError
from deap_xai.operators import assignCrowdingDist, sortNondominated

__all__ = ["eaMuPlusLambda", "eaNSGA2", "eaNSGA3"]


@algorithm(bits="initSizes", select="selNSGA2")
def eaNSGA2(
    population: list[Any],
    toolbox: Any,
    cxpb: float = 0.9,
    mutpb: float = 0.9,
    ngen: int | None = None,
    stats: Any = None,
    halloffame: Any = None,
    verbose: bool = False,
) -> tuple[list[Any], Any]:
    """NSGA-II: parents by crowded tournament, survivors by ``toolbox.select``.

    Deb, Pratap, Agarwal and Meyarivan, IEEE Transactions on Evolutionary Computation 6(2), 2002,
    in the form of DEAP's example. Meant for two objectives and more.

    Parameters
    ----------
    population, toolbox, stats, halloffame, verbose
        As in DEAP's own algorithms.
    cxpb, mutpb
        Probabilities that a pair is mated and that an individual is mutated, 0..1.
    ngen
        Number of generations; None goes on until the evaluator's budget ends.

    Returns
    -------
    The survivors of all that was evaluated, and a ``deap.tools.Logbook``.
    """

    def parents(survivors: list[Any]) -> list[Any]:
        for front in sortNondominated(survivors, len(survivors)):
            assignCrowdingDist(front)
        quadruples = len(survivors) - len(survivors) % 4  # what selTournamentDCD asks for
        return tools.selTournamentDCD(survivors, quadruples) if quadruples else survivors

    return _plus(population, toolbox, parents, cxpb, mutpb, ngen, stats, halloffame, verbose)


@algorithm(objectives=("probability", "size", "necessity"), bits="initSizes", select="selNSGA3")
def eaNSGA3(
    population: list[Any],
    toolbox: Any,
    cxpb: float = 0.9,
    mutpb: float = 0.9,
    ngen: int | None = None,
    stats: Any = None,
    halloffame: Any = None,
    verbose: bool = False,
) -> tuple[list[Any], Any]:
    """NSGA-III: survivors by ``toolbox.select`` along reference directions, parents at random.

    Deb and Jain, IEEE Transactions on Evolutionary Computation 18(4), 2014, through DEAP's
    ``selNSGA3``. Meant for three objectives and more; of one it raises
    :class:`~deap_xai.errors.SettingError`. Parameters as for :func:`eaNSGA2`.
    """
    n_objectives = len(population[0].fitness.weights)
    if n_objectives < 2:
        raise SettingError(
            f"eaNSGA3 needs two objectives at least; got {n_objectives}: give more, such as "
            "objectives=['probability', 'size', 'necessity'], or another algorithm"
        )
    return _plus(population, toolbox, _anybody, cxpb, mutpb, ngen, stats, halloffame, verbose)


@algorithm(objectives=("probability",), select="selBest", pick="best")
def eaMuPlusLambda(
    population: list[Any],
    toolbox: Any,
    cxpb: float = 0.9,
    mutpb: float = 0.9,
    ngen: int | None = None,
    stats: Any = None,
    halloffame: Any = None,
    verbose: bool = False,
) -> tuple[list[Any], Any]:
    """The (mu + lambda) scheme: parents at random, the best of parents and offspring survive.

    As many offspring as parents; survivors by ``toolbox.select``. Parameters as for
    :func:`eaNSGA2`.
    """
    return _plus(population, toolbox, _anybody, cxpb, mutpb, ngen, stats, halloffame, verbose)


def _anybody(survivors: list[Any]) -> list[Any]:
    return tools.selRandom(survivors, len(survivors))


def _plus(
    population: list[Any],
    toolbox: Any,
    choose_parents: Callable[[list[Any]], list[Any]],
    cxpb: float,
    mutpb: float,
    ngen: int | None,
    stats: Any,
    halloffame: Any,
    verbose: bool,
) -> tuple[list[Any], Any]:
    logbook = new_logbook(stats)
    population[:], nevals = evaluate(population, toolbox)
    mu = len(population)
    record(logbook, stats, halloffame, population, verbose, gen=0, nevals=nevals)
    for gen in generations(toolbox, ngen):
        parents = choose_parents(population)
        offspring = deap_algorithms.varAnd(parents, toolbox, cxpb, mutpb)
        offspring, nevals = evaluate(offspring, toolbox)
        population[:] = toolbox.select(population + offspring, mu)
        record(logbook, stats, halloffame, population, verbose, gen=gen, nevals=nevals)
    return population, logbook
