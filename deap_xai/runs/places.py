"""Places at the frame's edge that explanations sit on too often: where shortcuts live."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deap_xai.runs.rows import GRID

__all__ = ["CELLS", "Place", "cell_names", "coarse", "standing_out"]

CELLS = 4
"""Places are the cells of a grid of so many a side; the twelve along the frame are tested."""

LEVEL = 0.01
"""Chance of any false alarm in a whole summary, were superpixels kept at random."""

SHARE = 0.25
"""A place stands out only if it holds this share of what is kept: four times its area's."""


class Place(NamedTuple):
    """A place that stands out.

    Attributes
    ----------
    where
        Such as ``"lower right corner"``.
    row, column
        Its cell, 0..3 from the upper left.
    target_name
        The class; None for all of them together.
    pictures
        Of that class.
    coverage
        Mean share of the place that is kept, 0..1.
    expected
        The same, were as many superpixels kept at random.
    share
        Mean share of the kept part that lies in the place, 0..1; its area is 1/16.
    p
        Bound on the probability of such a coverage by chance.
    """

    where: str
    row: int
    column: int
    target_name: str | None
    pictures: int
    coverage: float
    expected: float
    share: float
    p: float


def standing_out(maps: NDArray[Any], kept: NDArray[Any], names: NDArray[Any]) -> list[Place]:
    """Corners and edges that explanations sit on more often than chance, over all and by class.

    Were k of S superpixels kept at random, each place would be covered by k/S on average,
    whatever the superpixels' shapes. Coverages of different pictures are independent and in 0..1,
    so a mean over n of them exceeds its expectation by t with a probability of at most
    exp(-2 n t**2): Hoeffding, "Probability inequalities for sums of bounded random variables",
    JASA 58, 1963, theorem 1. A place stands out if that bound is below ``LEVEL`` divided by the
    number of places and classes looked at, and the place holds a quarter of what is kept, so that
    ears or a tail that reach the edge now and then don't count.

    Parameters
    ----------
    maps
        (N, 8, 8), 0..1: share of each cell that is kept.
    kept
        (N,): share of superpixels that is kept.
    names
        (N,): class of each picture.

    Returns
    -------
    The places, most covered first.

    Examples
    --------
    >>> maps = np.zeros((40, 8, 8))
    >>> maps[:, 6:, 6:] = 1
    >>> found = standing_out(maps, np.full(40, 1 / 16), np.array(["frog"] * 40))
    >>> [(place.where, place.target_name, place.coverage) for place in found]
    [('lower right corner', None, 1.0), ('lower right corner', 'frog', 1.0)]
    """
    cells = coarse(maps)
    classes = [None, *sorted(set(names.tolist()))]
    found = []
    for name in classes:
        mine = np.ones(len(names), bool) if name is None else names == name
        n, coverage, expected = int(mine.sum()), cells[mine].mean(axis=0), float(kept[mine].mean())
        share = _shares(cells[mine]).mean(axis=0)
        for (row, column), where in cell_names().items():
            excess = float(coverage[row, column]) - expected
            p = math.exp(-2 * n * excess**2) if excess > 0 else 1.0
            if p <= LEVEL / (12 * len(classes)) and share[row, column] >= SHARE:
                facts = float(coverage[row, column]), expected, float(share[row, column]), p
                found.append(Place(where, row, column, name, n, *facts))
    return sorted(found, key=lambda place: -place.coverage)


def coarse(maps: NDArray[Any]) -> NDArray[np.float64]:
    """Maps (N, 8, 8) on the grid of places: (N, 4, 4)."""
    step = GRID // CELLS
    blocks: NDArray[np.float64] = maps.reshape(-1, CELLS, step, CELLS, step).mean(axis=(2, 4))
    return blocks


def cell_names() -> dict[tuple[int, int], str]:
    """The twelve cells along the frame, by row and column, in words.

    Examples
    --------
    >>> cell_names()[3, 3], cell_names()[0, 1]
    ('lower right corner', 'upper edge, left of the middle')
    """
    sides, last = {0: "upper", CELLS - 1: "lower"}, CELLS - 1
    names = {}
    for row in range(CELLS):
        for column in range(CELLS):
            side = "left" if column < CELLS / 2 else "right"
            if row in sides and column in (0, last):
                names[row, column] = f"{sides[row]} {side} corner"
            elif row in sides:
                names[row, column] = f"{sides[row]} edge, {side} of the middle"
            elif column in (0, last):
                height = "above" if row < CELLS / 2 else "below"
                names[row, column] = f"{side} edge, {height} the middle"
    return names


def _shares(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each picture's kept part that lies in each cell; 0 where nothing is kept."""
    total = cells.sum(axis=(1, 2), keepdims=True)
    return cells / np.where(total == 0, 1, total)
