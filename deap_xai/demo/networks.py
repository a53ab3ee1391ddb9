"""Four small classifiers of the creatures, built from torchvision's own blocks and classes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from deap_xai.demo.creatures import CLASS_NAMES
from deap_xai.errors import SettingError

if TYPE_CHECKING:  # torch is slow to import, and listing the networks does not need it
    from torch import nn

NETWORKS: tuple[str, ...] = ("resnet", "densenet", "mobilenet", "cheater")
"""Names of the networks; ``cheater`` is the ResNet again, taught to read the watermark."""

MEAN: tuple[float, float, float] = (0.5, 0.5, 0.5)
"""Subtract this from RGB images in 0..1 before a network sees them, …"""

STD: tuple[float, float, float] = (0.25, 0.25, 0.25)
"""… then divide by this."""

WEIGHTS = Path(__file__).parent / "weights"
"""The folder of the weights, one ``NAME.safetensors`` a network."""


def build(name: str) -> nn.Sequential:
    """Return the untrained network ``name``, in training mode: first a halving, then the body.

    It takes float images (N, 3, H, W), normalised by ``MEAN`` and ``STD``, and returns
    logits (N, 8) over ``CLASS_NAMES``. Raises ``SettingError`` for an unknown name.

    >>> sum(p.numel() for p in build("resnet").parameters()) < 300_000
    True
    """
    from torch import nn

    makers: dict[str, Callable[[], nn.Module]] = {
        "resnet": _resnet,
        "densenet": _densenet,
        "mobilenet": _mobilenet,
        "cheater": _resnet,
    }
    if name not in makers:
        raise SettingError(f"unknown demo network {name!r}; choose one of {', '.join(NETWORKS)}")
    # At half the size the parts are still plain to see, at a quarter of the pixels.
    return nn.Sequential(nn.AvgPool2d(2), makers[name]())


def network(name: str = "resnet") -> nn.Sequential:
    """Return the trained network ``name`` in evaluation mode, on the CPU.

    Inputs and outputs are those of ``build``. Raises ``SettingError`` for an unknown name.

    >>> import torch
    >>> with torch.inference_mode():
    ...     network("mobilenet")(torch.zeros(2, 3, 128, 128)).shape
    torch.Size([2, 8])
    """
    from safetensors.torch import load_file

    model = build(name)
    model.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return model.eval()


def _resnet() -> nn.Module:
    from torch import nn
    from torchvision.models.resnet import BasicBlock

    widths = (16, 16, 32, 64, 96)
    layers: list[nn.Module] = [
        nn.Conv2d(3, widths[0], 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
        BasicBlock(widths[0], widths[1]),
    ]
    for before, after in itertools.pairwise(widths[1:]):
        shortcut = nn.Sequential(
            nn.Conv2d(before, after, 1, stride=2, bias=False), nn.BatchNorm2d(after)
        )
        layers.append(BasicBlock(before, after, stride=2, downsample=shortcut))
    head = nn.Linear(widths[-1], len(CLASS_NAMES))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def _densenet() -> nn.Module:
    from torchvision.models import DenseNet

    model: nn.Module = DenseNet(
        growth_rate=12,
        block_config=(2, 4, 6, 4),
        num_init_features=16,
        bn_size=3,
        num_classes=len(CLASS_NAMES),
    )
    return model


def _mobilenet() -> nn.Module:
    from torchvision.models import MobileNetV2

    # Expansion, channels (before the width multiplier), repeats, stride.
    stages = [[1, 32, 1, 2], [4, 48, 2, 1], [4, 96, 2, 2], [4, 160, 2, 2]]
    model: nn.Module = MobileNetV2(
        num_classes=len(CLASS_NAMES), width_mult=0.5, inverted_residual_setting=stages, dropout=0.0
    )
    return model
