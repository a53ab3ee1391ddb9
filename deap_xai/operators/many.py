"""Operators on many masks at once: the same draws, and the same children, as one by one."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from deap import tools
from numpy.typing import NDArray

from deap_xai.operators.mutation import AGAIN, BESIDE, mutStep
from deap_xai.registry import behind
from deap_xai.typing import Masks

__all__ = ["on_masks"]

Shares = NDArray[np.float64]


def on_masks(
    operator: Callable[..., Any], parameters: Mapping[str, Any]
) -> Callable[..., Any] | None:
    """An operator's form for masks (N, S), with the same parameters; None where it has none.

    A crossover takes two tables of masks and gives two, a mutation takes and gives one. Given the
    state of chance, the rows are what the operator makes of one individual after the other.

    Examples
    --------
    >>> on_masks(tools.cxUniform, {"indpb": 1.0})(np.array([[True]]), np.array([[False]]))
    (array([[False]]), array([[ True]]))
    >>> on_masks(tools.cxTwoPoint, {}) is None
    True
    """
    plain = behind(operator)
    for known, form in _FORMS:  # by identity: not every callable can be hashed
        if plain is known:
            return partial(form, **{**getattr(operator, "keywords", {}), **parameters})
    return None


def _uniform(one: Masks, two: Masks, indpb: float) -> tuple[Masks, Masks]:
    swap = _draws(one.size).reshape(one.shape) < indpb
    return np.where(swap, two, one), np.where(swap, one, two)


def _draws(n: int) -> Shares:
    """What ``random.random``, DEAP's source of chance, gives in n calls, at once.

    It makes each number of two words of the Mersenne Twister, by their upper 27 and 26 bits.
    """
    words = np.frombuffer(random.getrandbits(64 * n).to_bytes(8 * n, "little"), "<u4")
    return ((words[::2] >> 5) * 2.0**26 + (words[1::2] >> 6)) / 2.0**53


def _steps(
    masks: Masks, neighbours: NDArray[np.bool_], rng: np.random.Generator, again: float = AGAIN
) -> Masks:
    draws = rng.random((len(masks), 8))
    masks = _step(masks, neighbours, draws[:, 0], draws[:, 2:5])
    more = draws[:, 1] < again
    masks[more] = _step(masks[more], neighbours, draws[more, 0], draws[more, 5:])
    return masks


def _step(masks: Masks, neighbours: NDArray[np.bool_], kind: Shares, draws: Shares) -> Masks:
    """Drop one, add one or do both, as the kind of each says and three draws decide."""
    which, where, near = draws.T
    hidden = ~masks
    beside: Masks = hidden & (masks.astype(np.float32) @ neighbours.astype(np.float32) > 0)
    beside[near >= BESIDE] = False
    fit = np.where(beside.any(axis=1, keepdims=True), beside, hidden)
    add, drop = _nth(fit, where), _nth(masks, which)
    add[kind <= 1 / 3], drop[kind >= 2 / 3] = False, False
    return (masks | add) & ~drop


def _nth(masks: Masks, shares: Shares) -> Masks:
    """Of each mask the one that stands at a share of those kept, 0 <= share < 1; none of none."""
    places = masks.cumsum(axis=1)
    wanted = (shares * places[:, -1]).astype(int) + 1
    found: Masks = masks & (places == wanted[:, None])
    return found


_FORMS: list[tuple[Any, Callable[..., Any]]] = [(tools.cxUniform, _uniform), (mutStep, _steps)]
