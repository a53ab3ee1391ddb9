"""Sufficiency and minimality, against literal loops."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import SIDE, WANTED, cell_probability, random_masks
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attribution import additive, of_masks

from deap_xai.backends import FunctionBackend
from deap_xai.errors import SettingError
from deap_xai.fitness import Evaluator
from deap_xai.masking import MaskedView
from deap_xai.metrics import minimality, nested, smallest_sufficient, sufficiency

FULL = np.ones(SIDE * SIDE, bool)
SEEDS = st.integers(0, 2**32)


def drawn(seed):
    rng = np.random.default_rng(seed)
    n_segments = int(rng.integers(1, 9))
    function = additive(rng.normal(0.5, 2, n_segments))
    return of_masks(function, n_segments), function, rng


@pytest.mark.parametrize("mask", random_masks(12))
def test_sufficiency_is_one_less_what_is_lost(make_evaluator, mask):
    full, kept = cell_probability(FULL[None])[0], cell_probability(mask[None])[0]
    lost = full - kept if kept < full else 0
    assert sufficiency(make_evaluator(), mask) == pytest.approx(1 - lost, abs=1e-6)


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_sufficiency_of_any_game(seed):
    evaluator, function, rng = drawn(seed)
    mask = rng.random(evaluator.n_segments) < 0.5
    value = sufficiency(evaluator, mask)
    assert 0 <= value <= 1
    full, kept = function(np.ones((1, len(mask)), bool))[0], function(mask[None])[0]
    assert value == pytest.approx(1 - max(0, full - kept), abs=1e-6)
    assert sufficiency(evaluator, np.ones_like(mask)) == 1


def minimality_by_hand(function, mask, threshold):
    kept = [i for i in range(len(mask)) if mask[i]]
    needed = 0
    for i in kept:
        without = mask.copy()
        without[i] = False
        needed += function(without[None])[0] < threshold
    return needed / len(kept)


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_minimality_of_any_game(seed):
    evaluator, function, rng = drawn(seed)
    mask = rng.random(evaluator.n_segments) < 0.6
    mask[rng.integers(len(mask))] = True
    threshold = float(rng.random())
    value = minimality(evaluator, mask, threshold)
    assert value == pytest.approx(minimality_by_hand(function, mask, threshold))
    assert minimality(evaluator, mask, 0.0) == 0  # anything is enough
    assert minimality(evaluator, mask, threshold / 2) <= value


@pytest.mark.parametrize("threshold", [-0.1, 1.1, np.nan, "0.5"])
def test_a_threshold_is_a_probability(make_evaluator, threshold):
    with pytest.raises(SettingError, match=r"threshold must be a probability, 0\.\.1; got"):
        minimality(make_evaluator(), WANTED, threshold)


def test_nine_tenths_are_enough_where_nine_tenths_are_asked():
    """In single precision, in which answers are kept, 0.9 is less than as a double."""
    always = FunctionBackend(lambda views: [[0.9, 0.1]] * len(views))
    view = np.full((2, 2, 3), 255, np.uint8)
    masked_view = MaskedView(view, np.array([[0, 1], [2, 3]], np.int32), view * 0)
    evaluator = Evaluator(always, masked_view, 0)
    for threshold in (0.9, np.float64(0.9), np.float32(0.9)):
        assert minimality(evaluator, np.array([True, True, False, False]), threshold) == 0


def test_what_can_be_dropped_depends_on_what_has_to_remain(make_evaluator):
    evaluator = make_evaluator()
    assert minimality(evaluator, WANTED, 0.9) == 1
    assert minimality(evaluator, WANTED) == 0  # two of the three still beat the full view
    larger = WANTED.copy()
    larger[0] = True  # keeping it even lowers the probability
    assert minimality(evaluator, larger, 0.9) == 0.75


def test_minimality_without_a_threshold_is_the_explanations(explanation, make_evaluator):
    evaluator = make_evaluator()
    assert (minimality(evaluator, explanation.mask) == 1) == explanation.minimal


def test_minimality_of_nothing():
    with pytest.raises(SettingError, match="the mask keeps nothing"):
        minimality(of_masks(additive(np.ones(3)), 3), np.zeros(3, bool))


def test_a_mask_may_be_a_list(make_evaluator):
    mask = [True] * 3 + [False] * 13
    assert minimality(make_evaluator(), mask) == minimality(make_evaluator(), np.array(mask))


@pytest.mark.parametrize("share", [90, 1.5, -0.1, float("nan"), "0.9"])
def test_a_share_is_no_percentage(make_evaluator, share):
    with pytest.raises(SettingError, match=f"0..1; got {share!r}"):
        smallest_sufficient(make_evaluator(), np.arange(16), share)


def test_a_mask_of_another_length(make_evaluator):
    with pytest.raises(
        SettingError,
        match=r"bool \(2, 3\); expected .*of other superpixels",
    ):
        sufficiency(make_evaluator(), np.ones(3, bool))
    for mask in (WANTED[None], WANTED[:3], WANTED * 1):
        with pytest.raises(SettingError, match=r"the mask must be bool of shape \(16,\); got"):
            minimality(make_evaluator(), mask, 0.5)


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.floats(0, 1))
def test_the_smallest_sufficient_is_the_first_nested_mask_that_is(seed, share):
    evaluator, _, rng = drawn(seed)
    values = rng.normal(size=evaluator.n_segments)
    found = smallest_sufficient(evaluator, values, share)
    full = evaluator.probabilities(np.ones((1, len(values)), bool))[0]
    for mask in nested(values)[1:]:
        if evaluator.probabilities(mask[None])[0] >= share * full:
            break
    assert (found == mask).all()
    assert found.any()


@pytest.mark.parametrize("kind", [np.array, np.float32, torch.tensor, Fraction])
def test_a_threshold_is_any_kind_of_number(make_evaluator, kind):
    evaluator, mask = make_evaluator(), WANTED
    assert minimality(evaluator, mask, kind(0.75)) == minimality(evaluator, mask, 0.75) == 1
    values = np.arange(16.0)
    found = [smallest_sufficient(evaluator, values, share) for share in (kind(0.75), 0.75)]
    assert np.array_equal(*found)
