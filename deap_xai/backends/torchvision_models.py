"""Torchvision's classifiers by name, with published weights or a file of the user's."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
import torchvision

from deap_xai.backends.torch_module import TorchBackend
from deap_xai.errors import BackendError, SettingError
from deap_xai.wording import shortened

__all__ = ["read_weights", "torchvision_backend", "torchvision_names"]

_WITH_AUX = ("inception_v3", "googlenet")

# "…denselayer1.norm.1.weight" in the published files is "…denselayer1.norm1.weight" today.
_DENSE = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


def torchvision_names() -> list[str]:
    """Names of torchvision's image classifiers.

    Examples
    --------
    >>> "mobilenet_v2" in torchvision_names()
    True
    """
    return [str(name) for name in torchvision.models.list_models(module=torchvision.models)]


def torchvision_backend(
    name: str,
    *,
    weights: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    batch_size: int | None = None,
) -> TorchBackend:
    """A torchvision classifier with the transform that its published weights come with.

    Parameters
    ----------
    name
        One of :func:`torchvision_names`.
    weights
        A ``.safetensors`` or ``.pth`` file with the model's state dict; the number of classes is
        read off it. None takes torchvision's published weights, downloaded once. GoogLeNet and
        Inception V3 take pictures normalised as for these, with a file as well
        (``transform_input``): give one trained otherwise as a module.
    class_names, device, batch_size
        As for :class:`TorchBackend`. Without names, ImageNet's stand in where there are 1,000
        classes.

    Raises
    ------
    BackendError
        If the weights can't be downloaded, read, or don't fit the model.
    """
    published = torchvision.models.get_model_weights(name).DEFAULT
    state = _published_state(name, published) if weights is None else read_weights(weights)
    module = _fitted(name, state, weights or published.url)
    n_classes = len(next(reversed(module.state_dict().values())))
    categories = published.meta["categories"]
    if class_names is None and len(categories) == n_classes:
        class_names = categories
    backend = TorchBackend(
        module,
        transform=published.transforms(),
        class_names=class_names,
        device=device,
        batch_size=batch_size,
    )
    backend.name = name
    return backend


def _fitted(name: str, state: dict[str, torch.Tensor], source: Any) -> torch.nn.Module:
    """The architecture with as many classes as the state dict's last layer, and the weights."""
    head = _head(name, state)
    reason = f"The file has no {head}."
    if head in state:
        options = _options(name, len(state[head]), state)
        module: torch.nn.Module = torchvision.models.get_model(name, weights=None, **options)
        try:
            module.load_state_dict(state)
            return module
        except RuntimeError as error:
            reason = str(error).split("\n", 2)[1].strip()
    raise BackendError(
        f"the weights in {source} don't fit {name}; name the architecture that they were trained "
        f"with. {reason:.200}"
    )


def _head(name: str, state: Mapping[str, Any]) -> str:
    """Name of the last layer's parameters, which have a row for each class."""
    make = partial(torchvision.models.get_model, name, weights=None, **_options(name, 2, state))
    try:
        with torch.device("meta"):  # names alone, at no cost
            plain = make()
    except NotImplementedError:  # RegNets compute their widths with tensors
        plain = make()
    return str(list(plain.state_dict())[-1])


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """A state dict from a ``.safetensors`` file, or from a ``.pth`` or ``.pt`` file's tensors.

    No code in the file is ever run.

    Raises
    ------
    BackendError
        If there is no such file or it can't be read safely.
    SettingError
        If what is given is no path.
    """
    if not isinstance(path, str | os.PathLike):
        raise SettingError(
            f"weights must be a file; got {shortened(path)}: leave them out for the published "
            "ones, or load them into a module and give that"
        )
    path = Path(path)
    if not path.is_file():
        raise BackendError(f"no weights file at {path}; check the path")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return _renamed(load_file(path))
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # every reader has errors of its own for a bad file
        raise BackendError(
            f"can't read weights from {path} ({type(error).__name__}): expected .safetensors, or "
            ".pth holding nothing but tensors (a state dict)"
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        state = state.get(key, state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise BackendError(f"{path} holds {type(state).__name__}, expected a state dict of tensors")
    return _renamed(state)


def _renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Keys as the architectures have them: DataParallel's and DenseNet's old ones differ."""
    return {_DENSE.sub(r"\1\2", k.removeprefix("module.")): v for k, v in state.items()}


def _published_state(name: str, published: Any) -> dict[str, torch.Tensor]:
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name
    try:
        state: dict[str, torch.Tensor] = published.get_state_dict(
            progress=True, check_hash=True, weights_only=True
        )
    except (URLError, OSError) as error:
        raise BackendError(
            f"can't download the weights of {name} ({error}). Fetch {published.url} elsewhere "
            f"and place it at {file}; or give a file with --weights FILE (weights=… in Python); "
            "or see what comes out without a download: deap-xai demo"
        ) from error
    except Exception as error:  # a damaged file
        raise BackendError(
            f"can't read {file} ({type(error).__name__}); delete it, so that it is downloaded anew"
        ) from error
    return _renamed(state)


def _options(name: str, n_classes: int, state: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {"num_classes": n_classes}
    if name in _WITH_AUX:
        # Auxiliary heads matter in training only, but the published files carry them.
        has_aux = any(key.lower().startswith("aux") for key in state)
        options |= {"aux_logits": has_aux, "init_weights": False, "transform_input": True}
    return options
