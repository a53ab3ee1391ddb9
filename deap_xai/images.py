"""From whatever the user gave to RGB pixels.

Colours come out as an everyday viewer shows them: upright, transparency laid over white,
16-bit scaled to 8-bit. Embedded colour profiles are not applied, since the loaders that
classifiers are trained with don't apply them either.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.Image import Transpose

from deap_xai.errors import ImageError
from deap_xai.typing import Image

if TYPE_CHECKING:
    import torch

__all__ = ["ImageLike", "image_name", "load_image"]

ImageLike: TypeAlias = (
    "str | os.PathLike[str] | os.PathLike[bytes] | PIL.Image.Image | NDArray[Any] | torch.Tensor"
)
"""What users may give as an image."""

ACCEPTED = "a path, a PIL image, a NumPy array (H, W, 3) or a torch tensor (3, H, W)"

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What turns a picture upright, by its EXIF orientation."""

OVERSHOOT = 1e-3
"""How far a float may leave 0..1 and still count as rounding of an interpolation."""


def load_image(image: ImageLike) -> Image:
    """Read an image of any usual kind as 8-bit RGB.

    Parameters
    ----------
    image
        One of: a path to a file that Pillow reads (JPEG, PNG, WebP, BMP, TIFF, GIF, …; of an
        animation the first frame); a PIL image; a NumPy array (H, W), (H, W, 1), (H, W, 3) or
        (H, W, 4), uint8, uint16, bool, or float in 0..1; a torch tensor (3, H, W) or (1, H, W),
        with or without a batch axis of 1, of the same dtypes.

    Returns
    -------
    Image
        uint8 (H, W, 3), 0..255, C-contiguous and never shared with ``image``. Transparency is
        laid over white; a file's EXIF orientation is applied.

    Raises
    ------
    ImageError
        If there is no such file, it can't be decoded, it has more pixels than Pillow's limit
        against decompression bombs (179 million unless you change
        ``PIL.Image.MAX_IMAGE_PIXELS``), or the type, shape, dtype or values don't fit.

    Examples
    --------
    >>> load_image(np.array([[0.0, 0.5, 1.0]])).tolist()
    [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]
    >>> load_image(PIL.Image.new("RGBA", (1, 1), (255, 0, 0, 0))).tolist()
    [[[255, 255, 255]]]
    """
    if isinstance(image, str | os.PathLike):
        return _from_file(os.fsdecode(image))
    if isinstance(image, PIL.Image.Image):
        return _from_pillow(image, "the PIL image")
    if isinstance(image, np.ndarray):
        return _from_array(image)
    # Whoever gives a tensor has imported torch; for all others it would cost a second or two.
    if isinstance(image, getattr(sys.modules.get("torch"), "Tensor", ())):
        return _from_array(_channels_last(image))
    hint = ""
    if isinstance(image, bytes | bytearray | memoryview):
        hint = "; open encoded bytes with PIL.Image.open(io.BytesIO(data)) and give that"
    elif hasattr(image, "read"):
        hint = "; open a file object with PIL.Image.open(file) and give that"
    elif isinstance(image, list | tuple):
        hint = "; make one array of it with np.asarray, or of images one flat list"
    raise ImageError(f"an image must be {ACCEPTED}; got {type(image).__name__}{hint}")


def image_name(image: ImageLike) -> str:
    """Name an image in titles and file names: the stem of a path, else "image".

    Examples
    --------
    >>> image_name("photos/frog.jpg"), image_name(np.zeros((2, 2, 3), np.uint8))
    ('frog', 'image')
    """
    if isinstance(image, str | os.PathLike):
        stem = Path(os.fsdecode(image)).stem or "image"
        # Not every name is UTF-8, which titles and tables must be.
        return stem.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "image"


def _from_file(name: str) -> Image:
    try:
        status = Path(name).stat()
    except FileNotFoundError as error:
        where = "that is a web address; download it first" if "://" in name else "check its path"
        raise ImageError(
            f"there is no image file {name!r} (looked from {Path.cwd()}); {where}"
        ) from error
    except (OSError, ValueError) as error:
        raise ImageError(f"can't open the image file {name!r}: {error}; check its path") from error
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{name!r} is a folder; expected one image file, so name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{name!r} is not a regular file; save the image to a file and name that")
    if status.st_size == 0:
        raise ImageError(f"the file {name!r} is empty, 0 bytes; expected an image: copy it again")
    with _explained(repr(name)), PIL.Image.open(name) as picture:
        return _from_pillow(picture, repr(name))


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say in our words what Pillow can't do with an image."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures and odd metadata; neither harms the pixels.
            warnings.simplefilter("ignore")
            yield
    except ImageError:
        raise
    except PIL.UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not an image that Pillow knows, or its beginning is damaged; expected "
            f"JPEG, PNG, WebP, BMP, TIFF or GIF: convert it to one of them"
        ) from error
    except PIL.Image.DecompressionBombError as error:
        raise ImageError(
            f"{name} is too large: {error}; make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS "
            f"if you trust it"
        ) from error
    # Decoders meet damage with almost any exception: SyntaxError, struct.error, IndexError.
    except Exception as error:
        raise ImageError(
            f"{name} can't be decoded ({error}); it seems truncated or damaged: copy or export "
            f"it again"
        ) from error


def _from_pillow(picture: PIL.Image.Image, name: str) -> Image:
    with _explained(name):
        if 0 in picture.size:
            raise ImageError(
                f"{name} has no pixels: {picture.width} x {picture.height}; expected at least one"
            )
        picture.load()
        # A copy comes without the format, which tells how deep a PNG is.
        is_png = picture.format == "PNG"
        picture = _upright(picture)
        if picture.mode == "F" or picture.mode.startswith("I"):
            grey = _shallow(values := np.asarray(picture), name, is_png)
            clear = picture.info.get("transparency") if is_png else None
            grey[values == clear] = 255  # laid over white
            return _grey_to_rgb(grey)
        if picture.mode == "La":  # Pillow converts premultiplied grey to nothing but LA
            picture = picture.convert("LA")
        if picture.has_transparency_data:
            return _over_white(picture.convert("RGBA"))
        return np.array(picture.convert("RGB"))


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    try:
        turn = UPRIGHT.get(picture.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        # Damaged metadata: viewers show such a picture as it is stored.
        turn = None
    return picture if turn is None else picture.transpose(turn)


def _over_white(picture: PIL.Image.Image) -> Image:
    white = PIL.Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return np.array(white)


def _shallow(values: NDArray[Any], name: str, is_png: bool) -> NDArray[np.uint8]:
    """Bring deep grey to 8-bit: scale a usual range as a whole, stretch any other to fit."""
    if values.dtype.kind == "u":
        return _eight_bit(values)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError(
            f"{name} holds NaN or infinite values; expected finite ones: replace them first"
        )
    ranges = [1.0, 255.0, 65535.0] if values.dtype.kind == "f" else [255.0, 65535.0]
    if is_png:  # Pillow before 11 opens 16-bit grey as 32-bit
        ranges = [65535.0]
    if low >= 0 and high <= ranges[-1]:
        low, high = 0.0, next(limit for limit in ranges if high <= limit)
    # In float64, since the far ends of 32-bit integers are no float32s; one value has no span.
    scaled = np.subtract(values, low, dtype=np.float64) * 255 / ((high - low) or 1.0)
    return np.rint(scaled).astype(np.uint8)


def _grey_to_rgb(grey: NDArray[np.uint8]) -> Image:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _from_array(array: NDArray[Any]) -> Image:
    _check_shape(array)
    colours = array[..., :3] if array.ndim == 3 else array
    if array.dtype.kind == "u" and array.dtype.itemsize == 2 and 0 < (most := colours.max()) <= 255:
        raise ImageError(
            f"an image array of {array.dtype} reaches to 65535, and this one to {most}, which is "
            "black; if its values are 0..255, give image.astype(np.uint8)"
        )
    pixels = _eight_bit(array)
    if pixels.ndim == 2:
        return _grey_to_rgb(pixels)
    if pixels.shape[2] == 1:
        return _grey_to_rgb(pixels[:, :, 0])
    if pixels.shape[2] == 4:
        return _over_white(PIL.Image.fromarray(np.ascontiguousarray(pixels)))
    return np.array(pixels, order="C")


def _check_shape(array: NDArray[Any]) -> None:
    shape = array.shape
    if 0 in shape:
        raise ImageError(
            f"the image has no pixels: shape {shape}; expected (H, W, 3), each above 0"
        )
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4)):
        return
    hint = ""
    if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] > 4:
        hint = "; the channels seem to come first: give np.transpose(image, (1, 2, 0))"
    elif len(shape) == 4:
        hint = "; this looks like a batch: give one image of it, such as images[0]"
    raise ImageError(
        f"an image array must be (H, W), (H, W, 1), (H, W, 3) or (H, W, 4); got shape {shape}{hint}"
    )


def _eight_bit(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return np.where(array, np.uint8(255), np.uint8(0))
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        # 65535 is 257 times 255: this rounds to the nearest.
        return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if array.dtype.kind != "f":
        raise ImageError(
            f"an image array must be uint8 (0..255), uint16, bool or float (0..1); got dtype "
            f"{array.dtype}; if its values are 0..255, give image.astype(np.uint8)"
        )
    _check_unit_range(array)
    # In half precision the product would be rounded to another eighth bit.
    wide = array.astype(np.result_type(array.dtype, np.float32), copy=False)
    scaled: NDArray[np.uint8] = np.rint(np.clip(wide, 0, 1) * 255).astype(np.uint8)
    return scaled


def _check_unit_range(array: NDArray[Any]) -> None:
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ImageError(
            f"{bad} of the image's {array.size} values are NaN or infinite; expected floats in "
            f"0..1: replace them, for instance with np.nan_to_num"
        )
    if low >= -OVERSHOOT and high <= 1 + OVERSHOOT:
        return
    if low < 0:
        todo = "if it is normalised, give the image as it was before"
    else:
        todo = "if its values are 0..255, divide by 255 or give image.astype(np.uint8)"
    raise ImageError(
        f"a float image must lie in 0..1; got {array.dtype} values {low:g}..{high:g}; {todo}"
    )


def _channels_last(tensor: torch.Tensor) -> NDArray[Any]:
    shape = tuple(tensor.shape)
    if len(shape) == 4 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        hint = ""
        if tensor.ndim == 3 and tensor.shape[2] in (1, 3):
            hint = "; the channels seem to come last: give image.permute(2, 0, 1)"
        elif tensor.ndim == 4:
            hint = "; this looks like a batch: give one image of it, such as images[0]"
        raise ImageError(
            f"an image tensor must be (3, H, W) or (1, H, W), with or without a batch axis of 1; "
            f"got shape {shape}{hint}"
        )
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.float()  # NumPy has no bfloat16
    return np.asarray(tensor.permute(1, 2, 0))
