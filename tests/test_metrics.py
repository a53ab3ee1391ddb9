"""Insertion and deletion, against literal loops."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from conftest import WANTED, cell_probability
from hypothesis import given, settings
from hypothesis import strategies as st
from test_attribution import additive, of_masks

from deap_xai.errors import SettingError
from deap_xai.metrics import (
    deletion_auc,
    insertion_auc,
    minimality,
    nested,
    smallest_sufficient,
    sufficiency,
)

IMPORTANCE = st.lists(st.integers(-3, 3), min_size=1, max_size=8).map(np.array)


@settings(deadline=None)
@given(IMPORTANCE)
def test_nested_masks_keep_the_most_important(values):
    masks = nested(values)
    assert masks.dtype == bool
    assert masks.shape == (len(values) + 1, len(values))
    assert masks.sum(axis=1).tolist() == list(range(len(values) + 1))
    assert (masks[1:] >= masks[:-1]).all()
    for mask in masks[1:-1]:
        assert values[mask].min() >= values[~mask].max()
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))  # ties: the first comes first
    assert [int(np.flatnonzero(b & ~a)[0]) for a, b in pairwise(masks)] == order


def test_importance_may_be_of_any_kind_of_number():
    for kind in (np.uint8, np.float32, int):
        assert nested(np.array([0, 1, 2], kind))[1].tolist() == [False, False, True]
    with pytest.raises(SettingError, match="holds NaN"):
        nested(np.array([0.5, np.nan]))


@pytest.mark.parametrize("metric", [insertion_auc, deletion_auc, smallest_sufficient])
def test_an_attribution_has_a_number_for_each_superpixel(make_evaluator, metric):
    values = np.arange(16.0)
    spread = values.reshape(4, 4).repeat(4, axis=0).repeat(4, axis=1)
    said = r"must be \(16,\).*got 4 numbers|must be \(S,\).*got shape \(|must be numbers.*'b'"
    for odd in (values[:4], values[:, None], values.reshape(4, 4), spread, ["a", "b"]):
        with pytest.raises(SettingError, match=said):
            metric(make_evaluator(), odd)


@pytest.mark.parametrize(
    "ask",
    [
        lambda one: insertion_auc(one, one.attribution),
        lambda one: smallest_sufficient(one, one.attribution),
        lambda one: sufficiency(one, one.mask),
        lambda one: minimality(one, one.mask),
    ],
)
def test_an_explanation_is_no_evaluator(explanation, ask):
    with pytest.raises(SettingError, match=r"takes an evaluator, such as .* got Explanation"):
        ask(explanation)


def test_an_attribution_that_wants_a_gradient():
    given = torch.tensor([0.2, 0.9], requires_grad=True)
    assert nested(given).tolist() == [[False, False], [False, True], [True, True]]


def test_a_map_has_no_nested_masks():
    with pytest.raises(SettingError, match=r"attribution must be \(S,\).* got shape \(2, 2\)"):
        nested(np.eye(2))


def area_by_hand(function, values, hide):
    """Trapezoids of width 1/S under the curve."""
    order, n = sorted(range(len(values)), key=lambda i: (-values[i], i)), len(values)
    heights = []
    for k in range(n + 1):
        chosen = np.isin(np.arange(n), order[:k])
        heights.append(float(function((~chosen if hide else chosen)[None])[0]))
    return sum((a + b) / 2 / n for a, b in pairwise(heights))


@settings(deadline=None, max_examples=40)
@given(IMPORTANCE, st.integers(0, 2**32))
def test_areas(values, seed):
    function = additive(np.random.default_rng(seed).normal(0.5, 2, len(values)))
    evaluator = of_masks(function, len(values))
    insertion, deletion = insertion_auc(evaluator, values), deletion_auc(evaluator, values)
    assert insertion == pytest.approx(area_by_hand(function, values, hide=False), abs=1e-6)
    assert deletion == pytest.approx(area_by_hand(function, values, hide=True), abs=1e-6)
    assert 0 <= insertion <= 1
    assert 0 <= deletion <= 1
    # Hiding from the top is showing from the bottom, read backwards.
    apart = values + np.arange(len(values)) / 100
    mirrored = insertion_auc(evaluator, -apart)
    assert deletion_auc(evaluator, apart) == pytest.approx(mirrored, abs=1e-6)


def test_each_asks_for_one_mask_a_step(make_evaluator, model):
    evaluator = make_evaluator()
    insertion_auc(evaluator, np.arange(16))
    assert model.images == evaluator.calls == 17
    deletion_auc(evaluator, np.arange(16))
    assert model.images == evaluator.calls == 17 + 15  # both ends are known


def test_no_order_beats_the_perfect_one():
    weights = np.array([0.5, 3.0, 1.0, 2.0, 0.1])
    evaluator = of_masks(additive(weights), 5)
    orders = [np.array(order) for order in permutations(range(5))]
    perfect = insertion_auc(evaluator, weights), deletion_auc(evaluator, weights)
    assert perfect[0] == pytest.approx(max(insertion_auc(evaluator, one) for one in orders))
    assert perfect[1] == pytest.approx(min(deletion_auc(evaluator, one) for one in orders))
    reversed_ = insertion_auc(evaluator, -weights), deletion_auc(evaluator, -weights)
    assert reversed_[0] == pytest.approx(min(insertion_auc(evaluator, one) for one in orders))
    assert reversed_ == pytest.approx(perfect[::-1])
    assert perfect[0] > reversed_[0] + 0.1


def test_the_wanted_cells_first(make_evaluator):
    evaluator = make_evaluator()
    assert insertion_auc(evaluator, WANTED * 1.0) == pytest.approx(
        area_by_hand(cell_probability, WANTED * 1.0, hide=False), abs=1e-6
    )
    assert insertion_auc(evaluator, WANTED * 1.0) > insertion_auc(evaluator, WANTED * -1.0) + 0.3
    assert deletion_auc(evaluator, WANTED * 1.0) < deletion_auc(evaluator, WANTED * -1.0) - 0.3


def test_complex_importances_are_no_numbers_to_order_by(make_evaluator):
    with pytest.raises(SettingError, match="attribution must be numbers"):
        insertion_auc(make_evaluator(), np.ones(16) + 1j)
