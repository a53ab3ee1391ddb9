"""Mutations that grow, shrink, move and thin out what is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.operators.registration import operators

__all__ = ["mutBoundary", "mutDensify", "mutSparsify", "mutStep", "mutSwap"]

BESIDE = 0.9
"""Probability with which mutStep adds a superpixel beside what was kept, if any is left there."""

AGAIN = 0.3
"""Probability with which mutStep takes a second step, unless told otherwise."""


@operators.register
def mutBoundary(
    individual: Any, neighbours: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Any]:
    """Grow or shrink the kept part by one superpixel at its boundary, in place.

    With equal chance, a hidden superpixel beside a kept one is kept, or a kept one beside a
    hidden one is hidden. Where there is no boundary a random bit flips.

    Parameters
    ----------
    individual
        Bitstring of S bits.
    neighbours
        (S, S), bool, symmetric: which superpixels touch.
    rng
        Source of chance.

    Examples
    --------
    >>> line = np.eye(5, k=1, dtype=bool) | np.eye(5, k=-1, dtype=bool)
    >>> mutBoundary([0, 0, 1, 0, 0], line, np.random.default_rng(0))
    ([0, 0, 1, 1, 0],)
    """
    bits = np.array(individual, bool)
    inside = bits if rng.random() < 0.5 else ~bits
    rim = np.flatnonzero(inside & neighbours[~inside].any(axis=0))
    index = int(rng.choice(rim)) if len(rim) else int(rng.integers(len(bits)))
    individual[index] = 1 - individual[index]
    return (individual,)


@operators.register
def mutSwap(individual: Any, rng: np.random.Generator) -> tuple[Any]:
    """Hide one kept superpixel and keep one hidden, in place: the size stays.

    Where all or none are kept, nothing changes.

    Examples
    --------
    >>> mutSwap([1, 0, 0, 0], np.random.default_rng(0))
    ([0, 0, 0, 1],)
    """
    bits = np.array(individual, bool)
    if bits.any() and not bits.all():
        individual[int(rng.choice(np.flatnonzero(bits)))] = 0
        individual[int(rng.choice(np.flatnonzero(~bits)))] = 1
    return (individual,)


@operators.register
def mutStep(
    individual: Any,
    neighbours: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    again: float = AGAIN,
) -> tuple[Any]:
    """Drop one, add one, or do both, in place; now and then once more.

    What is added touches what was kept nine times in ten.

    Parameters
    ----------
    individual
        Bitstring of S bits.
    neighbours
        (S, S), bool, symmetric: which superpixels touch.
    rng
        Source of chance.
    again
        Probability of a second step of the same kind, 0..1.

    Examples
    --------
    >>> line = np.eye(5, k=1, dtype=bool) | np.eye(5, k=-1, dtype=bool)
    >>> mutStep([0, 0, 1, 0, 0], line, np.random.default_rng(1))
    ([0, 0, 0, 1, 0],)
    """
    kind, more, *draws = rng.random(8).tolist()  # at once: half of the time went into drawing
    for which, where, near in (draws[:3], draws[3:])[: 2 if more < again else 1]:
        bits = np.array(individual, bool)
        kept = bits.nonzero()[0]
        drop = _nth(kept, which) if kind < 2 / 3 and len(kept) else None
        if kind > 1 / 3 and len(kept) < len(bits):
            beside = kept[:0]
            if near < BESIDE:
                beside = ((bits @ neighbours) > bits).nonzero()[0]
            individual[_nth(beside if len(beside) else (~bits).nonzero()[0], where)] = 1
        if drop is not None:
            individual[drop] = 0
    return (individual,)


@operators.register
def mutDensify(individual: Any, rng: np.random.Generator, *, indpb: float = 0.05) -> tuple[Any]:
    """Keep each hidden superpixel with probability ``indpb``, in place.

    Examples
    --------
    >>> mutDensify([1, 0, 0, 0], np.random.default_rng(0), indpb=1.0)
    ([1, 1, 1, 1],)
    """
    for index in np.flatnonzero(rng.random(len(individual)) < indpb):
        individual[index] = 1
    return (individual,)


@operators.register
def mutSparsify(individual: Any, rng: np.random.Generator, *, indpb: float = 0.2) -> tuple[Any]:
    """Hide each kept superpixel with probability ``indpb``, in place.

    Examples
    --------
    >>> mutSparsify([1, 1, 0, 1], np.random.default_rng(0), indpb=1.0)
    ([0, 0, 0, 0],)
    """
    for index in np.flatnonzero(rng.random(len(individual)) < indpb):
        individual[index] = 0
    return (individual,)


def _nth(indices: NDArray[np.intp], share: float) -> int:
    """The one that stands at a share of them, 0 <= share < 1."""
    return int(indices[int(share * len(indices))])
