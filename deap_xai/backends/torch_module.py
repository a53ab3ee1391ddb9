"""A PyTorch module as a classifier, with masked views drawn on its own device."""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from deap_xai.backends.answers import softmax_due, with_caution
from deap_xai.backends.base import Backend, is_out_of_memory
from deap_xai.backends.transform import random_steps, split_transform
from deap_xai.digests import module_digest, plain_repr
from deap_xai.errors import BackendError, SettingError
from deap_xai.identity import identity
from deap_xai.masking import MaskedView
from deap_xai.registry import behind
from deap_xai.typing import Image, Masks, Probabilities, View, Views
from deap_xai.views import fit_image, reduce_image
from deap_xai.wording import counted, shortened

__all__ = ["TorchBackend", "choose_device"]

LARGEST = 1024
"""Longer side of a view that an opaque transform gets, in pixels; larger images are reduced."""


PLANNING = ("cuda",)
"""Kinds of device whose library takes its time to plan for a batch size new to it."""

_PRECISIONS = {
    torch.float64: "fp64",
    torch.float32: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}


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
        Views at once; None takes 8 on a CPU and 64 elsewhere, until the best is measured.

    Attributes
    ----------
    preparation
        How an image becomes the module's input; None where the transform is opaque.

    Examples
    --------
    >>> import numpy as np
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))
    >>> backend = TorchBackend(module, device="cpu")
    >>> backend.predict(np.zeros((5, 2, 2, 3), np.uint8)).shape
    (5, 2)
    """

    engine = "torch"

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
        if transform is not None and not callable(transform):
            raise SettingError(
                f"transform must be a function from a PIL image to the model's input; got "
                f"{shortened(transform)}"
            )
        if isinstance(behind(transform), type):
            raise SettingError(
                f"transform is the class {shortened(transform)}; give what it makes: call it, as "
                "in weights.transforms()"
            )
        self.name = type(module).__name__
        self.class_names = class_names
        self.device = choose_device(device)
        usual = 8 if self.device.type == "cpu" else 64
        self.batch_size = usual if batch_size is None else batch_size
        self.measure_batch_size = batch_size is None
        module = evaluating(module).to(self.device)
        with suppress(RuntimeError):  # no parameter of a three-dimensional convolution takes it
            module = module.to(memory_format=torch.channels_last)  # what convolutions like
        self._take(module)
        self._transform, self._size = transform, size
        self.preparation = split_transform(transform)
        if drawing := random_steps(transform):
            self.caution = (
                f"the transform has steps for training ({', '.join(drawing)}): where they draw at "
                "random one picture gets many answers, of which the search keeps the luckiest; "
                "give the transform that the model was tested with"
            )

    def _take(self, module: torch.nn.Module) -> None:
        """Ask this module from now on."""
        self._module = module
        floating = (p.dtype for p in module.parameters() if p.is_floating_point())
        self._dtype = next(floating, torch.float32)
        self.precision = _PRECISIONS.get(self._dtype, str(self._dtype))
        self._softmax: bool | None = None
        self._kept: dict[MaskedView, tuple[torch.Tensor, ...]] = {}

    def view(self, image: Image) -> View:
        """The image after the spatial part of the transform, or fitted to ``size``."""
        if self._size is not None:
            return fit_image(image, self._size)
        if self.preparation is None:
            # Every masked view goes through the whole transform: keep a photograph's cost in reach.
            return reduce_image(image, LARGEST)
        return self.preparation.view(image)

    def predict(self, images: Views) -> Probabilities:
        """Probabilities (N, C) of uint8 views (N, h, w, 3)."""
        return self.in_chunks(self._predict_chunk, images)

    def predict_masked(self, masked_view: MaskedView, masks: Masks) -> Probabilities:
        """Probabilities (N, C) under masks (N, S); views are drawn on the device."""
        if self.preparation is None:
            return super().predict_masked(masked_view, masks)
        self._keep_only([masked_view])

        def predict(chunk: torch.Tensor) -> torch.Tensor:
            return self._forward(self._draw(masked_view, chunk))

        with torch.inference_mode():
            return self.in_chunks(predict, self._sent(masks))

    def predict_masked_many(
        self, questions: Sequence[tuple[MaskedView, Masks]]
    ) -> list[Probabilities]:
        """Probabilities for each masked view with its masks, drawn and classified together."""
        if self.preparation is None or len(questions) == 1:
            return super().predict_masked_many(questions)
        self._keep_only([masked_view for masked_view, _ in questions])

        def predict(parts: list[tuple[MaskedView, Masks]]) -> torch.Tensor:
            drawn = [self._draw(one, self._sent(masks)) for one, masks in parts]
            return self._forward(drawn[0] if len(drawn) == 1 else torch.cat(drawn))

        with torch.inference_mode():
            return self.in_joint_chunks(predict, questions)

    def in_chunks(self, predict: Callable[[Any], Any], items: Any) -> Probabilities:
        """As in :class:`Backend`, with the answers left on the device until all are there.

        So the bits go over once and the answers come back once, and it never waits between.
        """
        parts = self.chunks(predict, items)
        answers = [torch.from_numpy(p) if isinstance(p, np.ndarray) else p for p in parts]
        answer = answers[0] if len(answers) == 1 else torch.cat(answers)
        return self.table(answer.cpu().numpy(), len(items), own=True)

    def _draw(self, masked_view: MaskedView, masks: torch.Tensor) -> torch.Tensor:
        segments, view, fill = self._on_device(masked_view)
        keep = masks[:, segments]
        # Channels last in memory, as convolutions like it; the module sees (N, 3, h, w).
        return torch.where(keep[..., None], view, fill).permute(0, 3, 1, 2)

    def _keep_only(self, masked_views: Sequence[MaskedView]) -> None:
        """Forget other views' tensors: the next batch is mostly of the same views."""
        self._kept = {one: self._kept[one] for one in masked_views if one in self._kept}

    def in_bf16(self) -> TorchBackend:
        """The same model with a copy of its weights in bfloat16; its reference is this one."""
        other = copy.copy(self)
        try:
            other._take(copy.deepcopy(self._module).to(torch.bfloat16))
        except Exception as error:  # a module may refuse to be copied in any way
            raise BackendError(
                f"{self.name} can't be copied for bf16 ({error}); use precision fp32"
            ) from error
        other.reference = self
        return other

    def plain_module(self) -> torch.nn.Module:
        """The module in float32, giving nothing but the tensor of logits: for converters."""
        double = self._dtype == torch.float64
        return evaluating(_Logits(copy.deepcopy(self._module).float() if double else self._module))

    def digest(self) -> str:
        """A hash of the module, its structure and every weight, and of what prepares its input."""
        around = plain_repr(identity([self._transform, self._size, self.class_names]))
        return hashlib.sha256(module_digest(self._module).encode() + around).hexdigest()

    def _on_device(self, masked_view: MaskedView) -> tuple[torch.Tensor, ...]:
        """Segments, view and fill as tensors."""
        if masked_view not in self._kept:
            segments = torch.tensor(masked_view.segments, device=self.device).long()
            # In the module's own precision, so that no batch is converted afterwards.
            view, fill = (
                self._normalised(pixels).to(self._dtype)
                for pixels in (masked_view.view, masked_view.fill)
            )
            self._kept[masked_view] = segments, view, fill
        return self._kept[masked_view]

    def _sent(self, masks: Masks) -> torch.Tensor:
        """Masks on the device. From pinned memory, since the host would wait for any other."""
        tensor = torch.tensor(np.ascontiguousarray(masks), device="cpu")
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _predict_chunk(self, images: Views) -> torch.Tensor:
        with torch.inference_mode():
            if self.preparation is not None:
                inputs = self._normalised(images).permute(0, 3, 1, 2)
            else:
                inputs = torch.stack([self._transformed(one) for one in images]).to(self.device)
            return self._forward(inputs)

    def _transformed(self, image: View) -> torch.Tensor:
        """The module's input (3, h, w) of one view, by the whole transform."""
        found = self._transform(PILImage.fromarray(image))  # type: ignore[misc]
        if isinstance(found, torch.Tensor) and found.ndim == 3:
            return found
        shape = f" of shape {tuple(found.shape)}" if hasattr(found, "shape") else ""
        raise BackendError(
            f"the transform made {type(found).__name__}{shape} of a PIL image; expected a float "
            "tensor (3, h, w), without a batch axis: wrap it in a function that gives one"
        )

    def _normalised(self, pixels: Views | View) -> torch.Tensor:
        assert self.preparation is not None
        # A copy: arrays may be read-only, which torch.from_numpy warns of, or run backwards.
        pixels = np.ascontiguousarray(pixels)
        tensor = torch.tensor(pixels, device=self.device).float()  # over the bus go bytes
        mean = torch.tensor(self.preparation.mean, device=self.device)
        std = torch.tensor(self.preparation.std, device=self.device)
        return (tensor / 255 - mean) / std

    def _forward(self, inputs: torch.Tensor) -> torch.Tensor:
        n, inputs = len(inputs), self._filled(inputs)
        try:
            output = evaluating(self._module)(inputs.to(self._dtype))
        except Exception as error:  # in bf16 a module may stumble over anything
            size = ", ".join(map(str, inputs.shape[1:]))
            wanted = re.search(rf"expected input\[\d+, {size}\] to have (\d+) channels", str(error))
            if wanted:
                raise BackendError(
                    f"{self.name} takes {counted(int(wanted[1]), 'channel')}, and views have "
                    f"{inputs.shape[1]} ({error}); give the transform that it was trained with, as "
                    "transform or in a TorchBackend; for one channel Grayscale is part of it"
                ) from error
            if self.reference is None or is_out_of_memory(error):
                raise
            raise BackendError(
                f"{self.name} doesn't run in {self.precision} ({error}); use precision fp32"
            ) from error
        output = getattr(output, "logits", output)
        if not isinstance(output, torch.Tensor) or output.ndim != 2:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output)
            raise BackendError(
                f"the module returned {shape}; expected a tensor of logits (N, classes). "
                "Wrap the module in one that returns them"
            )
        output = output[:n].float()
        if self._softmax is None:
            output = output.clone()  # its memory may be used for the next answer
            rows, exact = np.asarray(output.cpu()), self._dtype in (torch.float32, torch.float64)
            due, caution = softmax_due(rows, lambda: self._on_noise(inputs), exact=exact)
            self._softmax = due
            self.caution = with_caution(self.caution, caution)
        # A module may use its output's memory again for the next batch.
        return output.softmax(dim=1) if self._softmax else output.clone()

    def _filled(self, inputs: torch.Tensor) -> torch.Tensor:
        """The batch with its last view repeated, where planning for its own size costs more."""
        more = filled(len(inputs), self.batch_size) - len(inputs)
        if not more or self.device.type not in PLANNING:
            return inputs
        return torch.cat([inputs, inputs[-1:].expand(more, -1, -1, -1)])

    def _on_noise(self, inputs: torch.Tensor) -> NDArray[np.float32]:
        """What the module says of as many pictures of noise."""
        drawn = torch.Generator("cpu").manual_seed(0)
        noise = torch.rand(inputs.shape, generator=drawn, device="cpu")
        noise = noise.to(self.device)
        if self.preparation is not None:
            scale = (self.preparation.mean, self.preparation.std)
            mean, std = (torch.tensor(x, device=self.device) for x in scale)
            noise = (noise - mean[:, None, None]) / std[:, None, None]
        output = self._module(noise.to(self._dtype))
        return np.asarray(getattr(output, "logits", output).float().cpu())


class _Logits(torch.nn.Module):
    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, pictures: torch.Tensor) -> Any:
        output = self.module(pictures)
        return getattr(output, "logits", output)


def evaluating(module: torch.nn.Module) -> torch.nn.Module:
    """The module in evaluation mode: whoever trains it may have put it into the other since."""
    if module.training:
        with suppress(NotImplementedError):  # an exported program is in its mode for good
            module.eval()
    return module


def filled(n: int, most: int) -> int:
    """The size to which a batch of n is filled up: a power of two, or a multiple of 16.

    Never beyond what fits, ``most``, unless n is.

    Examples
    --------
    >>> [filled(n, 100) for n in (1, 3, 24, 70, 98)]
    [1, 4, 32, 80, 100]
    """
    few = 1 << (n - 1).bit_length() if n <= 64 else -(-n // 16) * 16
    return max(n, min(few, most))


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
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise SettingError(
            f"device {str(device)!r} can't be used; present here: {', '.join(present)}"
        ) from error
    return chosen
