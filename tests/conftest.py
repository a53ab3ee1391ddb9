"""Small shared things: a picture of 4 x 4 cells and a classifier that knows which cells matter."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from browser import browser  # noqa: F401  # one for all tests

from deap_xai.backends import FunctionBackend
from deap_xai.budget import Budget
from deap_xai.explainer import Explainer
from deap_xai.fitness import Evaluator
from deap_xai.masking import MaskedView

mpl.use("Agg")

SIDE, CELL = 4, 6
WANTED = np.isin(np.arange(SIDE * SIDE), (1, 6, 11))


class CellModel:
    """Class 1 is likely where the wanted cells are visible and others aren't; it counts.

    The best mask is ``WANTED`` itself, with probability 0.95.
    """

    def __init__(self) -> None:
        self.batches: list[int] = []

    @property
    def images(self) -> int:
        return sum(self.batches)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        cells = images.reshape(len(images), SIDE, CELL, SIDE, CELL, 3).mean(axis=(2, 4, 5))
        p = cell_probability(cells.reshape(len(images), -1) > 60)
        return np.stack([1 - p, p], axis=1)


def cell_probability(masks: np.ndarray) -> np.ndarray:
    """What the model answers under each mask, (N,)."""
    kept, noise = masks[:, WANTED].mean(axis=1), masks[:, ~WANTED].mean(axis=1)
    return 0.05 + 0.9 * kept * (1 - 0.4 * noise)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """What is measured in a test is remembered for that test alone, and not in the user's home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def image() -> np.ndarray:
    side = SIDE * CELL
    return np.random.default_rng(0).integers(150, 256, (side, side, 3)).astype(np.uint8)


@pytest.fixture
def segments() -> np.ndarray:
    return np.kron(np.arange(SIDE**2).reshape(SIDE, SIDE), np.ones((CELL, CELL), int)).astype("i4")


@pytest.fixture
def model() -> CellModel:
    return CellModel()


@pytest.fixture
def make_explainer(model, segments):
    """An Explainer of the counting model on the picture's own cells, under a black fill."""

    def make(**settings):
        settings = {"segments": segments, "fill": "black", **settings}
        return Explainer(settings.pop("model", model), **settings)

    return make


@pytest.fixture
def make_evaluator(model, image, segments):
    def make(function=None, target=1, **limits):
        backend = FunctionBackend(function or model, batch_size=1000)
        view = MaskedView(image, segments, np.zeros_like(image))
        return Evaluator(backend, view, target, Budget(**limits))

    return make


@pytest.fixture
def explanation(make_explainer, image):
    return make_explainer(budget=120).explain(image)


def stand_in() -> FunctionBackend:
    """A backend that says a tenth more of every picture than its reference does."""

    def brightness(views, more=0.0):
        p = views.mean(axis=(1, 2, 3)) / 300 + more
        return np.stack([1 - p, p], axis=1)

    quick = FunctionBackend(lambda views: brightness(views, 0.1))
    quick.reference = FunctionBackend(brightness)
    return quick


def random_masks(n: int, seed: int = 0) -> np.ndarray:
    """Distinct masks of the cells."""
    rows = np.random.default_rng(seed).permutation(2 ** (SIDE**2))[:n]
    return (rows[:, None] >> np.arange(SIDE**2)) % 2 == 1


def openvino_has_bf16() -> bool:
    """Whether OpenVINO runs anything in bf16 on this processor."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
