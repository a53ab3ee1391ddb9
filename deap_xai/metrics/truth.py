"""Agreement with what is known to matter: the pointing game, rank accuracy, overlap.

Truth is a map of true pixels over the view, bool (h, w): the deciding parts of a demo creature, or
a box that someone drew, by :func:`box_truth`.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deap_xai.errors import SettingError
from deap_xai.metrics.areas import as_array
from deap_xai.metrics.stability import jaccard
from deap_xai.typing import Segments
from deap_xai.wording import shortened

__all__ = ["box_truth", "overlap", "pointing_game", "rank_accuracy"]

EDGES = "left, top, right, bottom in pixels"


def box_truth(box: tuple[float, float, float, float], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose middle lies within a box: bool (h, w).

    Parameters
    ----------
    box
        Left, top, right and bottom edge, in pixels; right and bottom are the first outside. What
        lies beyond the picture is cut off.
    shape
        Height and width.

    Raises
    ------
    SettingError
        If the box isn't four finite numbers, or no pixel lies within it.

    Examples
    --------
    >>> box_truth((1, 0, 3, 1), (2, 4)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]
    """
    try:
        edges = np.asarray(box, float)
    except (TypeError, ValueError, OverflowError):
        edges = np.empty(0)
    if edges.shape != (4,) or not np.isfinite(edges).all():
        raise SettingError(f"the box {shortened(box)} isn't four finite numbers; expected {EDGES}")
    left, top, right, bottom = (ceil(max(edge, 0) - 0.5) for edge in edges)
    truth = np.zeros(shape, bool)
    truth[top:bottom, left:right] = True
    if not truth.any():
        raise SettingError(
            f"no pixel of a picture of {shape[1]} x {shape[0]} lies within the box {box}; expected "
            f"{EDGES}"
        )
    return truth


def pointing_game(attribution: ArrayLike, segments: Segments, truth: NDArray[np.bool_]) -> float:
    """Whether the most important superpixel reaches into the truth: 1.0 or 0.0.

    Zhang, Bargal, Lin, Brandt, Shen and Sclaroff, "Top-Down Neural Attention by Excitation
    Backprop", IJCV 2018, without its tolerance of some pixels: a hit where any of the pixels with
    the highest value is true, as in Quantus. The larger superpixels are, the easier it is.

    Parameters
    ----------
    attribution
        Importance of each superpixel, (S,), higher is more.
    segments
        Superpixel labels 0..S-1 over the view, (h, w).
    truth
        (h, w), bool, with one true pixel at least.

    Raises
    ------
    SettingError
        If shapes don't fit together, labels aren't whole numbers from 0, a value is NaN or no
        number, or nothing is true.

    Examples
    --------
    >>> segments = np.array([[0, 0, 1, 1]])
    >>> truth = np.array([[False, False, False, True]])
    >>> pointing_game([0.1, 0.7], segments, truth), pointing_game([0.8, 0.7], segments, truth)
    (1.0, 0.0)
    """
    pixels = _pixels(attribution, segments, truth)
    return float(np.asarray(truth)[pixels == pixels.max()].any())


def rank_accuracy(attribution: ArrayLike, segments: Segments, truth: NDArray[np.bool_]) -> float:
    """Share of the K most important pixels that are true, K being the number of true ones: 0..1.

    Arras, Osman and Samek, "CLEVR-XAI", Information Fusion 2022: "relevance rank accuracy". All
    pixels of a superpixel have its importance; of equally important ones of which only some are
    among the K, each counts by its chance to be.

    Parameters and what is raised as for :func:`pointing_game`.

    Examples
    --------
    >>> segments = np.array([[0, 0, 1, 1]])
    >>> truth = np.array([[False, False, True, True]])
    >>> rank_accuracy([0.1, 0.7], segments, truth), rank_accuracy([0.4, 0.4], segments, truth)
    (1.0, 0.5)
    """
    pixels, truth = _pixels(attribution, segments, truth), np.asarray(truth)
    k = int(truth.sum())
    last = np.sort(pixels, axis=None)[-k]
    above, at = pixels > last, pixels == last
    chance = (k - above.sum()) / at.sum()
    return float(((truth & above).sum() + chance * (truth & at).sum()) / k)


def overlap(mask: ArrayLike, segments: Segments, truth: NDArray[np.bool_]) -> float:
    """Area that is both kept and true, over the area that is either: 0..1, higher is better.

    "Intersection over union", the Jaccard index of two areas (Everingham, Van Gool, Williams,
    Winn and Zisserman, "The PASCAL Visual Object Classes Challenge", IJCV 2010, section 4.2).

    Parameters
    ----------
    mask
        (S,), bool: the superpixels kept.
    segments, truth
        As for :func:`pointing_game`, which also says what is raised; so is what is no mask, such
        as an attribution.

    Examples
    --------
    >>> segments = np.array([[0, 0, 1, 1]])
    >>> overlap([False, True], segments, np.array([[False, False, False, True]]))
    0.5
    """
    if not np.isin(as_array(mask), (0, 1)).all():
        raise SettingError(
            f"the mask must be bool, such as mask > 0; got {shortened(mask)} (an attribution takes "
            "rank_accuracy)"
        )
    return jaccard(_pixels(as_array(mask).astype(bool), segments, truth), truth)


def _pixels(values: ArrayLike, segments: Segments, truth: NDArray[np.bool_]) -> NDArray[Any]:
    """The value of each pixel's superpixel, (h, w)."""
    values, segments, truth = as_array(values), as_array(segments), as_array(truth)
    if segments.shape != truth.shape or truth.dtype != bool:
        raise SettingError(
            f"truth is {truth.dtype} {truth.shape}; expected bool of the segments' "
            f"shape {segments.shape}"
        )
    if not truth.any():
        raise SettingError("nothing is true: truth needs one true pixel at least")
    if segments.dtype.kind not in "iu" or segments.min() < 0:
        raise SettingError(
            f"segments are {shortened(segments)}; expected whole numbers 0..S-1, such as "
            "explanation.segments"
        )
    if values.shape != (int(segments.max()) + 1,):
        raise SettingError(
            f"values are of shape {values.shape}; expected one a superpixel: "
            f"({int(segments.max()) + 1},)"
        )
    if values.dtype.kind not in "biuf":
        raise SettingError(f"values are {values.dtype}; expected a number for each superpixel")
    if np.isnan(values).any():
        raise SettingError("values hold NaN; expected a number for each superpixel")
    pixels: NDArray[Any] = values[segments]
    return pixels
