"""A PyTorch module as a classifier, with masked views drawn on its own device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage

from deap_xai.backends.base import Backend
from deap_xai.backends.transform import split_transform
from deap_xai.errors import BackendError, SettingError
from deap_xai.images import fit_image, reduce_image
from deap_xai.masking import MaskedView
from deap_xai.typing import Image, Masks, Probabilities, View, Views

__all__ = ["TorchBackend", "choose_device"]

LARGEST = 1024
"""Longer side of a view that an opaque transform gets, in pixels; larger images are reduced."""


class TorchBackend(Backend):
    """A ``torch.nn.Module`` that takes float images (N, 3, h, w) and returns logits (N, C).

    The module is put into evaluation mode and moved to the device. Its answers go through a
    softmax unless they already are probabilities: all within 0..1, each row with a sum of 1.
    Hugging Face outputs, which carry ``.logits``, are understood.

    Parameters
    ----------
    module
        The classifier.
    transform
        From PIL image to the module's input, as used when it was trained and tested.
        Torchvision's presets and a ``Compose`` that ends in tensor conversion and ``Normalize``
        are taken apart, so that masks are applied on the device; any other callable is applied
        to every masked view, of at most 1,024 pixels on its longer side. None: pixels in 0..1,
        no normalisation.
    size
        View size for a module without a transform: an int for shorter side and centre crop, a
        pair (h, w) to resize to; None takes the image's own size.
    class_names
        A name for each class.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"``, …; None takes the fastest present.
    batch_size
        Views at once; None takes 8 on a CPU and 64 elsewhere.

    Examples
    --------
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    >>> backend = TorchBackend(module, device="cpu")
    >>> backend.predict(np.zeros((5, 2, 2, 3), np.uint8)).shape
    (5, 2)
    """

    def __init__(
        self,
        module: torch.nn.Module,
        *,
        transform: Callable[..., Any] | None = None,
        size: int | tuple[int, int] | None = None,
        class_names: Sequence[str] | None = None,
        device: str | torch.device | None = None,
        batch_size: int | None = None,
    ) -> None:
        if transform is not None and size is not None:
            raise SettingError("got transform and size; give one: the transform sets the size")
        self.name = type(module).__name__
        self.class_names = class_names
        self.device = choose_device(device)
        usual = 8 if self.device.type == "cpu" else 64
        self.batch_size = usual if batch_size is None else batch_size
        module = module.eval().to(self.device)
        self._module = module.to(memory_format=torch.channels_last)  # what convolutions like
        self._transform, self._size = transform, size
        self._parts = split_transform(transform)
        self._softmax: bool | None = None
        self._on_device: dict[MaskedView, tuple[torch.Tensor, ...]] = {}
        floating = (p.dtype for p in module.parameters() if p.is_floating_point())
        self._dtype = next(floating, torch.float32)

    def view(self, image: Image) -> View:
        """The image after the spatial part of the transform, or fitted to ``size``."""
        if self._size is not None:
            return fit_image(image, self._size)
        if self._parts is None:
            # Every masked view goes through the whole transform: keep a photograph's cost in reach.
            return reduce_image(image, LARGEST)
        return self._parts.view(image)

    def predict(self, images: Views) -> Probabilities:
        """Probabilities (N, C) of uint8 views (N, h, w, 3)."""
        return self.in_chunks(self._predict_chunk, images)

    def predict_masked(self, masked_view: MaskedView, masks: Masks) -> Probabilities:
        """Probabilities (N, C) under masks (N, S); views are drawn on the device."""
        return self.predict_masked_many([(masked_view, masks)])[0]

    def predict_masked_many(
        self, questions: Sequence[tuple[MaskedView, Masks]]
    ) -> list[Probabilities]:
        """Probabilities for each masked view with its masks, drawn and classified together."""
        if self._parts is None:
            return [super(TorchBackend, self).predict_masked(*one) for one in questions]
        self._keep_on_device([masked_view for masked_view, _ in questions])

        def predict(parts: list[tuple[MaskedView, Masks]]) -> Probabilities:
            drawn = [self._draw(*part) for part in parts]
            inputs = drawn[0] if len(drawn) == 1 else torch.cat(drawn)
            # Channels last in memory, as convolutions like it; the module sees (N, 3, h, w).
            return self._forward(inputs.permute(0, 3, 1, 2))

        with torch.inference_mode():
            return self.in_joint_chunks(predict, questions)

    def _draw(self, masked_view: MaskedView, masks: Masks) -> torch.Tensor:
        segments, view, fill = self._on_device[masked_view]
        keep = torch.tensor(masks, device=self.device)[:, segments]
        return torch.where(keep[..., None], view, fill)

    def _keep_on_device(self, masked_views: Sequence[MaskedView]) -> None:
        """Segments, views and fills as tensors; the next batch is mostly of the same."""
        self._on_device = {
            one: self._on_device[one] if one in self._on_device else self._tensors(one)
            for one in masked_views
        }

    def _tensors(self, masked_view: MaskedView) -> tuple[torch.Tensor, ...]:
        segments = torch.tensor(masked_view.segments, dtype=torch.long, device=self.device)
        return segments, self._normalised(masked_view.view), self._normalised(masked_view.fill)

    def _predict_chunk(self, images: Views) -> Probabilities:
        with torch.inference_mode():
            if self._parts is not None:
                return self._forward(self._normalised(images).permute(0, 3, 1, 2))
            inputs = [self._transform(PILImage.fromarray(image)) for image in images]  # type: ignore[misc]
            return self._forward(torch.stack(inputs).to(self.device))

    def _normalised(self, pixels: Views | View) -> torch.Tensor:
        assert self._parts is not None
        # A copy: arrays may be read-only, which torch.from_numpy warns of.
        tensor = torch.tensor(pixels, dtype=torch.float32, device=self.device)
        mean = torch.tensor(self._parts.mean, device=self.device)
        std = torch.tensor(self._parts.std, device=self.device)
        return (tensor / 255 - mean) / std

    def _forward(self, inputs: torch.Tensor) -> Probabilities:
        output = self._module(inputs.to(self._dtype))
        output = getattr(output, "logits", output)
        if not isinstance(output, torch.Tensor) or output.ndim != 2:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
            raise BackendError(
                f"the module returned {shape}; expected a tensor of logits (N, classes). "
                "Wrap the module in one that returns them"
            )
        output = output.float()
        if self._softmax is None:
            exact = self._dtype in (torch.float32, torch.float64)
            self._softmax = not _are_probabilities(output, 1e-3 if exact else 1e-2)
        answer = output.softmax(dim=1) if self._softmax else output
        return np.asarray(answer.cpu().numpy())


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device of that name, or the fastest present.

    Raises
    ------
    SettingError
        If PyTorch doesn't know the device or the machine hasn't got it.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    present = ["cpu"]
    if torch.backends.mps.is_available():
        present.insert(0, "mps")
    if torch.cuda.is_available():
        present.insert(0, "cuda")
    if device is None:
        return torch.device(present[0])
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise SettingError(
            f"device {str(device)!r} can't be used; present here: {', '.join(present)}"
        ) from error
    return chosen


def _are_probabilities(output: torch.Tensor, tolerance: float) -> bool:
    in_range = bool(((output >= 0) & (output <= 1)).all())
    return in_range and bool(((output.sum(dim=1) - 1).abs() < tolerance).all())
