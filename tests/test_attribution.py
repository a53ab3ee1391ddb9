"""Attribution on problems whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import WANTED, random_masks

from deap_xai.attribution import attribution
from deap_xai.backends import FunctionBackend
from deap_xai.errors import SettingError
from deap_xai.fitness import Evaluator
from deap_xai.masking import MaskedView
from deap_xai.surrogate import GaussianProcess

ENDS = np.repeat([[True], [False]], 16, axis=1)


def of_masks(function, n_segments=16):
    """An evaluator of a function of masks, over stripes of a white picture."""
    view = np.full((4, n_segments, 3), 255, np.uint8)
    segments = np.tile(np.arange(n_segments), (4, 1)).astype(np.int32)

    def classify(views):
        p = function(views[:, 0, :, 0] > 0)
        return np.stack([p, 1 - p], axis=1)

    backend = FunctionBackend(classify, batch_size=1000)
    return Evaluator(backend, MaskedView(view, segments, view * 0), target=0)


def additive(weights):
    return lambda masks: 1 / (1 + np.exp(2 - masks @ weights))


@pytest.mark.parametrize("seed", range(4))
def test_additive_weights_come_nearly_in_order(seed):
    weights = np.random.default_rng(seed).permutation(np.linspace(-0.6, 1.2, 16))
    evaluator = of_masks(additive(weights))
    evaluator.probabilities(np.concatenate([ENDS, random_masks(250, seed)]))
    calls, length = evaluator.calls, len(evaluator.archive)
    found = attribution(evaluator)
    assert found.shape == (16,)
    assert (evaluator.calls, len(evaluator.archive)) == (calls, length)  # nothing was asked
    assert np.corrcoef(found, weights)[0, 1] > 0.96
    places = np.argsort(np.argsort(found)) - np.argsort(np.argsort(weights))
    assert abs(places).max() <= 2  # neighbours differ by 0.12
    assert found == pytest.approx(weights, abs=0.6)  # in log-odds


@pytest.mark.parametrize("seed", range(4))
def test_weights_that_differ_come_in_the_very_order(seed):
    """Where every mask is known; where not, a known mask may come before a better guess."""
    weights = np.random.default_rng(seed).permutation(np.linspace(-0.5, 1.95, 8))
    evaluator = of_masks(additive(weights), 8)
    evaluator.probabilities((np.arange(255, -1, -1)[:, None] >> np.arange(8)) % 2 == 1)
    found = attribution(evaluator)
    assert np.argsort(-found).tolist() == np.argsort(-weights).tolist()
    assert np.corrcoef(found, weights)[0, 1] > 0.97


def test_the_same_twice():
    evaluator = of_masks(additive(np.linspace(0, 1, 16)))
    evaluator.probabilities(random_masks(60))
    assert (attribution(evaluator) == attribution(evaluator)).all()


def test_the_wanted_cells_come_first(make_evaluator):
    evaluator = make_evaluator()
    evaluator.probabilities(np.concatenate([ENDS, random_masks(150)]))
    assert set(np.argsort(-attribution(evaluator))[:3]) == set(np.flatnonzero(WANTED))


@pytest.mark.parametrize("ends", [[], [0], [1], [1, 0]])
def test_without_the_ends_or_with_them_elsewhere(make_evaluator, ends):
    evaluator = make_evaluator()
    masks = random_masks(150)
    masks = masks[masks.any(axis=1) & ~masks.all(axis=1)]
    evaluator.probabilities(np.concatenate([masks[:90], ENDS[ends], masks[90:]]))
    assert set(np.argsort(-attribution(evaluator))[:3]) == set(np.flatnonzero(WANTED))


def test_the_order_of_evaluation_hardly_counts():
    """Weights run between the full and the empty view, wherever in the archive they are."""
    function, found = additive(np.linspace(0, 1, 16)), []
    masks = random_masks(40)
    for order in ([ENDS, masks], [masks, ENDS], [ENDS[::-1], masks[::-1]]):
        evaluator = of_masks(function)
        evaluator.probabilities(np.concatenate(order))
        found.append(np.sort(attribution(evaluator)))  # the climb of the order is by chance
    assert found[1] == pytest.approx(found[0], abs=2e-3)
    assert found[2] == pytest.approx(found[0], abs=2e-3)


@pytest.mark.parametrize("mask", [ENDS[0], ENDS[1], WANTED])
def test_one_mask_is_little_but_enough(make_evaluator, mask):
    evaluator = make_evaluator()
    evaluator.probabilities(mask[None])
    assert np.isfinite(attribution(evaluator)).all()


def test_few_superpixels():
    evaluator = of_masks(additive(np.array([4.0])), 1)
    evaluator.probabilities(np.array([[True], [False]]))
    assert attribution(evaluator) == pytest.approx([4.0], abs=0.3)
    evaluator = of_masks(additive(np.array([1.0, 4.0])), 2)
    evaluator.probabilities(np.array([[1, 1], [0, 0], [0, 1], [1, 0]], bool))
    low, high = attribution(evaluator)
    assert low < high
    assert low + high == pytest.approx(5.0, abs=0.5)


def test_more_masks_than_the_model_keeps():
    weights = np.random.default_rng(1).permutation(np.linspace(-0.5, 1.5, 16))
    evaluator = of_masks(additive(weights))
    evaluator.probabilities(np.concatenate([ENDS, random_masks(900)]))
    assert np.corrcoef(attribution(evaluator), weights)[0, 1] > 0.98


def test_of_very_many_superpixels_the_order_is_the_models():
    n = 1001
    ends, masks = (
        np.repeat([[True], [False]], n, axis=1),
        np.random.default_rng(0).random((20, n)) < 0.5,
    )
    evaluator = of_masks(lambda masks: 0.1 + 0.8 * masks.mean(axis=1), n)
    evaluator.probabilities(np.concatenate([ends, masks]))
    model = GaussianProcess(evaluator)
    model.gather(evaluator.archive.masks, evaluator.answers(evaluator.archive.masks))
    model.fit()
    assert attribution(evaluator) == pytest.approx(model.weights())


def test_an_empty_archive_has_no_attribution(make_evaluator):
    with pytest.raises(SettingError, match="nothing was evaluated yet"):
        attribution(make_evaluator())
