"""Our metrics beside those of Quantus, on the same input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deap_xai.backends import FunctionBackend
from deap_xai.fitness import Evaluator
from deap_xai.masking import MaskedView
from deap_xai.metrics import (
    deletion_auc,
    insertion_auc,
    jaccard,
    pointing_game,
    rank_accuracy,
    rank_correlation,
)

quantus = pytest.importorskip("quantus", reason="needs the extra: benchmarks")
sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra: benchmarks")

# Quantus warns of its own settings and divides where it says so.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:quantus")

SIDE, CELL = 4, 3
SEGMENTS = np.kron(np.arange(SIDE**2).reshape(SIDE, SIDE), np.ones((CELL, CELL), int)).astype("i4")


class Net(torch.nn.Module):
    """Softmax of weighted pixels: something for Quantus to ask."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(3 * (SIDE * CELL) ** 2, 3)

    def forward(self, inputs):
        return self.linear(inputs.flatten(1))


NET = Net().eval()


def predict(views):
    with torch.inference_mode():
        inputs = torch.tensor(views / 255, dtype=torch.float32).permute(0, 3, 1, 2)
        return NET(inputs).softmax(dim=1).numpy()


@pytest.fixture(params=range(3))
def scene(request):
    """A view, an attribution, true pixels and an evaluator under a black fill."""
    rng = np.random.default_rng(request.param)
    view = rng.integers(1, 256, (SIDE * CELL, SIDE * CELL, 3)).astype(np.uint8)
    evaluator = Evaluator(FunctionBackend(predict), MaskedView(view, SEGMENTS, view * 0), target=1)
    values = rng.permutation(SIDE**2) - 5.0
    truth = np.zeros(SEGMENTS.shape, bool)
    truth[rng.integers(8) :, rng.integers(8) :] = True
    return view, values, truth, evaluator


def as_quantus(view, values, truth):
    """What its metrics are called with."""
    return {
        "model": NET,
        "x_batch": (view / 255).transpose(2, 0, 1)[None].astype(np.float32),
        "y_batch": np.array([1]),
        "a_batch": values[SEGMENTS][None, None],
        "s_batch": truth[None, None],
        "softmax": True,
    }


def black(arr, indices, **kwargs):
    """Quantus calls it with flat inputs (N, 3 h w) and the indices of one patch a row."""
    hidden = arr.copy()
    np.put_along_axis(hidden, np.asarray(indices), 0, axis=1)
    return hidden


@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_areas_are_those_under_its_region_perturbation(scene, order):
    view, values, truth, evaluator = scene
    metric = quantus.RegionPerturbation(
        patch_size=CELL, order=order, regions_evaluation=SIDE**2, normalise=False,
        perturb_func=black, disable_warnings=True,
    )  # fmt: skip
    lost = np.array(metric(**as_quantus(view, values, truth)))[0]  # its number: p(full) - p(k)
    full = float(evaluator.probabilities(np.ones((1, SIDE**2), bool))[0])
    curve = np.r_[full, full - lost]
    area = float((curve[1:] + curve[:-1]).mean() / 2)
    # Hiding the least relevant first is showing the most relevant first, read backwards.
    ours = deletion_auc if order == "morf" else insertion_auc
    assert ours(evaluator, values) == pytest.approx(area, abs=1e-5)


def test_pointing_game(scene):
    view, values, truth, _ = scene
    for sign in (1, -1):
        metric = quantus.PointingGame(disable_warnings=True, normalise=False, weighted=False)
        theirs = metric(**as_quantus(view, sign * values, truth))
        assert pointing_game(sign * values, SEGMENTS, truth) == float(theirs[0])


def test_rank_accuracy(scene):
    view, values, truth, _ = scene
    # Distinct values: how it sorts equal ones is chance.
    pixels = np.arange(SEGMENTS.size).reshape(SEGMENTS.shape)
    spread = values[SEGMENTS] * 1000 + pixels
    metric = quantus.RelevanceRankAccuracy(disable_warnings=True, normalise=False)
    theirs = metric(**as_quantus(view, values, truth) | {"a_batch": spread[None, None]})
    assert rank_accuracy(spread.ravel(), pixels, truth) == pytest.approx(float(theirs[0]))


def test_top_k_intersection_with_as_many_as_are_true(scene):
    view, values, truth, _ = scene
    pixels = np.arange(SEGMENTS.size).reshape(SEGMENTS.shape)
    spread = values[SEGMENTS] * 1000 + pixels
    metric = quantus.TopKIntersection(k=int(truth.sum()), disable_warnings=True, normalise=False)
    theirs = metric(**as_quantus(view, values, truth) | {"a_batch": spread[None, None]})
    assert rank_accuracy(spread.ravel(), pixels, truth) == pytest.approx(float(theirs[0]))


def test_rank_correlation(scene):
    _, values, _, _ = scene
    others = np.random.default_rng(1).normal(size=len(values))
    theirs = quantus.correlation_spearman(a=values, b=others)
    assert rank_correlation(values, others) == pytest.approx(float(theirs))


def test_jaccard_is_scikit_learns(scene):
    _, values, truth, _ = scene
    kept = (values > 0)[SEGMENTS]
    assert jaccard(kept, truth) == pytest.approx(
        sklearn_metrics.jaccard_score(kept.ravel(), truth.ravel())
    )
