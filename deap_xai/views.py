"""From an image to the view that a model takes, or to a smaller one to look at."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import PIL.Image
from PIL.Image import Resampling

from deap_xai.errors import SettingError
from deap_xai.typing import Image, View

__all__ = ["fit_image", "read_only", "reduce_image", "view_sides"]


def fit_image(image: Image, size: int | tuple[int, int]) -> View:
    """Bring an image to the size that a model takes, bilinear with antialiasing.

    Parameters
    ----------
    image
        uint8 (H, W, 3).
    size
        A number: the shorter side is resized to it and the centre square kept, as torchvision's
        ``Resize`` and ``CenterCrop`` do. A pair (h, w): resized to exactly that, whatever it does
        to the proportions. Smaller images are enlarged.

    Returns
    -------
    View
        uint8 (size, size, 3) or (h, w, 3), never shared with ``image``.

    Raises
    ------
    SettingError
        If ``size`` is neither a positive whole number nor a pair of them.

    Examples
    --------
    >>> fit_image(np.zeros((40, 60, 3), np.uint8), 32).shape
    (32, 32, 3)
    >>> fit_image(np.zeros((40, 60, 3), np.uint8), (20, 50)).shape
    (20, 50, 3)
    """
    height, width = image.shape[:2]
    new_height, new_width = view_sides(size)
    box = (0.0, 0.0, float(width), float(height))
    if not isinstance(size, tuple | list):
        box = _centre_box(height, width, new_height)
    # Resizing only the part that is kept spares a panorama's long side: 1 x 60000 pixels at
    # size 224 would otherwise become nine gigabytes before the crop.
    picture = PIL.Image.fromarray(image)
    return np.array(picture.resize((new_width, new_height), Resampling.BILINEAR, box=box))


def reduce_image(image: Image, longest: int) -> View:
    """An image whose longer side has so many pixels at most, in its own proportions.

    Examples
    --------
    >>> reduce_image(np.zeros((40, 60, 3), np.uint8), 30).shape
    (20, 30, 3)
    """
    factor = longest / max(image.shape[:2])
    if factor >= 1:
        return image
    height, width = (max(1, round(side * factor)) for side in image.shape[:2])
    return fit_image(image, (height, width))


def view_sides(size: Any) -> tuple[int, int]:
    """Height and width of such a view; see :func:`fit_image`."""
    try:
        pair = size if isinstance(size, tuple | list) else (size, size)
        height, width = (operator.index(side) for side in pair)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1 or isinstance(size, bool):
        raise SettingError(
            f"a view's size must be a positive whole number or a pair (height, width) of them, "
            f"such as 224 or (224, 224); got {size!r}"
        )
    return height, width


def _centre_box(height: int, width: int, size: int) -> tuple[float, float, float, float]:
    """Where torchvision's centre crop lies, in pixels of the image before resizing."""
    shorter = min(height, width)
    resized_height, resized_width = int(size * height / shorter), int(size * width / shorter)
    # torchvision rounds halves to even, as Python's round does.
    top, left = round((resized_height - size) / 2), round((resized_width - size) / 2)
    down, across = height / resized_height, width / resized_width
    return (
        left * across,
        top * down,
        min((left + size) * across, width),
        min((top + size) * down, height),
    )


def read_only(array: Any) -> Any:
    """The same array, but nobody can write into it by this name."""
    array = array.view()
    array.flags.writeable = False
    return array
