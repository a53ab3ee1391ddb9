"""Pixels for pages: pictures inside the page, label maps in few characters, thumbnails."""

from __future__ import annotations

import base64
import io

import numpy as np
import PIL.Image

from deap_xai.plotting import fit_labels, kept_picture
from deap_xai.typing import Mask, Segments, View
from deap_xai.views import reduce_image

__all__ = ["LONGEST", "data_uri", "label_runs", "thumbnail"]

LONGEST = 640
"""Longer side of a picture in a page, in pixels; larger views are reduced to it."""

MOST_BYTES = 400_000
"""A lossless picture that would be larger than this is stored as JPEG instead."""

THUMBNAIL = 256


def data_uri(picture: View) -> str:
    """A picture as an address that holds it: PNG, or JPEG where that would be large.

    Examples
    --------
    >>> data_uri(np.zeros((2, 2, 3), np.uint8))[:22]
    'data:image/png;base64,'
    """
    kind, data = "png", _encoded(picture, "PNG", optimize=True)
    if len(data) > MOST_BYTES:
        kind, data = "jpeg", _encoded(picture, "JPEG", quality=90)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def label_runs(segments: Segments) -> list[int]:
    """Run-length code of a label map, row after row: label, length, label, length, …

    Labels in an encoded picture would have to be read back off a canvas, which some browsers
    answer with noise to protect their users from being recognised.

    Examples
    --------
    >>> label_runs(np.array([[0, 0, 1], [1, 1, 2]], np.int32))
    [0, 2, 1, 3, 2, 1]
    """
    flat = segments.ravel()
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    lengths = np.diff(np.r_[starts, len(flat)])
    runs: list[int] = np.stack([flat[starts], lengths], axis=1).ravel().tolist()
    return runs


def thumbnail(view: View, segments: Segments, mask: Mask) -> bytes:
    """The kept part as a small JPEG, 256 pixels at most.

    Examples
    --------
    >>> view, segments = np.zeros((9, 600, 3), np.uint8), np.zeros((9, 600), np.int32)
    >>> PIL.Image.open(io.BytesIO(thumbnail(view, segments, np.array([True])))).size
    (256, 4)
    """
    small = reduce_image(view, THUMBNAIL)
    labels = fit_labels(segments, small.shape[:2])
    return _encoded(kept_picture(small, labels, mask), "JPEG", quality=85)


def _encoded(picture: View, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()
