"""How well an explanation agrees with the truth."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deap_xai.errors import SettingError


class Agreement(NamedTuple):
    """Precision and recall of a mask, counted in pixels, both in 0..1."""

    precision: float
    recall: float


def agreement(
    mask: ArrayLike, segments: NDArray[np.integer[Any]], truth: NDArray[np.bool_]
) -> Agreement:
    """Compare the superpixels that a mask keeps with the true pixels.

    ``mask`` is (S,), 1 where a superpixel is kept; ``segments`` int (H, W) holds labels
    0..S-1; ``truth`` is bool (H, W). Precision is the share of the kept area that is true,
    recall the share of the true area that is kept; each is 0 where its divisor is 0. Raises
    ``SettingError`` where the shapes don't fit together or ``truth`` isn't bool.

    >>> segments = np.array([[0, 0, 1, 1], [2, 2, 2, 2]])
    >>> truth = np.array([[0, 0, 1, 1], [0, 0, 1, 1]], dtype=bool)
    >>> agreement([0, 1, 0], segments, truth)
    Agreement(precision=1.0, recall=0.5)
    >>> agreement([0, 1, 1], segments, truth)
    Agreement(precision=0.6666666666666666, recall=1.0)
    """
    bits = np.asarray(mask, dtype=bool)
    segments, truth = np.asarray(segments), np.asarray(truth)
    if segments.shape != truth.shape:
        raise SettingError(
            f"segments and truth must have one shape, got {segments.shape} and {truth.shape}"
        )
    if truth.dtype != bool:  # sums of other numbers are no counts
        raise SettingError(f"truth must be bool, such as truth > 0; got {truth.dtype}")
    if bits.ndim != 1 or segments.max() >= len(bits):
        raise SettingError(
            f"mask must be (S,) with S at least {segments.max() + 1}, one bit a superpixel, "
            f"got shape {bits.shape}"
        )
    kept = bits[segments]
    both = int((kept & truth).sum())
    return Agreement(both / max(int(kept.sum()), 1), both / max(int(truth.sum()), 1))
