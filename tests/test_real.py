"""Real models on real photographs, where they are at hand.

Set DEAP_XAI_DATA to their folder, and DEAP_XAI_FULL=1 for all photographs and both models.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision import transforms

from deap_xai import Explainer

DATA = Path(os.environ.get("DEAP_XAI_DATA", Path(__file__).parents[2] / "shared" / "data"))
FULL = os.environ.get("DEAP_XAI_FULL") == "1"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not (DATA / "images" / "labels.csv").is_file(),
        reason=f"no models and photographs at {DATA}; name their folder in DEAP_XAI_DATA",
    ),
]


def photographs() -> list[tuple[str, int]]:
    """File names and true classes: a few, or all of them."""
    if not (DATA / "images" / "labels.csv").is_file():
        return [("none", 0)]
    with (DATA / "images" / "labels.csv").open() as file:
        rows = [(row["file"], int(row["class_index"])) for row in csv.DictReader(file)]
    return rows if FULL else rows[::20]


@pytest.fixture(
    scope="module", params=["mobilenet_v2", "squeezenet1_1"] if FULL else ["mobilenet_v2"]
)
def explainer(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(DATA / "torch_home"))
        yield Explainer(request.param, budget=60, population=20, device="cpu")


@pytest.mark.parametrize(("name", "label"), photographs())
def test_explanations_keep_the_probability(explainer, name, label):
    e = explainer.explain(DATA / "images" / name)
    assert e.model_calls <= 60
    assert e.view.shape == (224, 224, 3)
    assert 0 < e.size <= e.n_segments
    assert np.isfinite([e.probability_full, e.probability_rest, e.probability_empty]).all()
    if e.target == label:
        assert e.probability >= e.probability_full


# A user's own module: the usual ResNet-20 for CIFAR-10 (He et al., CVPR 2016)


class Block(nn.Module):
    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.stride, self.more = stride, n_out - n_in

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.more:  # option A: every other pixel, and zeros for the new channels
            half = self.more // 2
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        return (x + y).relu()


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[Block(16, 16, 1) for _ in range(3)])
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu()
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))


CIFAR = "airplane automobile bird cat deer dog frog horse ship truck".split()
TRANSFORM = transforms.Compose(
    [
        transforms.Resize((32, 32)),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)


@pytest.fixture(scope="module")
def resnet20() -> nn.Module:
    module = ResNet20()
    module.load_state_dict(load_file(DATA / "resnet20_cifar10.safetensors"))
    return module


@pytest.mark.parametrize(
    "how", [{"transform": TRANSFORM}, {"size": (32, 32)}], ids=["transform", "size"]
)
def test_a_module_of_the_users_own(resnet20, how):
    settings = {"segments": "grid:n_segments=25", "class_names": CIFAR, "device": "cpu"}
    explainer = Explainer(resnet20, budget=100, **settings, **how)
    e = explainer.explain(DATA / "images" / photographs()[0][0])
    assert e.view.shape == (32, 32, 3)
    assert e.target_name in CIFAR
    assert e.probability >= e.probability_full
    assert e.model_calls <= 100


def test_its_probabilities_are_the_modules(resnet20):
    explainer = Explainer(resnet20, transform=TRANSFORM, device="cpu")
    evaluator = explainer.evaluator(DATA / "images" / "n01443537_goldfish.JPEG")
    masks = np.random.default_rng(0).random((9, evaluator.n_segments)) < 0.5
    views = evaluator.masked_view.render(masks)
    x = torch.stack([transforms.Compose(TRANSFORM.transforms[1:])(view) for view in views])
    with torch.no_grad():
        expected = resnet20(x).softmax(dim=1)[:, evaluator.target].numpy()
    assert evaluator.probabilities(masks) == pytest.approx(expected, abs=1e-5)
