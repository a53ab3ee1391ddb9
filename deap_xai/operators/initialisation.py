"""Initialisers: the bits of a first individual, or a whole first population."""

from __future__ import annotations

import numpy as np

from deap_xai.operators.registration import operators

__all__ = ["initBernoulli", "initSizes"]


@operators.register
def initBernoulli(n_segments: int, /, rng: np.random.Generator, *, p: float = 0.5) -> list[int]:
    """Bits that keep each superpixel with probability ``p``.

    Parameters
    ----------
    n_segments
        Number of bits, S.
    rng
        Source of chance; the toolbox gives its own.
    p
        Probability that a superpixel is kept, 0..1.

    Examples
    --------
    >>> sum(initBernoulli(100, np.random.default_rng(0), p=0.2))
    19
    """
    return (rng.random(n_segments) < p).astype(int).tolist()


@operators.register
def initSizes(n_segments: int, /, rng: np.random.Generator) -> list[int]:
    """Bits whose number of ones is drawn evenly from 1..S: a population spread over sizes.

    Independent bits all keep about half of the superpixels; a front over sizes needs small and
    large masks from the start.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> [sum(initSizes(50, rng)) for _ in range(5)]
    [34, 47, 14, 30, 41]
    """
    bits = np.zeros(n_segments, int)
    bits[rng.permutation(n_segments)[: rng.integers(1, n_segments + 1)]] = 1
    return bits.tolist()
