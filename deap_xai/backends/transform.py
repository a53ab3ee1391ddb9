"""Taking a torchvision transform apart: what makes the view, and what normalises it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image as PILImage

from deap_xai.typing import Image, View

__all__ = ["Preparation", "split_transform"]

# By name, since torchvision has each of them twice (``transforms`` and ``transforms.v2``).
_TO_TENSOR = {"ToTensor", "PILToTensor", "ToImage", "ToDtype", "ConvertImageDtype", "ToPureTensor"}


class Preparation(NamedTuple):
    """How an image becomes a view, and a view the model's input ``(view / 255 - mean) / std``."""

    spatial: Callable[[PILImage.Image], PILImage.Image]
    mean: Sequence[float]
    std: Sequence[float]

    def view(self, image: Image) -> View:
        """The view (h, w, 3) of an image (H, W, 3)."""
        return np.ascontiguousarray(self.spatial(PILImage.fromarray(image)))


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


def _preset_spatial(preset: Any) -> Callable[[PILImage.Image], PILImage.Image]:
    from torchvision.transforms import functional

    def spatial(image: PILImage.Image) -> PILImage.Image:
        size, interpolation = preset.resize_size, preset.interpolation
        image = functional.resize(image, size, interpolation=interpolation)
        return functional.center_crop(image, preset.crop_size)

    return spatial


def _split_steps(steps: list[Any]) -> Preparation | None:
    names = [type(step).__name__ for step in steps]
    mean: Sequence[float] = (0.0,) * 3
    std: Sequence[float] = (1.0,) * 3
    if names and names[-1] == "Normalize":
        mean, std = _floats(steps[-1].mean), _floats(steps[-1].std)
        names, steps = names[:-1], steps[:-1]
    first = next((i for i, name in enumerate(names) if name in _TO_TENSOR), None)
    if first is None or any(name not in _TO_TENSOR for name in names[first:]):
        return None
    if names[first:] != ["ToTensor"] and not _converts_to_unit_floats(steps[first:]):
        return None
    if any(_draws_at_random(name) for name in names):
        return None

    def spatial(image: PILImage.Image) -> PILImage.Image:
        for step in steps[:first]:
            image = step(image)
        return image.convert("RGB")

    return Preparation(spatial, mean, std)


def _floats(values: Any) -> list[float]:
    floats = [float(value) for value in np.ravel(np.asarray(values))]
    return floats * 3 if len(floats) == 1 else floats


def _converts_to_unit_floats(steps: list[Any]) -> bool:
    import torch

    probe = PILImage.fromarray(np.full((1, 1, 3), 255, np.uint8))
    for step in steps:
        probe = step(probe)
    return isinstance(probe, torch.Tensor) and probe.is_floating_point() and probe.max() == 1


def _draws_at_random(name: str) -> bool:
    return name.startswith("Random") or name == "ColorJitter"
