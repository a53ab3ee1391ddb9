"""How alike explanations of one image are: over seeds, over fills, over segmenters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from deap_xai.errors import SettingError
from deap_xai.metrics.areas import as_array

__all__ = ["jaccard", "rank_correlation", "stability"]


def jaccard(first: ArrayLike, second: ArrayLike) -> float:
    """What two masks both keep, over what either keeps: 0..1; 1 where neither keeps anything.

    Jaccard, "The Distribution of the Flora in the Alpine Zone", New Phytologist 1912.

    Parameters
    ----------
    first, second
        Bools of one shape: masks (S,), or areas ``mask[segments]`` (h, w).

    Raises
    ------
    SettingError
        If the shapes differ, or there is anything but 0 and 1.

    Examples
    --------
    >>> jaccard([True, True, False], [False, True, True])
    0.3333333333333333
    """
    first, second = _alike(first, second)
    for mask in (first, second):
        if ((mask != 0) & (mask != 1)).any():
            raise SettingError(
                f"jaccard compares masks, got {mask[(mask != 0) & (mask != 1)][0]!r}; of "
                "attributions take rank_correlation"
            )
    a, b = first.astype(bool), second.astype(bool)
    either = int((a | b).sum())
    return float((a & b).sum() / either) if either else 1.0


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Whether two attributions put things into the same order: -1..1.

    Pearson's correlation of ranks, equal values having the mean of theirs. Spearman, "The Proof
    and Measurement of Association between Two Things", American Journal of Psychology 1904. NaN
    where all values of either are equal, as there is no order.

    Parameters
    ----------
    first, second
        Numbers of one shape: attributions (S,), or spread over pixels, ``attribution[segments]``.

    Raises
    ------
    SettingError
        If the shapes differ, or values are no numbers.

    Examples
    --------
    >>> rank_correlation([0.1, 0.5, 0.7], [1, 2, 30])
    1.0
    """
    a, b = (rankdata(values) - (np.size(values) + 1) / 2 for values in _alike(first, second))
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return float(np.clip(a @ b / spread, -1, 1)) if spread else float("nan")


def stability(items: Sequence[Any], similarity: Callable[[Any, Any], float] = jaccard) -> float:
    """Mean similarity of all pairs.

    Kalousis, Prados and Hilario, "Stability of feature selection algorithms", Knowledge and
    Information Systems 2007. Over seeds, compare masks with :func:`jaccard` and attributions with
    :func:`rank_correlation`; likewise over fills. Superpixels of different segmenters aren't the
    same things, so over these compare pixels: ``e.mask[e.segments]`` and
    ``e.attribution[e.segments]``.

    Parameters
    ----------
    items
        Two or more of what ``similarity`` takes.
    similarity
        Of two items.

    Raises
    ------
    SettingError
        If there are fewer than two items, their shapes differ, or values are no numbers.

    Examples
    --------
    >>> stability([[True, False], [True, False], [True, True]])
    0.6666666666666666
    >>> stability([[1, 2, 3], [3, 2, 1]], rank_correlation)
    -1.0

    Over segmenters:

    >>> from deap_xai import Explainer
    >>> def left(views):
    ...     p = views[:, :, :20].mean(axis=(1, 2, 3)) / 255
    ...     return np.stack([p, 1 - p], axis=1)
    >>> image = np.full((40, 40, 3), 250, np.uint8)
    >>> grids = "grid:n_segments=4", "grid:n_segments=16"
    >>> found = [
    ...     Explainer(left, segments=s, fill="black", budget=150).explain(image, 0) for s in grids
    ... ]
    >>> stability([e.mask[e.segments] for e in found])
    1.0
    """
    if len(items) < 2:
        raise SettingError(f"got {len(items)} to compare; stability needs two at least")
    return float(np.mean([similarity(a, b) for a, b in combinations(items, 2)]))


def _alike(first: ArrayLike, second: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    a, b = as_array(first), as_array(second)
    for one, came in ((a, first), (b, second)):
        if one.dtype.kind not in "biuf":
            raise SettingError(
                f"got {one.dtype} values, of a {type(came).__name__}; expected bools or numbers, "
                "such as explanation.mask"
            )
    if a.shape != b.shape:
        raise SettingError(
            f"got shapes {a.shape} and {b.shape}, expected one; superpixels of different "
            "segmentations compare as pixels: mask[segments]"
        )
    return a.ravel(), b.ravel()
