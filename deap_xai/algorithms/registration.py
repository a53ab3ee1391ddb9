"""The registry of algorithms, what goes with each, and what their loops share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from deap import tools

from deap_xai.errors import BudgetExhausted, SettingError, check_count
from deap_xai.registry import behind, registry

__all__ = [
    "Defaults",
    "algorithm",
    "algorithms",
    "defaults_of",
    "evaluate",
    "generations",
    "new_logbook",
    "record",
    "unbred",
    "unheeded",
]

STALLED = 50
"""Generations without a single new mask after which an unlimited run has converged."""

F = TypeVar("F", bound=Callable[..., Any])

algorithms = registry("algorithm", takes=("population", "toolbox"))


class Defaults(NamedTuple):
    """What an algorithm is meant to run with, unless the user says otherwise."""

    objectives: Sequence[str] = ("probability", "size")
    operators: Mapping[str, str] = MappingProxyType({})
    pick: str = "knee"
    fixed: bool = False
    idle: Sequence[str] = ()


def algorithm(
    objectives: Sequence[str] = ("probability", "size"),
    pick: str = "knee",
    fixed: bool = False,
    idle: Sequence[str] = (),
    **operators: str,
) -> Callable[[F], F]:
    """Register an algorithm with its default objectives, operators by role, and pick.

    A fixed one pursues its own objectives, whatever the fitness says. Idle are the roles whose
    operators have no part in it.
    """

    def mark(function: F) -> F:
        defaults = Defaults(objectives, operators, pick, fixed, idle)
        function.defaults = defaults  # type: ignore[attr-defined]
        return algorithms.register(function)

    return mark


def defaults_of(function: Callable[..., Any]) -> Defaults:
    """The defaults of an algorithm; those of :class:`Defaults` for a function from elsewhere."""
    found = getattr(behind(function), "defaults", None)
    return found if isinstance(found, Defaults) else Defaults()


def unheeded(
    function: Callable[..., Any], objectives: Sequence[str], roles: Iterable[str] = ()
) -> list[str]:
    """What a reader should know where some objectives or operators have no part in a search.

    Examples
    --------
    >>> @algorithm(fixed=True, idle=("select",))
    ... def eaDeaf(population, toolbox): ...
    >>> unheeded(eaDeaf, ["probability", "size"], ["mate"])
    []
    >>> unheeded(eaDeaf, ["pieces"])[0].partition(";")[0]
    'eaDeaf searches for probability against size, not for pieces'
    >>> unheeded(eaDeaf, [], ["select", "mate"])
    ['the select operator has no part in eaDeaf']
    >>> _ = algorithms._functions.pop("eaDeaf")
    """
    own = defaults_of(function)
    name = getattr(behind(function), "__name__", "the algorithm")
    notes = []
    others = [name for name in objectives if name not in own.objectives]
    if own.fixed and others:
        notes.append(
            f"{name} searches for {' against '.join(own.objectives)}, not for {', '.join(others)}; "
            "name an algorithm that is guided by objectives, such as eaNSGA2 or eaNSGA3"
        )
    return notes + [
        f"the {role} operator has no part in {name}" for role in roles if role in own.idle
    ]


def unbred(found: Any, evaluated: int, cut: bool) -> list[str]:
    """What a reader should know where a search ended before anybody was bred.

    Parameters
    ----------
    found
        What the algorithm returned: of a population and a logbook the latter is looked at.
    evaluated
        How many distinct individuals were; of none something else is told.
    cut
        Whether the budget ended the search: those bred may be without a fitness for that alone.

    Examples
    --------
    >>> logbook = tools.Logbook()
    >>> logbook.record(gen=0, nevals=40)
    >>> unbred(([], logbook), evaluated=40, cut=True)[0].partition(":")[0]
    'the search ended within its first generation'
    >>> unbred(([], logbook), evaluated=50, cut=True)
    []
    >>> logbook.record(gen=1, nevals=0)
    >>> unbred(([], logbook), evaluated=40, cut=False)[0].partition(";")[0]
    'nobody new was bred after the first generation'
    """
    logbook = found[-1] if isinstance(found, tuple) and found else None
    if not isinstance(logbook, tools.Logbook) or not logbook:
        return []
    begun = sum(row.get("nevals", 0) for row in logbook if row.get("gen") == 0)
    # Offspring may all be known masks; a generation that wasn't whole isn't in the logbook.
    later = [row.get("nevals", 0) for row in logbook if row.get("gen") != 0]
    if any(later) or not 0 < evaluated <= begun:
        return []
    if later and not cut:
        return [
            "nobody new was bred after the first generation; raise the probabilities of crossover "
            "and mutation, or take other operators"
        ]
    return [
        "the search ended within its first generation: no offspring has a fitness; allow more "
        "model calls, time, patience or generations, or a smaller population"
    ]


def generations(toolbox: Any, ngen: int | None) -> Iterator[int]:
    """Count generations from 1: up to ``ngen``, or until the budget ends or nothing new comes.

    Raises
    ------
    SettingError
        If neither ``ngen`` nor a budget would ever end the run, or ``ngen`` is below 0.
    """
    if ngen is not None:
        check_count("ngen", ngen, 0)
    budget = toolbox.evaluator.budget
    if ngen is None and not budget.limited:
        raise SettingError("this run would never end; give ngen, or the evaluator a budget")
    gen, stalled, before = 0, 0, budget.spent
    while (gen < ngen) if ngen is not None else stalled < STALLED:
        if not budget.allowed(1):
            return
        gen += 1
        yield gen
        stalled = stalled + 1 if budget.spent == before else 0
        before = budget.spent


def evaluate(individuals: Sequence[Any], toolbox: Any) -> tuple[list[Any], int]:
    """Evaluate those without a valid fitness, in one batch.

    Returns
    -------
    The individuals that have a fitness now, and how many were evaluated. When the budget ends
    amid the batch, those without a fitness are left out.
    """
    invalid = [individual for individual in individuals if not individual.fitness.valid]
    try:
        values = list(toolbox.map(toolbox.evaluate, invalid))  # Python's own map is lazy
    except BudgetExhausted:
        for individual in invalid:  # those that the budget covered are answered from memory
            with suppress(BudgetExhausted):
                individual.fitness.values = toolbox.evaluate(individual)
        valid = [individual for individual in individuals if individual.fitness.valid]
        return valid, len(invalid) - (len(individuals) - len(valid))
    for individual, fitness in zip(invalid, values, strict=True):
        individual.fitness.values = fitness
    return list(individuals), len(invalid)


def new_logbook(stats: Any) -> Any:
    """DEAP's logbook with the columns that its own algorithms use."""
    logbook = tools.Logbook()
    logbook.header = ["gen", "nevals", *(stats.fields if stats else [])]
    return logbook


def record(
    logbook: Any, stats: Any, halloffame: Any, population: Sequence[Any], verbose: bool, **row: int
) -> None:
    """Write one generation into the hall of fame and the logbook."""
    if halloffame is not None:
        halloffame.update(population)
    # Statistics of nobody, where the budget ended at once, would be NaN or an error.
    logbook.record(**row, **(stats.compile(population) if stats and population else {}))
    if verbose:
        print(logbook.stream)  # noqa: T201  # as DEAP's algorithms do
