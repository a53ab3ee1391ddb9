"""Groups of look-alike explanations, so that a shortcut stands out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.cluster.vq import vq

from deap_xai.runs.rows import GRID

__all__ = ["Group", "groups"]

ALIKE = 2.0
"""Mean distance below which groups are joined: as far as with 4 of 64 cells kept in one only."""

COLOUR = 2.0
"""Weight of the kept part's mean colour, in 0..1, beside the 64 cells of its map."""

SAMPLE = 1500
"""Explanations that are compared each with each; any others join the nearest group."""


class Group(NamedTuple):
    """Explanations that sit in like places and have like colours.

    Attributes
    ----------
    pictures
        How many.
    map
        (8, 8), 0..1: mean share of each cell that is kept.
    colour
        Mean RGB of the kept parts, 0..255.
    classes
        Pictures by class, most first.
    typical
        Rows of the pictures that are nearest to the group's middle, at most four.
    """

    pictures: int
    map: NDArray[np.float64]
    colour: tuple[int, ...]
    classes: Mapping[str, int]
    typical: tuple[int, ...]


def groups(maps: NDArray[Any], colours: NDArray[Any], names: NDArray[Any]) -> list[Group]:
    """Group explanations by where they sit and by the colour of what they keep.

    Average linkage (Sokal and Michener, 1958) on the maps' cells and the mean colour, cut at a
    fixed distance: where a classifier reads one thing in one place, one group holds most pictures;
    where it looks at creatures that stand here and there, there are many.

    Parameters
    ----------
    maps
        (N, 8, 8), 0..1: share of each cell that is kept.
    colours
        (N, 3), 0..255: mean colour of what is kept.
    names
        (N,): class of each picture.

    Returns
    -------
    The groups, largest first; together they hold each picture once.

    Examples
    --------
    >>> maps = np.zeros((20, 8, 8))
    >>> maps[:12, :2, :3], maps[12:, 6:, 5:] = 1, 1
    >>> found = groups(maps, np.zeros((20, 3)), np.array(["frog"] * 20))
    >>> [(group.pictures, group.classes, group.typical[0]) for group in found]
    [(12, {'frog': 12}, 0), (8, {'frog': 8}, 12)]
    """
    features = np.concatenate(
        [maps.reshape(len(maps), GRID * GRID), COLOUR * colours / 255], axis=1
    )
    features = features.astype(np.float64)
    labels = _labels(features)
    found = [
        _group(np.flatnonzero(labels == label), features, names) for label in np.unique(labels)
    ]
    return sorted(found, key=lambda group: (-group.pictures, group.typical))


def _labels(features: NDArray[np.float64]) -> NDArray[np.int_]:
    if len(features) < 2:
        return np.zeros(len(features), int)
    rows = np.unique(np.linspace(0, len(features) - 1, min(SAMPLE, len(features))).astype(int))
    sample = features[rows]
    labels = fcluster(linkage(sample, "average"), ALIKE, "distance") - 1
    if len(rows) < len(features):
        centres = [sample[labels == label].mean(axis=0) for label in range(labels.max() + 1)]
        labels = vq(features, np.array(centres))[0]
    return labels.astype(int)


def _group(mine: NDArray[np.intp], features: NDArray[np.float64], names: NDArray[Any]) -> Group:
    middle = features[mine].mean(axis=0)
    distance = ((features[mine] - middle) ** 2).sum(axis=1)
    return Group(
        pictures=len(mine),
        map=middle[:-3].reshape(8, 8),
        colour=tuple((middle[-3:] * 255 / COLOUR).round().astype(int).tolist()),
        classes=dict(Counter(names[mine].tolist()).most_common()),
        typical=tuple(mine[np.argsort(distance, kind="stable")[:4]].tolist()),
    )
