"""Crossovers that know which superpixels touch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.operators.registration import operators

__all__ = ["cxRegion"]


@operators.register
def cxRegion(
    ind1: Any, ind2: Any, neighbours: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Any, Any]:
    """Swap the bits of one connected region, in place.

    The region grows from a random superpixel over the adjacency graph to a size drawn evenly
    from 1..S/2. What lies together in the picture stays together, as two-point crossover keeps
    together what lies together in a string.

    Parameters
    ----------
    ind1, ind2
        Bitstrings of S bits.
    neighbours
        (S, S), bool, symmetric: which superpixels touch.
    rng
        Source of chance.

    Returns
    -------
    The two individuals.

    Examples
    --------
    >>> line = np.eye(4, k=1, dtype=bool) | np.eye(4, k=-1, dtype=bool)
    >>> cxRegion([0] * 4, [1] * 4, line, np.random.default_rng(1))
    ([0, 0, 1, 0], [1, 1, 0, 1])
    """
    size = int(rng.integers(1, max(1, len(ind1) // 2) + 1))
    for index in _grow(neighbours, size, rng):
        ind1[index], ind2[index] = ind2[index], ind1[index]
    return ind1, ind2


def _grow(neighbours: NDArray[np.bool_], size: int, rng: np.random.Generator) -> list[int]:
    """A connected region of so many superpixels; fewer where its component is smaller."""
    region = [int(rng.integers(len(neighbours)))]
    inside = np.zeros(len(neighbours), bool)
    inside[region] = True
    reach = neighbours[region[0]].copy()
    while len(region) < size:
        rim = np.flatnonzero(reach & ~inside)
        if not len(rim):
            break
        region.append(int(rng.choice(rim)))
        inside[region[-1]] = True
        reach |= neighbours[region[-1]]
    return region
