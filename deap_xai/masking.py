"""What stands where a superpixel is hidden, and pictures of masks.

A fill is one picture of the view's size, made once: drawing a mask then only chooses, pixel by
pixel, between the view and the fill.

Every fill takes a view, uint8 (h, w, 3), and its segments, int32 (h, w) with labels 0..S-1, and
gives uint8 (h, w, 3) without changing either. A parameter out of its range is a
:class:`~deap_xai.errors.SettingError`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageColor
import PIL.ImageFilter
import skimage.measure
import skimage.restoration
from numpy.typing import NDArray

from deap_xai.errors import SettingError, check_count
from deap_xai.images import load_image
from deap_xai.registry import Spec, registry
from deap_xai.typing import Masks, Segments, View, Views
from deap_xai.views import fit_image

__all__ = [
    "MaskedView",
    "black",
    "blur",
    "color",
    "fill_view",
    "fills",
    "grey",
    "image",
    "inpaint",
    "mean",
    "noise",
]

INPAINT_SIDE = 64
"""Superpixels with a longer side are inpainted on a reduced copy of about this many pixels."""

# Partly typed in scikit-image, and differently in each release.
sk: Any = skimage

fills = registry("fill", takes=("view", "segments"), ready="a function, (r, g, b) or an array")


@fills.register
def mean(view: View, segments: Segments, /) -> View:
    """Each superpixel in its own mean colour.

    Examples
    --------
    >>> view = np.array([[[0, 0, 0], [10, 20, 30], [9, 9, 9]]], np.uint8)
    >>> mean(view, np.array([[0, 0, 1]], np.int32)).tolist()
    [[[5, 10, 15], [5, 10, 15], [9, 9, 9]]]
    """
    labels = segments.ravel()
    sizes = np.bincount(labels)
    sums = np.stack([np.bincount(labels, view[:, :, c].ravel()) for c in range(3)], axis=-1)
    colours = np.rint(sums / np.maximum(sizes, 1)[:, None]).astype(np.uint8)
    return colours[segments]


@fills.register
def black(view: View, segments: Segments, /) -> View:
    """Black everywhere.

    Examples
    --------
    >>> black(np.ones((1, 1, 3), np.uint8), np.zeros((1, 1), np.int32)).tolist()
    [[[0, 0, 0]]]
    """
    return np.zeros_like(view)


@fills.register
def grey(view: View, segments: Segments, /) -> View:
    """Middle grey, 128, everywhere.

    Examples
    --------
    >>> grey(np.ones((1, 1, 3), np.uint8), np.zeros((1, 1), np.int32)).tolist()
    [[[128, 128, 128]]]
    """
    return np.full_like(view, 128)


@fills.register
def color(view: View, segments: Segments, /, *, rgb: Sequence[int] | str = (255, 255, 255)) -> View:
    """One colour everywhere.

    Parameters
    ----------
    rgb
        Three whole numbers in 0..255, or a name or hex code that Pillow knows, such as
        ``"teal"`` or ``"#008080"``.

    Examples
    --------
    >>> color(np.ones((1, 1, 3), np.uint8), np.zeros((1, 1), np.int32), rgb="#ff8000").tolist()
    [[[255, 128, 0]]]
    """
    return np.full_like(view, _colour(rgb))


@fills.register
def blur(view: View, segments: Segments, /, *, sigma: float | None = None) -> View:
    """The view, blurred.

    Parameters
    ----------
    sigma
        The Gaussian's standard deviation in pixels, 0 or more; unless told a twentieth of the
        view's longer side, 11.2 for 224 pixels: coarse shapes remain, textures and edges don't.

    Examples
    --------
    >>> dot = np.zeros((9, 9, 3), np.uint8)
    >>> dot[4, 4] = 255
    >>> bool(0 < blur(dot, np.zeros((9, 9), np.int32), sigma=1.0)[4, 4, 0] < 255)
    True
    """
    width = max(view.shape[:2]) / 20 if sigma is None else sigma
    if not isinstance(width, int | float | np.number) or not 0 <= width < math.inf:
        raise SettingError(f"sigma must be a number of at least 0, in pixels; got {sigma!r}")
    # Pillow's blur takes the same time whatever the sigma, and stays in 8 bits. It overflows where
    # sigma is huge, and beyond some views' widths the blur is one colour anyway.
    width = min(float(width), 10.0 * max(view.shape[:2]))
    return np.array(PIL.Image.fromarray(view).filter(PIL.ImageFilter.GaussianBlur(width)))


@fills.register
def noise(view: View, segments: Segments, /, *, seed: int = 0) -> View:
    """Every channel of every pixel drawn evenly from 0..255.

    Parameters
    ----------
    seed
        Whole number of at least 0: the same seed, the same noise.

    Examples
    --------
    >>> view, segments = np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int32)
    >>> bool((noise(view, segments, seed=1) == noise(view, segments, seed=1)).all())
    True
    """
    check_count("seed", seed, 0)
    return np.random.default_rng(seed).integers(0, 256, view.shape, dtype=np.uint8)


@fills.register
def image(view: View, segments: Segments, /, *, path: str | os.PathLike[str]) -> View:
    """Another image, stretched to the view's size.

    Parameters
    ----------
    path
        The image's file, or anything else that :func:`~deap_xai.images.load_image` takes; an
        ImageError if it can't be read.

    Examples
    --------
    >>> other = np.full((1, 1, 3), 7, np.uint8)
    >>> image(np.zeros((1, 2, 3), np.uint8), np.array([[0, 1]], np.int32), path=other).tolist()
    [[[7, 7, 7], [7, 7, 7]]]
    """
    height, width = view.shape[:2]
    return fit_image(load_image(path), (height, width))


@fills.register
def inpaint(view: View, segments: Segments, /) -> View:
    """Each superpixel as its surroundings suggest, smoothly continued into it.

    Each superpixel is inpainted on its own, as if it alone were hidden, by
    :func:`skimage.restoration.inpaint_biharmonic`; the fill is put together from these. So the
    fill within a superpixel depends on nothing in it, but where neighbours are hidden together
    it may show their colours. Superpixels longer than 64 pixels are inpainted on a reduced copy.
    One that is all of the view has no surroundings and gets its mean colour. It takes about
    half a second for 50 superpixels on a view of 224 x 224 pixels.

    Examples
    --------
    >>> view = np.array([[[80, 80, 80], [255, 0, 0], [80, 80, 80]]], np.uint8)
    >>> inpaint(view, np.array([[0, 1, 0]], np.int32))[0, 1].tolist()
    [80, 80, 80]
    """
    fill = mean(view, segments)
    if segments.min() == segments.max():
        return fill
    for region in sk.measure.regionprops(segments.astype(np.int32) + 1):
        top, left, bottom, right = region.bbox
        factor = math.ceil(max(bottom - top, right - left) / INPAINT_SIDE)
        # The biharmonic equation looks two pixels beyond the hidden ones, here reduced ones,
        # and a reduced pixel that touches the superpixel doesn't count as known.
        margin = 3 * factor
        rows = slice(max(top - margin, 0), bottom + margin)
        columns = slice(max(left - margin, 0), right + margin)
        hidden = segments[rows, columns] == region.label - 1
        fill[rows, columns][hidden] = _inpainted(view[rows, columns], hidden, factor)[hidden]
    return fill


def fill_view(
    view: View, segments: Segments, spec: Spec | tuple[int, int, int] | NDArray[np.uint8]
) -> View:
    """The picture that stands where superpixels are hidden.

    Parameters
    ----------
    view
        uint8 (h, w, 3).
    segments
        int32 (h, w), 0..S-1.
    spec
        A fill's name with parameters, such as ``"blur:sigma=8"``; a function of the view and the
        segments that gives uint8 (h, w, 3); a colour as a tuple of three numbers in 0..255; or
        such an array itself.

    Returns
    -------
    View
        uint8 (h, w, 3).

    Raises
    ------
    SettingError
        If the name or a parameter is unknown, or what comes isn't a picture of the view's size.

    Examples
    --------
    >>> view, segments = np.zeros((1, 2, 3), np.uint8), np.array([[0, 1]], np.int32)
    >>> fill_view(view, segments, "color:rgb=(1, 2, 3)").tolist()
    [[[1, 2, 3], [1, 2, 3]]]
    """
    if isinstance(spec, np.ndarray):
        # A copy: what its owner does to it later is not what the model saw.
        return _checked(spec, view.shape, "the fill's array").copy(order="C")
    if isinstance(spec, tuple | list):
        return color(view, segments, rgb=spec)
    function = fills.resolve(spec)
    title = repr(spec if isinstance(spec, str) else getattr(spec, "__name__", spec))
    # Copies: one that works in place must not change what is explained, nor later what was shown.
    fill = function(view.copy(), segments.copy())
    return _checked(fill, view.shape, f"fill {title}").copy(order="C")


@dataclass(frozen=True, eq=False)  # comparing arrays gives no single truth
class MaskedView:
    """A view, its superpixels and what stands where one is hidden: all it takes to draw any mask.

    Parameters
    ----------
    view
        uint8 (h, w, 3).
    segments
        Integers (h, w), every value of 0..S-1 present.
    fill
        uint8 (h, w, 3).

    Raises
    ------
    SettingError
        If shapes, dtypes or labels don't fit.

    Examples
    --------
    >>> view = np.array([[[1, 1, 1], [2, 2, 2]]], np.uint8)
    >>> masked = MaskedView(view, np.array([[0, 1]], np.int32), np.zeros_like(view))
    >>> masked.n_segments
    2
    >>> masked.render(np.array([[True, False]])).tolist()
    [[[[1, 1, 1], [0, 0, 0]]]]
    """

    view: View
    segments: Segments
    fill: View

    def __post_init__(self) -> None:
        _checked(self.view, (*np.shape(self.view)[:2], 3), "the view")
        _checked(self.fill, self.view.shape, "the fill")
        _check_segments(self.segments, self.view)

    @cached_property
    def n_segments(self) -> int:
        """Number of superpixels, S."""
        return int(self.segments.max()) + 1

    def render(self, masks: Masks) -> Views:
        """Draw masks: the view where they keep, the fill where they hide.

        Parameters
        ----------
        masks
            bool (N, S).

        Returns
        -------
        Views
            uint8 (N, h, w, 3), as large in memory as it takes and nothing much beside.

        Raises
        ------
        SettingError
            If the masks have another shape or dtype.
        """
        self.check_masks(masks)
        # Bitwise, since that stays in 8 bits and in one array: fill ^ (view ^ fill) is the view,
        # fill ^ 0 the fill. Labels are repeated for each channel to gather whole rows at once,
        # faster than np.where with a broadcast mask.
        labels = np.repeat(self.segments.ravel(), 3)
        keep = masks.astype(np.uint8) * np.uint8(255)
        views: Views = keep.take(labels, axis=1).reshape(len(masks), *self.view.shape)
        views &= self.view ^ self.fill
        views ^= self.fill
        return views

    def check_masks(self, masks: Any) -> None:
        """Refuse, with a SettingError, what are no masks of this view."""
        came, hint = f"a {type(masks).__name__}", "use np.array(masks, dtype=bool)"
        if isinstance(masks, np.ndarray):
            if masks.ndim == 2 and masks.shape[1] == self.n_segments and masks.dtype == np.bool_:
                return
            came = f"{masks.dtype} {masks.shape}"
            hint = "use masks.astype(bool)" if masks.ndim == 2 else "a single one is mask[None]"
            if masks.ndim == 2 and masks.dtype == np.bool_:
                hint = "these are of other superpixels"
        raise SettingError(
            f"masks are {came}; expected bool (N, {self.n_segments}), a column a superpixel: {hint}"
        )


def _inpainted(view: View, hidden: NDArray[np.bool_], factor: int) -> View:
    """Inpaint the hidden pixels of a crop on a copy reduced by a whole factor."""
    height, width = hidden.shape
    padding = (0, -height % factor), (0, -width % factor)
    blocks = (height + padding[0][1]) // factor, factor, (width + padding[1][1]) // factor, factor
    colours = np.pad(view, (*padding, (0, 0)), mode="edge").astype(np.float32) / 255
    small_view = colours.reshape(*blocks, 3).mean(axis=(1, 3))
    small_hidden = np.pad(hidden, padding, mode="edge").reshape(blocks).any(axis=(1, 3))
    if small_hidden.all():  # no reduced pixel is clear of the superpixel
        return np.full_like(view, np.rint(view[~hidden].mean(axis=0)))
    # What is hidden mustn't count, not even as a starting value.
    small_view[small_hidden] = 0
    filled = sk.restoration.inpaint_biharmonic(small_view, small_hidden, channel_axis=-1)
    small = PIL.Image.fromarray(np.rint(filled.clip(0, 1) * 255).astype(np.uint8))
    size = blocks[2] * factor, blocks[0] * factor
    return np.array(small.resize(size, PIL.Image.Resampling.BILINEAR))[:height, :width]


def _colour(rgb: Any) -> tuple[int, ...]:
    if isinstance(rgb, str):
        with suppress(ValueError):
            return PIL.ImageColor.getrgb(rgb)[:3]
    parts = rgb if isinstance(rgb, tuple | list) and len(rgb) == 3 else [None]
    if all(isinstance(part, int | np.integer) and 0 <= part <= 255 for part in parts):
        return tuple(parts)
    raise SettingError(
        f"a colour must be three whole numbers in 0..255, such as (0, 128, 128), or a name or hex "
        f"code that Pillow knows, such as 'teal' or '#008080'; got {rgb!r}"
    )


def _checked(picture: Any, shape: tuple[int, ...], source: str) -> View:
    came = f"a {type(picture).__name__}"
    if isinstance(picture, np.ndarray):
        if picture.shape == shape and picture.dtype == np.uint8:
            return picture
        came = f"{picture.dtype} {picture.shape}"
    raise SettingError(
        f"{source} is {came}; expected an array of uint8, 0..255, of shape {shape}: bring it to "
        f"that size and range, then use .astype(np.uint8)"
    )


def _check_segments(segments: Any, view: View) -> None:
    expected = f"expected integers 0..S-1 of the view's shape {view.shape[:2]}, none left out"
    came = type(segments).__name__
    if isinstance(segments, np.ndarray):
        came = f"{segments.dtype} {segments.shape}"
        if segments.shape == view.shape[:2] and np.issubdtype(segments.dtype, np.integer):
            labels = np.unique(segments)
            if len(labels) and labels[0] == 0 and labels[-1] == len(labels) - 1:
                return
            came += f" with {len(labels)} labels from {labels[:1]} to {labels[-1:]}"
    raise SettingError(
        f"segments are {came}; {expected}: make them with deap_xai.segmentation.segment"
    )
