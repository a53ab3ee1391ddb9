"""Our explainer as other packages call one: Quantus's ``explain_func``, captum's ``attribute``.

Both hand over a batch of the model's own inputs, float (N, 3, h, w), normalised in a way that they
don't tell. Superpixels and fills are made from 8-bit views, so each input is read as one:
``view = round(255 * (input * std + mean))``, clipped to 0..255. Without mean and std, the least and
the greatest value of each input stand for 0 and 255. The view serves to find superpixels and to
make the fill, which goes back into the input's space by the inverse. Where a superpixel is kept,
the model gets the very numbers that came, not rounded; so the full view's answer is the model's
own on that input. The fill is rounded to 1/255 of the range.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import transforms

from deap_xai.backends.torch_module import TorchBackend
from deap_xai.digests import module_digest
from deap_xai.errors import SettingError, check_count
from deap_xai.explainer import Explainer
from deap_xai.masking import MaskedView
from deap_xai.typing import Image, View
from deap_xai.wording import meant, shortened

__all__ = ["SuperpixelAttribution", "quantus_explain"]


READY = ("weights", "transform", "size", "class_names")
"""Settings that would prepare a picture or name classes: here inputs are ready for the module."""


def quantus_explain(**settings: Any) -> Callable[..., NDArray[np.float32]]:
    """An ``explain_func`` for Quantus (Hedström et al., JMLR 2023).

    Parameters
    ----------
    settings
        Those of :class:`SuperpixelAttribution`.

    Returns
    -------
    A function ``(model, inputs, targets, **kwargs)`` to attributions (N, 1, h, w), float32: each
    pixel has its superpixel's. ``model`` is a ``torch.nn.Module``, ``inputs`` float (N, 3, h, w),
    ``targets`` class indexes (N,) or None; what Quantus adds (``device`` and the contents of its
    ``explain_func_kwargs``) replaces the settings. It raises what the class does and what
    :meth:`SuperpixelAttribution.attribute` does.

    Examples
    --------
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    >>> explain = quantus_explain(segments="grid:n_segments=4", budget=20)
    >>> explain(module, np.random.default_rng(0).normal(size=(1, 3, 8, 8)), np.array([1])).shape
    (1, 1, 8, 8)
    """

    def explain(
        model: torch.nn.Module, inputs: Any, targets: Any = None, **kwargs: Any
    ) -> NDArray[np.float32]:
        method = SuperpixelAttribution(model, **{**settings, **kwargs})
        if not isinstance(inputs, torch.Tensor):
            inputs = torch.as_tensor(np.asarray(inputs))
        given = inputs.detach().to("cpu", torch.float32)
        return np.asarray(method.attribute(given, target=targets)[:, :1].numpy())

    return explain


class SuperpixelAttribution:
    """An attribution method with the interface of captum's (Kokhlikyan et al., 2020).

    Parameters
    ----------
    module
        A ``torch.nn.Module`` from float (N, 3, h, w) to logits or probabilities (N, C). It is put
        into evaluation mode, its weights into channels-last memory.
    mean, std
        How inputs were normalised: ``(pixels - mean) / std`` of pixels in 0..1; three numbers
        each, both or neither. Without them each input's own range is taken.
    device
        Where the module runs; None leaves it where it is.
    batch_size
        Masked inputs at once; None measures what is fastest, once for each shape of inputs.
    settings
        Those of :class:`~deap_xai.Explainer`: segments, fill, algorithm, budget, seed, …, but
        weights, transform, size and class_names: inputs come ready, targets by index.

    Raises
    ------
    SettingError
        If the module isn't one, mean and std aren't as said, or a setting is unknown; what else may
        be wrong with a setting is told here or by :meth:`attribute`.

    Examples
    --------
    >>> module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    >>> method = SuperpixelAttribution(module, segments="grid:n_segments=4", budget=20)
    >>> method.attribute(torch.randn(2, 3, 8, 8), target=1).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        module: torch.nn.Module,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        device: Any = None,
        batch_size: int | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(module, torch.nn.Module):
            raise SettingError(
                f"got a {type(module).__name__} as model; expected a torch.nn.Module from float "
                "(N, 3, h, w) to logits or probabilities (N, classes): wrap it in one"
            )
        if (mean is None) != (std is None):
            raise SettingError("got one of mean and std; give both, or neither")
        if settings.get("engine") not in (None, "torch"):
            raise SettingError(
                f"engine is {settings['engine']!r}; expected 'torch': what is attributed are the "
                "very numbers that come, and other engines are given pictures"
            )
        _check_settings(settings)
        if batch_size is not None:
            check_count("batch_size", batch_size, 1)
        self.module, self.settings = module, settings
        self.batch_size = batch_size
        self._measured: dict[torch.Size, int] = {}
        here = next((p.device for p in module.parameters()), torch.device("cpu"))
        self.device = here if device is None else device
        self._scale = None if mean is None or std is None else (_three(mean), _three(std))
        if self._scale is not None and min(self._scale[1]) <= 0:
            raise SettingError(f"std must be above 0; got {shortened(std)}")

    def attribute(self, inputs: torch.Tensor, target: Any = None) -> torch.Tensor:
        """Importance of each superpixel, at each of its pixels.

        Parameters
        ----------
        inputs
            Float (N, 3, h, w), as the module takes them.
        target
            The class to explain: an index, one an input (N,), or None for the most probable.

        Returns
        -------
        Like ``inputs`` in shape, dtype and device. All channels of all pixels of a superpixel have
        its value, as captum does it with a feature mask; higher is more.

        Raises
        ------
        SettingError
            If the inputs aren't finite numbers of that shape, or there isn't one target for each.
        ImageError
            If they are of a single pixel, which no one can cut.
        """
        _check_inputs(inputs)
        targets = _targets(target, len(inputs))
        maps = [self._map(*one) for one in zip(inputs.detach(), targets, strict=True)]
        spread = torch.as_tensor(np.array(maps).reshape(len(maps), 1, *inputs.shape[2:]))
        return spread.to(inputs).expand(inputs.shape).contiguous()

    def _map(self, values: torch.Tensor, target: int | None) -> NDArray[np.float64]:
        """Importance of each pixel of one input, (h, w)."""
        mean, std = _own_scale(values) if self._scale is None else self._scale
        at_once = self.batch_size or self._measured.get(values.shape)
        backend = _InputBackend(
            self.module, values, mean, std, device=self.device, batch_size=at_once
        )
        explainer = Explainer(backend, **self.settings)
        found = explainer.explain(backend.pixels, target)
        self._measured[values.shape] = explainer.backend.batch_size
        return np.asarray(found.attribution[found.segments])


class _InputBackend(TorchBackend):
    """A module on one input: what a mask keeps is the input itself, not the view made of it."""

    def __init__(
        self,
        module: torch.nn.Module,
        values: torch.Tensor,
        mean: list[float],
        std: list[float],
        **options: Any,
    ) -> None:
        steps = [transforms.ToTensor(), transforms.Normalize(mean, std)]
        super().__init__(module, transform=transforms.Compose(steps), **options)
        self._values = values.permute(1, 2, 0).to(self.device)
        shown = values.float().cpu() * torch.tensor(std)[:, None, None]
        shown = (shown + torch.tensor(mean)[:, None, None]) * 255
        self.pixels: View = shown.round().clip(0, 255).byte().permute(1, 2, 0).numpy()

    def digest(self) -> str:
        """Of the module alone: each input has a range of its own, which says nothing of speed."""
        return module_digest(self._module)

    def view(self, image: Image) -> View:
        """The input's, whatever is given: no other is asked about."""
        return self.pixels

    def _on_device(self, masked_view: MaskedView) -> tuple[torch.Tensor, ...]:
        segments, _, fill = super()._on_device(masked_view)
        return segments, self._values, fill


def _own_scale(values: torch.Tensor) -> tuple[list[float], list[float]]:
    """Mean and std with which the least value is 0 and the greatest is 1."""
    low, high = float(values.min()), float(values.max())
    std = 1 / (high - low) if high > low else 1.0
    return [-low * std] * 3, [std] * 3


def _three(numbers: Sequence[float]) -> list[float]:
    try:
        values = np.asarray(numbers, float).ravel()
    except (TypeError, ValueError):
        values = np.empty(0)
    if len(values) != 3 or not np.isfinite(values).all():
        raise SettingError(
            "mean and std must be three finite numbers each, for RGB; got " + shortened(numbers)
        )
    return [float(value) for value in values]


def _check_settings(settings: dict[str, Any]) -> None:
    """See now, not at the first input, that an explainer takes them."""
    known = [name for name in inspect.signature(Explainer).parameters if name != "model"]
    for name, value in settings.items():
        if name not in known:
            raise SettingError(
                f"unknown setting {name!r}{meant(name, known)}; expected those of Explainer"
            )
        if name in READY and value is not None:
            raise SettingError(
                f"{name} doesn't apply: inputs come ready for the module, with mean and std in "
                "place of a transform, and targets by index; leave it out"
            )
    own = {name: settings[name] for name in settings if name not in ("engine", "precision")}
    Explainer(lambda views: [[1.0]] * len(views), **own)


def _check_inputs(inputs: Any) -> None:
    came = f"a {type(inputs).__name__}"
    if isinstance(inputs, torch.Tensor):
        if inputs.ndim == 4 and inputs.shape[1] == 3 and inputs.is_floating_point():
            if not bool(torch.isfinite(inputs).all()):
                raise SettingError("inputs hold NaN or infinity; expected finite numbers")
            return
        came = f"{inputs.dtype} {tuple(inputs.shape)}"
    raise SettingError(
        f"inputs are {came}; expected a tensor of floats (N, 3, h, w), as the module takes them"
    )


def _targets(target: Any, n: int) -> Iterable[int | None]:
    if target is None:
        return [None] * n
    indexes = np.asarray(target.cpu() if isinstance(target, torch.Tensor) else target).ravel()
    if len(indexes) not in (1, n) or indexes.dtype.kind not in "iu":
        raise SettingError(
            f"target is {target!r}; expected a class index, or one for each of the {n} inputs"
        )
    return [int(index) for index in np.broadcast_to(indexes, n)]
