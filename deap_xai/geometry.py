"""Where superpixels lie and what colour they have: all that is known before the first question."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2lab

from deap_xai.typing import Segments, View

__all__ = ["Geometry", "geometry"]


class Geometry(NamedTuple):
    """Of each superpixel: its place, its colour, its size.

    Attributes
    ----------
    centres
        (S, 2), centroids as shares of height and width, 0..1.
    colours
        (S, 3), mean colours in CIE Lab.
    areas
        (S,), shares of the view, with a sum of 1.
    """

    centres: NDArray[np.float64]
    colours: NDArray[np.float64]
    areas: NDArray[np.float64]

    def alikeness(self, reach: float, tint: float) -> NDArray[np.float64]:
        """How near and alike in colour two superpixels are: (S, S), 1 on the diagonal, 0..1.

        exp(-d²/(2·reach²) - c²/(2·tint²)) for distance d and colour difference c.
        """
        near = _squared_distances(self.centres) / (2 * reach**2)
        alike = _squared_distances(self.colours) / (2 * tint**2)
        return np.exp(-near - alike)

    def central(self, width: float) -> NDArray[np.float64]:
        """Areas weighted by nearness to the middle of the view: (S,), with a sum of 1."""
        off = ((self.centres - 0.5) ** 2).sum(axis=1)
        share = self.areas * np.exp(-off / (2 * width**2))
        return share / share.sum()


def geometry(segments: Segments, view: View) -> Geometry:
    """The geometry of superpixels (h, w) over a view (h, w, 3).

    Examples
    --------
    >>> segments = np.array([[0, 0, 0, 1]], np.int32)
    >>> found = geometry(segments, np.zeros((1, 4, 3), np.uint8))
    >>> found.areas.tolist(), found.centres[:, 1].tolist()
    ([0.75, 0.25], [0.375, 0.875])
    """
    labels = segments.ravel()
    pixels = np.bincount(labels)

    def mean(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(labels, values.ravel()) / pixels

    height, width = segments.shape
    y, x = np.mgrid[:height, :width] + 0.5
    lab = rgb2lab(view)
    return Geometry(
        centres=np.stack([mean(y / height), mean(x / width)], axis=1),
        colours=np.stack([mean(lab[..., channel]) for channel in range(3)], axis=1),
        areas=pixels / pixels.sum(),
    )


def _squared_distances(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((points[:, None] - points[None]) ** 2).sum(axis=-1)
