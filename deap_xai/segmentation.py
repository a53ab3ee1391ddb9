"""Cut a view into superpixels: the parts that a mask keeps or hides.

The segmenters bear scikit-image's names and parameters. All are deterministic: the same view
gives the same superpixels. Every segmenter takes a view, uint8 (h, w, 3), and gives integer labels
(h, w), which :func:`segment` renumbers. A parameter out of its range is a
:class:`~deap_xai.errors.SettingError`.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
import skimage.color
import skimage.filters
import skimage.segmentation
from numpy.typing import NDArray

from deap_xai.errors import ImageError, SettingError, check_count
from deap_xai.registry import Spec, registry
from deap_xai.typing import Segments, View
from deap_xai.views import reduce_image

__all__ = [
    "Labels",
    "adjacency",
    "felzenszwalb",
    "grid",
    "quickshift",
    "segment",
    "segmenters",
    "slic",
    "watershed",
]

Labels: TypeAlias = NDArray[np.signedinteger[Any]]
"""A label map as segmenters give it: integers (h, w), not necessarily 0..S-1."""

LONGEST = 512
"""Views with a longer side are segmented on a copy reduced to this many pixels."""

# Partly typed in scikit-image, and differently in each release.
sk: Any = skimage

segmenters = registry(
    "segmenter", takes=("view",), ready="a function, or labels as an array (h, w)"
)


@segmenters.register
def slic(
    view: View, /, *, n_segments: int = 50, compactness: float = 20.0, sigma: float = 1.0
) -> Labels:
    """Cluster pixels by colour and place (:func:`skimage.segmentation.slic`).

    Parameters
    ----------
    n_segments
        About how many superpixels, at least 1; a busy picture gives fewer.
    compactness
        Above 0; higher makes squarer superpixels, lower follows colours more closely.
    sigma
        Width in pixels of the smoothing beforehand, 0 or more. The default of 1 keeps noise and
        fine texture from swallowing superpixels, of which a busy photograph is else left fewer.

    Examples
    --------
    >>> halves = np.zeros((16, 32, 3), np.uint8)
    >>> halves[:, 16:] = 255
    >>> slic(halves, n_segments=2)[0, ::8].tolist()
    [0, 0, 1, 1]
    """
    labels: Labels = sk.segmentation.slic(
        view,
        n_segments=_count("n_segments", n_segments, view),
        compactness=_number("compactness", compactness, 0, strict=True),
        sigma=_number("sigma", sigma, 0),
        start_label=0,
        channel_axis=-1,
    )
    return labels


@segmenters.register
def quickshift(
    view: View, /, *, kernel_size: float = 4.0, max_dist: float = 200.0, ratio: float = 0.2
) -> Labels:
    """Seek modes of colour and place (:func:`skimage.segmentation.quickshift`).

    The defaults are those of LIME's reference implementation.

    Parameters
    ----------
    kernel_size
        Width in pixels of the density estimate, at least 1; higher gives fewer superpixels.
    max_dist
        Greatest distance to a mode, above 0; higher gives fewer superpixels.
    ratio
        Weight of colour against place, 0..1.

    Examples
    --------
    >>> halves = np.zeros((8, 16, 3), np.uint8)
    >>> halves[:, 8:] = 255
    >>> len(np.unique(quickshift(halves, max_dist=10.0)))
    2
    """
    labels: Labels = sk.segmentation.quickshift(
        view,
        kernel_size=_number("kernel_size", kernel_size, 1),
        max_dist=_number("max_dist", max_dist, 0, strict=True),
        ratio=_number("ratio", ratio, 0, 1),
        rng=0,  # it breaks ties by chance
        channel_axis=-1,
    )
    return labels


@segmenters.register
def felzenszwalb(
    view: View, /, *, scale: float = 200.0, sigma: float = 0.8, min_size: int = 100
) -> Labels:
    """Merge pixels along a graph of colours (:func:`skimage.segmentation.felzenszwalb`).

    Parameters
    ----------
    scale
        Above 0; higher gives fewer and larger superpixels.
    sigma
        Width in pixels of the smoothing beforehand, 0 or more.
    min_size
        Fewest pixels of a superpixel, at least 1. The defaults leave 25 to 80 superpixels on
        photographs of 224 x 224 pixels.

    Examples
    --------
    >>> halves = np.zeros((16, 32, 3), np.uint8)
    >>> halves[:, 16:] = 255
    >>> felzenszwalb(halves)[0, ::8].tolist()
    [0, 0, 1, 1]
    """
    labels: Labels = sk.segmentation.felzenszwalb(
        view,
        scale=_number("scale", scale, 0, strict=True),
        sigma=_number("sigma", sigma, 0),
        min_size=_count("min_size", min_size, view),
        channel_axis=-1,
    )
    return labels


@segmenters.register
def watershed(view: View, /, *, n_segments: int = 50, compactness: float = 0.001) -> Labels:
    """Flood the picture's edges from a grid of markers (:func:`skimage.segmentation.watershed`).

    Parameters
    ----------
    n_segments
        About how many superpixels, at least 1: one a marker.
    compactness
        0 or more; higher makes squarer superpixels.

    Examples
    --------
    >>> halves = np.zeros((16, 32, 3), np.uint8)
    >>> halves[:, 16:] = 255
    >>> watershed(halves, n_segments=2)[0, ::8].tolist()
    [1, 1, 2, 2]
    """
    labels: Labels = sk.segmentation.watershed(
        sk.filters.sobel(sk.color.rgb2gray(view)),
        markers=_count("n_segments", n_segments, view),
        compactness=_number("compactness", compactness, 0),
    )
    return labels


@segmenters.register
def grid(view: View, /, *, n_segments: int = 49) -> Labels:
    """Cut into equal rectangles, numbered row by row, whatever the picture shows.

    Parameters
    ----------
    n_segments
        About how many superpixels, at least 1: the nearest number for which the rectangles are
        nearly square, 49 instead of 50 on a square view; never more than there are pixels.

    Examples
    --------
    >>> grid(np.zeros((2, 6, 3), np.uint8), n_segments=3).tolist()
    [[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]]
    """
    height, width = view.shape[:2]
    wanted = _count("n_segments", n_segments, view)
    rows = np.tile(np.arange(1, min(height, wanted) + 1), 2)
    # For each number of rows, the two numbers of columns that come nearest to the wish.
    columns = wanted // rows
    columns[len(rows) // 2 :] += 1
    columns = np.clip(columns, 1, width)
    # As ratios, so that twice as many counts as much as half; the number of rectangles matters
    # more than their shape, else two would become one or four.
    off_number = np.abs(np.log(rows * columns / wanted))
    off_square = np.abs(np.log((height / rows) / (width / columns)))
    best = np.argmin(2 * off_number + off_square)
    row = np.arange(height) * rows[best] // height
    column = np.arange(width) * columns[best] // width
    labels: Labels = row[:, None] * columns[best] + column
    return labels


def segment(view: View, spec: Spec | NDArray[Any]) -> tuple[Segments, list[str]]:
    """Cut a view into superpixels 0..S-1.

    Parameters
    ----------
    view
        uint8 (h, w, 3).
    spec
        A segmenter's name with parameters, such as ``"slic:n_segments=80"``; a function of the
        view that gives integer labels (h, w); or such a label map itself. Named segmenters work
        on a reduced copy of views longer than 512 pixels, so their parameters in pixels refer to
        that; a function of yours gets the view as it is.

    Returns
    -------
    segments : Segments
        int32 (h, w), in the order of the labels that they come from, S at least 2.
    warnings : list of str
        Mostly empty. Where the segmenter found one superpixel only, as on a plain picture, the
        view is cut by :func:`grid` instead, and this says so.

    Raises
    ------
    SettingError
        If the name or a parameter is unknown, or the label map isn't one for this view.
    ImageError
        If the view is a single pixel, which no one can cut.

    Examples
    --------
    >>> segments, warnings = segment(np.zeros((4, 4, 3), np.uint8), "grid:n_segments=4")
    >>> segments.tolist(), warnings
    ([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]], [])
    """
    height, width = view.shape[:2]
    if height * width == 1:
        raise ImageError("the view is a single pixel, so it has no parts; give a larger image")
    if isinstance(spec, np.ndarray):
        return _ready_segments(spec, view), []
    segmenter = segmenters.resolve(spec)
    small = reduce_image(view, LONGEST) if isinstance(spec, str) else view
    try:
        labels = segmenter(small.copy())  # one that works in place must not change what is shown
    except MemoryError as error:  # a width of a million pixels
        raise SettingError(f"segmenter {_title(spec)} needs too much memory: {error}") from error
    segments = _relabelled(_checked(labels, small, f"segmenter {_title(spec)}"))
    warnings = []
    if segments.max() == 0:
        segments = _relabelled(grid(small))
        warnings.append(
            f"The segmenter {_title(spec)} found a single superpixel, so the view was cut into a "
            f"plain grid of {segments.max() + 1} instead."
        )
    return _enlarged(segments, height, width), warnings


def adjacency(segments: Segments) -> NDArray[np.bool_]:
    """Which superpixels touch: those with pixels above, below, left or right of each other.

    Parameters
    ----------
    segments
        int32 (h, w), 0..S-1.

    Returns
    -------
    bool
        (S, S), symmetric; no superpixel touches itself.

    Examples
    --------
    >>> adjacency(np.array([[0, 1, 1, 2]], np.int32)).astype(int)
    array([[0, 1, 0],
           [1, 0, 1],
           [0, 1, 0]])
    """
    n_segments = int(segments.max()) + 1
    touching = np.zeros((n_segments, n_segments), dtype=np.bool_)
    touching[segments[:, :-1], segments[:, 1:]] = True
    touching[segments[:-1], segments[1:]] = True
    touching |= touching.T
    np.fill_diagonal(touching, False)
    return touching


def _title(spec: Spec) -> str:
    return repr(spec if isinstance(spec, str) else getattr(spec, "__name__", spec))


def _ready_segments(labels: NDArray[Any], view: View) -> Segments:
    segments = _relabelled(_checked(labels, view, "the label map"))
    if segments.max() == 0:
        raise SettingError(
            f"the label map has a single label, {labels.flat[0]}; expected at least two, since a "
            f"mask chooses between superpixels: give a finer map or a segmenter's name"
        )
    return segments


def _checked(labels: Any, view: View, source: str) -> Labels:
    expected = f"expected integers of the view's shape {view.shape[:2]}"
    if not isinstance(labels, np.ndarray):
        raise SettingError(
            f"{source} gave {type(labels).__name__}; {expected}: make it a NumPy array"
        )
    if labels.shape != view.shape[:2]:
        raise SettingError(
            f"{source} has shape {labels.shape}; {expected}: label each pixel of the view"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise SettingError(f"{source} has dtype {labels.dtype}; {expected}: use .astype(int)")
    return labels


def _relabelled(labels: Labels) -> Segments:
    inverse = np.unique(labels, return_inverse=True)[1]
    # NumPy 1 gives the inverse flat, NumPy 2 in the input's shape.
    segments: Segments = inverse.reshape(labels.shape).astype(np.int32)
    return segments


def _enlarged(segments: Segments, height: int, width: int) -> Segments:
    rows = np.arange(height) * segments.shape[0] // height
    columns = np.arange(width) * segments.shape[1] // width
    enlarged: Segments = segments[rows[:, None], columns]
    return enlarged


def _count(name: str, value: Any, view: View) -> int:
    """A positive whole number, cut to the number of pixels: more can't be had."""
    check_count(name, value, 1)
    return min(int(value), view.size // 3)


def _number(
    name: str, value: Any, least: float, most: float = math.inf, *, strict: bool = False
) -> float:
    """A finite number of at least (strict: above) ``least`` and at most ``most``."""
    numeric = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if (
        numeric
        and math.isfinite(value)
        and least <= value <= most
        and not (strict and value == least)
    ):
        return float(value)
    lower = f"above {least:g}" if strict else f"of at least {least:g}"
    upper = f" and at most {most:g}" if most < math.inf else ""
    raise SettingError(f"{name} must be a number {lower}{upper}; got {value!r}")
