"""Taking a torchvision transform apart: what makes the view, and what normalises it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as PILImage

from deap_xai.typing import Image, View

__all__ = ["Preparation", "random_steps", "split_transform"]

# By name, since torchvision has each of them twice (``transforms`` and ``transforms.v2``).
_TO_TENSOR = set(
    "ToTensor MaybeToTensor PILToTensor ToImage ToDtype ConvertImageDtype ToPureTensor".split()
)
_AT_RANDOM = set(
    "ColorJitter AutoAugment TrivialAugmentWide AugMix GaussianBlur GaussianNoise "
    "ElasticTransform ScaleJitter".split()
)


LONGEST = 8
"""Length of a picture, over its width, beyond which the ends are left out before it is resized."""


class Preparation(NamedTuple):
    """How an image becomes a view, and a view the model's input ``(view / 255 - mean) / std``."""

    spatial: Callable[[PILImage.Image], Any]
    mean: Sequence[float]
    std: Sequence[float]

    def view(self, image: Image) -> View:
        """The view (h, w, 3) of an image (H, W, 3)."""
        pixels = as_pixels(self.spatial(PILImage.fromarray(image)))
        assert pixels is not None  # tried when the transform was split
        return pixels


def split_transform(transform: Any) -> Preparation | None:
    """Split a transform into its spatial part and its normalisation.

    Understood are None (the image as it is, 0..1), torchvision's presets that come with its
    published weights, and a ``Compose`` of spatial steps, a conversion to a float tensor in
    0..1, and at most one ``Normalize`` at the end (timm's evaluation transforms among them).

    Returns
    -------
    The parts, or None where the transform isn't understood: then it has to be applied to every
    masked view as a whole, which is right but slow.

    Examples
    --------
    >>> from torchvision import transforms as T
    >>> steps = [T.Resize(8), T.CenterCrop(8), T.ToTensor(), T.Normalize([0.5] * 3, [0.2] * 3)]
    >>> parts = split_transform(T.Compose(steps))
    >>> parts.view(np.zeros((20, 30, 3), np.uint8)).shape, parts.std
    ((8, 8, 3), [0.2, 0.2, 0.2])
    >>> split_transform(lambda image: image) is None
    True
    """
    if transform is None:
        return Preparation(lambda image: image, (0.0,) * 3, (1.0,) * 3)
    kind = type(transform).__name__
    if kind == "ImageClassification":
        return Preparation(_preset_spatial(transform), transform.mean, transform.std)
    if kind == "Compose":
        return _split_steps(list(transform.transforms))
    return None


def random_steps(transform: Any) -> list[str]:
    """Names of a transform's steps that, unless set otherwise, draw anew for each picture.

    Examples
    --------
    >>> from torchvision import transforms as T
    >>> random_steps(T.Compose([T.RandomHorizontalFlip(), T.ToTensor()]))
    ['RandomHorizontalFlip']
    """
    names = [type(step).__name__ for step in _flat([transform])]
    return [name for name in names if _draws_at_random(name)]


def _middle(image: PILImage.Image) -> PILImage.Image:
    """The middle of a picture that is many times as long as wide; its ends are cropped anyway.

    Resized as a whole, 3 x 60,000 pixels would take gigabytes.
    """
    across, down = ((side - min(side, LONGEST * min(image.size))) // 2 for side in image.size)
    return image.crop((across, down, image.width - across, image.height - down))


def _preset_spatial(preset: Any) -> Callable[[PILImage.Image], PILImage.Image]:
    from torchvision.transforms import functional

    def spatial(image: PILImage.Image) -> PILImage.Image:
        size, interpolation = preset.resize_size, preset.interpolation
        image = functional.resize(_middle(image), size, interpolation=interpolation)
        return functional.center_crop(image, preset.crop_size)

    return spatial


def _split_steps(steps: list[Any]) -> Preparation | None:
    steps = _flat(steps)
    names = [type(step).__name__ for step in steps]
    mean: Sequence[float] = (0.0,) * 3
    std: Sequence[float] = (1.0,) * 3
    if names and names[-1] == "Normalize":
        mean, std = _floats(steps[-1].mean), _floats(steps[-1].std)
        names, steps = names[:-1], steps[:-1]
    if any(_draws_at_random(name) for name in names) or {len(mean), len(std)} != {3}:
        return None
    first = len(names)
    while first and names[first - 1] in _TO_TENSOR:
        first -= 1
    if not _split_at(steps, first):
        return None
    return Preparation(lambda image: _applied(steps[:first], image), mean, std)


def _flat(steps: list[Any]) -> list[Any]:
    """The steps with those of a Compose among them in its place."""
    nested = [_flat(s.transforms) if type(s).__name__ == "Compose" else [s] for s in steps]
    return [step for part in nested for step in part]


def _applied(steps: list[Any], image: Any) -> Any:
    for step in steps:
        image = step(image)
    return image


def _floats(values: Any) -> list[float]:
    floats = [float(value) for value in np.ravel(np.asarray(values))]
    return floats * 3 if len(floats) == 1 else floats


def _split_at(steps: list[Any], first: int) -> bool:
    """Whether RGB pixels come out before that step, and the same in 0..1 after the last."""
    # No two channels, rows or columns are alike, so that none can be swapped unnoticed.
    probe = (np.arange(8 * 4 * 3) * 37 % 256).astype(np.uint8).reshape(4, 8, 3)
    try:
        spatial = _applied(steps[:first], PILImage.fromarray(probe))
        after = _applied(steps[first:], spatial)
    except Exception:  # a step of the user's own, made for other pictures
        return False
    pixels = as_pixels(spatial)
    if pixels is None or not hasattr(after, "is_floating_point") or not after.is_floating_point():
        return False
    values = np.asarray(after)
    expected = pixels.transpose(2, 0, 1) / np.float32(255)
    return values.shape == expected.shape and bool(np.allclose(values, expected, atol=1e-6))


def as_pixels(image: Any) -> View | None:
    """RGB pixels (h, w, 3) of a PIL image or a uint8 tensor (3, h, w); None for anything else."""
    if isinstance(image, PILImage.Image):
        return np.array(image) if image.mode == "RGB" else None
    if str(getattr(image, "dtype", "")) != "torch.uint8" or image.ndim != 3 or len(image) != 3:
        return None
    return np.array(np.asarray(image).transpose(1, 2, 0), order="C")


def _draws_at_random(name: str) -> bool:
    return name.startswith("Rand") or name in _AT_RANDOM
