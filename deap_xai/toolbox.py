"""A DEAP toolbox for one picture: every operator can be swapped, the contract is checked."""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from deap import base, tools

from deap_xai.errors import OperatorError, SettingError
from deap_xai.fitness import Evaluator, Fitness, batch_map
from deap_xai.individual import clone, individual_class
from deap_xai.objectives import Objective
from deap_xai.operators import on_masks, operators
from deap_xai.registry import Spec, behind, check_call
from deap_xai.wording import meant, shortened

__all__ = ["DEFAULT_OPERATORS", "Toolbox", "as_operator", "as_roles", "check_roles", "make_toolbox"]

DEFAULT_OPERATORS: Mapping[str, Spec] = {
    "bits": "initBernoulli:p=0.5",
    "mate": "cxUniform:indpb=0.5",
    "mutate": "mutFlipBit",
    "select": "selTournament:tournsize=3",
}
"""The operator for each role, unless another is named."""

_TAKES = {
    "bits": ("n_segments",),
    "mate": ("ind1", "ind2"),
    "mutate": ("individual",),
    "select": ("individuals", "k"),
    "surrogate": (),
    "acquire": ("masks", "model", "best", "full", "n"),
}
"""What each role's operator is called with, by position."""

_FILLED_IN = {"rng", "neighbours", "evaluator"}
"""Parameters that the toolbox fills in by name."""

_BITS = frozenset((0, 1))

_NO_BIT = re.compile("interpreted as an integer|integer is required|can only [a-z]+ array")
"""What Python says where something else than a small integer is put into an array of bits."""

MOST_POINTS, TWO_LAYERS = 210, 6
"""Reference points in one layer, at most, and the number of objectives from which there are two."""

_RETURNS = {"mate": 2, "mutate": 1}
"""Roles whose operators must return a tuple of so many individuals, as DEAP defines."""


class Toolbox(base.Toolbox):  # type: ignore[misc]  # DEAP is untyped
    """A ``deap.base.Toolbox`` that knows its picture.

    ``register`` fills in what an operator asks for by parameter name: ``rng``, ``neighbours``,
    ``evaluator``. What is registered as ``mate`` or ``mutate`` is checked on every call: it must
    return a tuple of individuals, keep their length and write only bits. So is ``select``: it must
    return as many individuals as it was asked for.

    Attributes
    ----------
    evaluator
        Where probabilities come from.
    rng
        The generator that this package's operators draw from. DEAP's draw from ``random``.
    """

    def __init__(self, evaluator: Evaluator, seed: int = 0) -> None:
        self.evaluator = evaluator
        self.rng = np.random.default_rng(seed)
        self._forms: dict[str, tuple[Any, Callable[..., Any] | None]] = {}
        super().__init__()

    def register(self, alias: str, function: Callable[..., Any], *args: Any, **kargs: Any) -> None:
        """Register a function under an alias, as DEAP's toolbox does."""
        if not callable(function):
            raise SettingError(
                f"a toolbox registers functions; got {shortened(function)} for {alias!r}: names "
                "are for the Explainer's operators"
            )
        plain = function
        asked = _parameter_names(function) & _FILLED_IN
        for name in asked - getattr(function, "keywords", {}).keys():
            kargs.setdefault(name, self._known(name))
        if alias in _RETURNS:
            function = _checked(function, alias, _RETURNS[alias])
        elif alias == "select":
            function = _checked_selection(function)
        super().register(alias, function, *args, **kargs)
        self._forms[alias] = getattr(self, alias), None if args else on_masks(plain, kargs)

    def on_masks(self, alias: str) -> Callable[..., Any] | None:
        """The form for many masks at once of what an alias stands for; None: it has none.

        See :func:`~deap_xai.operators.on_masks`. A decorated operator has none.
        """
        registered, form = self._forms.get(alias, (None, None))
        return form if getattr(self, alias, None) is registered else None

    def _known(self, name: str) -> Any:
        if name == "neighbours":
            return self.evaluator.neighbours
        return self.rng if name == "rng" else self.evaluator


def as_roles(operators: Any) -> dict[str, Spec]:
    """Operators by role, of what the user gave; None: none."""
    if not isinstance(operators, Mapping | None):
        raise SettingError(
            f"operators must map roles to operators, such as {{'mate': 'cxRegion'}}; got "
            f"{shortened(operators)}"
        )
    for role in operators or {}:
        if not isinstance(role, str):
            raise SettingError(f"an operator's role is a name, such as 'mate'; got {role!r}")
    return dict(operators or {})


def check_roles(chosen: Iterable[str], further: Iterable[str]) -> None:
    """See that every role named is one that somebody plays.

    Raises
    ------
    SettingError
        If a role is neither one of :data:`DEFAULT_OPERATORS` nor among the further ones.
    """
    known = sorted({*DEFAULT_OPERATORS, *further})
    for role in chosen:
        if role not in known:
            hint = meant(role, known) or ";"
            raise SettingError(
                f"unknown role {role!r} of an operator{hint} roles: {', '.join(known)}"
            )


def make_toolbox(
    evaluator: Evaluator,
    objectives: Sequence[Objective],
    chosen: Mapping[str, Spec] | None = None,
    seed: int = 0,
    fitness: Fitness | None = None,
) -> Toolbox:
    """A toolbox with individual, population, evaluate, map, clone, mate, mutate and select.

    Parameters
    ----------
    evaluator
        Answers masks with probabilities.
    objectives
        What fitness consists of.
    chosen
        Operators by role, ``{"mate": "cxTwoPoint"}``; others keep :data:`DEFAULT_OPERATORS`.
        The role ``bits`` makes the bits of a new individual; any further role is registered
        under its name.
    seed
        Of the toolbox's generator.
    fitness
        What ``evaluate`` is, of this evaluator and these objectives; None makes one.

    Raises
    ------
    SettingError
        If an operator is unknown.
    """
    toolbox = Toolbox(evaluator, seed)
    weights = tuple(objective.weight for objective in objectives)
    roles = {**DEFAULT_OPERATORS, **(chosen or {})}
    for role, spec in roles.items():
        function = as_operator(role, spec, evaluator.n_segments, len(weights))
        toolbox.register(role, function, *((evaluator.n_segments,) if role == "bits" else ()))
    make = individual_class(weights)
    toolbox.register("individual", _make_individual, make, toolbox)
    toolbox.register("population", tools.initRepeat, list, toolbox.individual)
    toolbox.register("evaluate", fitness or Fitness(evaluator, objectives))
    toolbox.register("map", batch_map)
    toolbox.register("clone", clone)
    return toolbox


def as_operator(role: str, spec: Spec, n_segments: int, n_objectives: int) -> Callable[..., Any]:
    """The operator that a spec names, with DEAP's rates where the spec gave none.

    Raises
    ------
    SettingError
        If it is unknown, or can't be called as its role's operators are.
    """
    function = _with_rates(operators.resolve(spec), role, n_segments, n_objectives)
    if role in _TAKES:
        given = _parameter_names(function) & _FILLED_IN
        check_call(f"{role} operator", function, _TAKES[role], given)
    return function


def _make_individual(make: Callable[..., Any], toolbox: Toolbox) -> Any:
    bits, n_segments = toolbox.bits(), toolbox.evaluator.n_segments
    try:
        individual = make(bits.tolist() if isinstance(bits, np.ndarray) else bits)
    except (TypeError, OverflowError) as error:
        raise OperatorError(f"the initialiser 'bits' must return bits: {error}") from error
    if len(individual) != n_segments or individual.count(0) + individual.count(1) != n_segments:
        raise OperatorError(
            f"the initialiser 'bits' returned {len(individual)} bits, {shortened(bits)}; expected "
            f"{n_segments}, each 0 or 1, one a superpixel"
        )
    return individual


def _with_rates(
    function: Callable[..., Any], role: str, n_segments: int, n_objectives: int
) -> Callable[..., Any]:
    """Give DEAP's required rates a value where the spec gave none."""
    rates: dict[str, Callable[[], Any]] = {
        "indpb": lambda: 0.5 if role == "mate" else 1 / n_segments,
        "tournsize": lambda: 3,
        "ref_points": lambda: _reference_points(n_objectives),
    }
    missing = {
        name: rates[name]()
        for name, parameter in _signature(function).items()
        if name in rates and parameter.default is parameter.empty
    }
    return functools.partial(function, **missing) if missing else function


def _reference_points(n_objectives: int) -> np.ndarray[Any, Any]:
    """The directions of Deb and Jain (IEEE Transactions on Evolutionary Computation 18(4), 2014).

    One layer of up to 12 divisions and ``MOST_POINTS`` points: of 3 objectives 91, of 5 all 210.
    From 6 on two layers, as there of 8, for no point of one so coarse weighs all objectives.
    """
    points = tools.uniform_reference_points
    if n_objectives >= TWO_LAYERS:
        return np.concatenate([points(n_objectives, 3), points(n_objectives, 2, scaling=0.5)])
    divisions = range(1, 13)
    return points(
        n_objectives,
        max(p for p in divisions if math.comb(n_objectives + p - 1, p) <= MOST_POINTS),
    )


def _title(function: Callable[..., Any]) -> str:
    plain = behind(function)
    return str(getattr(plain, "__name__", type(plain).__name__))


def _signature(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-ins have none
        return {}


def _parameter_names(function: Callable[..., Any]) -> set[str]:
    return set(_signature(function))


def _checked(function: Callable[..., Any], role: str, n: int) -> Callable[..., Any]:
    """The operator, with DEAP's contract checked on what it returns."""
    name = f"{role} operator {_title(function)!r}"

    @functools.wraps(behind(function))
    def checked(*individuals: Any, **parameters: Any) -> Any:
        length = len(individuals[0])
        result = _called(name, function, *individuals, **parameters)
        if not isinstance(result, tuple) or len(result) != n:
            came = f"a tuple of {len(result)}" if isinstance(result, tuple) else type(result)
            raise OperatorError(
                f"{name} returned {came}; DEAP's rule is a tuple of {n} individual{'s' * (n > 1)}"
            )
        for individual in result:
            _check_bits(individual, length, name)
        return result

    return checked


def _checked_selection(function: Callable[..., Any]) -> Callable[..., Any]:
    """The selection, with the number of what it returns checked."""
    name = f"select operator {_title(function)!r}"

    @functools.wraps(behind(function))
    def checked(individuals: Sequence[Any], k: int, **parameters: Any) -> Any:
        result = _called(name, function, individuals, k, **parameters)
        # Those that take nobody twice, as DEAP's selBest, give what there is.
        if not isinstance(result, Sequence) or not min(k, len(individuals)) <= len(result) <= k:
            came = f"{len(result)} of them" if isinstance(result, Sequence) else shortened(result)
            raise OperatorError(
                f"{name} returned {came}; expected a list "
                f"of {k} of the {len(individuals)} individuals that it was given"
            )
        for one in result:
            if not hasattr(one, "fitness"):
                raise OperatorError(
                    f"{name} returned {type(one).__name__}s without "
                    "a fitness; return the individuals themselves"
                )
        return result

    return checked


def _called(name: str, operator: Callable[..., Any], *args: Any, **parameters: Any) -> Any:
    """What an operator returns. Errors of a user's own pass, for the traceback leads to them."""
    try:
        return operator(*args, **parameters)
    except Exception as error:
        text, plain = str(error), behind(operator)
        no_bit = isinstance(error, TypeError) and _NO_BIT.search(text)
        if no_bit or isinstance(error, OverflowError):  # an array of bits takes -128..127
            hint = "; assign bit by bit, or a slice of an individual" if "to array" in text else ""
            raise OperatorError(f"{name} wrote something that is no bit: {text}{hint}") from error
        if not str(getattr(plain, "__module__", "")).startswith("deap."):
            raise
        raise OperatorError(
            f"{name} failed: {type(error).__name__}: {text}; it is made for other individuals, "
            "another algorithm or other objectives: deap-xai list operators names others"
        ) from error


def _check_bits(individual: Any, length: int, name: str) -> None:
    if not hasattr(individual, "fitness"):
        raise OperatorError(
            f"{name} returned {type(individual).__name__} without a fitness; change the "
            "individuals in place and return those"
        )
    if len(individual) != length:
        raise OperatorError(
            f"{name} changed an individual's length to {len(individual)}; it must stay "
            f"{length}, one bit a superpixel"
        )
    if not _BITS.issuperset(individual):
        other = next(bit for bit in individual if bit not in _BITS)
        raise OperatorError(f"{name} wrote {other!r}; only the bits 0 and 1 are allowed")
