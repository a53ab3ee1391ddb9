"""Individuals: bitstrings with a fitness, as DEAP's operators like them."""

from __future__ import annotations

import array
import copy
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from deap import base
from numpy.typing import NDArray

__all__ = ["Individual", "bit_table", "clone", "fitness_class", "individual_class"]


class Individual(array.array):  # type: ignore[type-arg]  # array takes no parameter at run time
    """A bitstring, one bit a superpixel, with a DEAP fitness.

    A subclass of ``array.array("b")``: its slices are copies, as DEAP's crossovers expect, and
    ``bytes`` of it is a key. Made by the classes that :func:`individual_class` gives.
    """

    weights: tuple[float, ...] = (1.0,)
    fitness: Any

    def __new__(cls, bits: Iterable[int] = ()) -> Individual:
        """An individual of these bits, not evaluated yet."""
        return super().__new__(cls, "b", bits)  # type: ignore[return-value]

    def __init__(self, bits: Iterable[int] = ()) -> None:
        self.fitness = fitness_class(self.weights)()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle bits and fitness; the class is made again where it is read."""
        return _rebuild, (self.weights, self.tobytes(), dict(self.__dict__))

    def __deepcopy__(self, memo: Any) -> Individual:
        """A copy of bits, fitness and whatever else an algorithm has attached."""
        return clone(self)


def _rebuild(weights: tuple[float, ...], bits: bytes, state: dict[str, Any]) -> Individual:
    individual = individual_class(weights)(array.array("b", bits))
    individual.__dict__.update(state)
    return individual


def clone(individual: Any) -> Any:
    """A copy that shares nothing with the original; cheaper than ``copy.deepcopy``.

    Anything that isn't an :class:`Individual` goes through ``copy.deepcopy``.

    Examples
    --------
    >>> one = individual_class((1.0,))([0, 1])
    >>> two = clone(one)
    >>> two[0] = 1
    >>> list(one), list(two)
    ([0, 1], [1, 1])
    """
    if not isinstance(individual, Individual):
        return copy.deepcopy(individual)
    twin = type(individual)(individual)
    twin.fitness.wvalues = individual.fitness.wvalues
    if len(individual.__dict__) > 1:
        extra = {k: v for k, v in individual.__dict__.items() if k != "fitness"}
        twin.__dict__.update(copy.deepcopy(extra))
    return twin


def bit_table(individuals: Sequence[Any]) -> NDArray[Any]:
    """The bits of individuals of equal length, or of any other sequences, as a table (N, S).

    Examples
    --------
    >>> bit_table([individual_class((1.0,))([0, 1]), individual_class((1.0,))([1, 1])]).tolist()
    [[0, 1], [1, 1]]
    """
    if not all(isinstance(individual, Individual) for individual in individuals):
        return np.array(individuals)
    # At once: of a list of them NumPy may take bit by bit.
    return np.frombuffer(b"".join(individuals), np.int8).reshape(len(individuals), -1)


class _Fitness(base.Fitness):  # type: ignore[misc]  # DEAP is untyped
    def __init__(self, values: Sequence[float] = ()) -> None:
        # Without the check of the weights in DEAP's own, half of the cost of a clone.
        if len(values):
            self.values = values

    def __reduce__(self) -> Any:
        return _rebuild_fitness, (self.weights, self.wvalues)


def _rebuild_fitness(weights: tuple[float, ...], wvalues: tuple[float, ...]) -> Any:
    fitness = fitness_class(weights)()
    fitness.wvalues = wvalues
    return fitness


@cache
def fitness_class(weights: tuple[float, ...]) -> type[Any]:
    """DEAP's fitness for these weights; the same class each time.

    Examples
    --------
    >>> fitness_class((1.0, -1.0))((0.9, 7)).wvalues
    (0.9, -7.0)
    """
    return type("Fitness", (_Fitness,), {"weights": weights})


@cache
def individual_class(weights: tuple[float, ...]) -> type[Individual]:
    """The class of individuals whose fitness has these weights; the same class each time.

    Examples
    --------
    >>> individual = individual_class((1.0, -1.0))([1, 0, 1])
    >>> individual.fitness.values = (0.9, 2)
    >>> individual.fitness.values
    (0.9, 2.0)
    """
    return type("Individual", (Individual,), {"weights": weights})
