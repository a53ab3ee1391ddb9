"""Jaccard index, rank correlation and their mean over pairs, against literal loops."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from deap_xai.errors import SettingError
from deap_xai.metrics import jaccard, rank_correlation, stability

BITS = st.integers(1, 12).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=2, max_size=5)
)
VALUES = st.integers(2, 9).flatmap(
    lambda n: st.lists(st.lists(st.integers(-3, 3), min_size=n, max_size=n), min_size=2, max_size=4)
)


def jaccard_by_hand(a, b):
    first = {i for i, bit in enumerate(a) if bit}
    second = {i for i, bit in enumerate(b) if bit}
    return len(first & second) / len(first | second) if first | second else 1.0


def ranks_by_hand(values):
    """1 for the smallest; equal ones share the mean of their places."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def correlation_by_hand(a, b):
    x, y = ranks_by_hand(a), ranks_by_hand(b)
    mean = (len(x) + 1) / 2
    above = sum((p - mean) * (q - mean) for p, q in zip(x, y, strict=True))
    below = sum((p - mean) ** 2 for p in x) * sum((q - mean) ** 2 for q in y)
    return above / below**0.5 if below else float("nan")


@settings(deadline=None)
@given(BITS)
def test_jaccard(masks):
    a, b = masks[:2]
    assert jaccard(a, b) == pytest.approx(jaccard_by_hand(a, b))
    assert jaccard(a, b) == jaccard(b, a)
    assert jaccard(a, a) == 1
    assert 0 <= jaccard(a, b) <= 1


@pytest.mark.parametrize("odd", [[0.3, 0.1], [2, 1], [-1, 0], [np.nan, 1]])
def test_attributions_are_no_masks(odd):
    with pytest.raises(SettingError, match=r"jaccard compares masks, got .*rank_correlation"):
        jaccard([1, 0], odd)
    with pytest.raises(SettingError, match="jaccard compares masks"):
        stability([odd, [1, 0]])


@settings(deadline=None)
@given(VALUES)
def test_rank_correlation(rows):
    a, b = np.array(rows[0]), np.array(rows[1])
    value = rank_correlation(a, b)
    assert value == pytest.approx(correlation_by_hand(rows[0], rows[1]), nan_ok=True)
    if np.isnan(value):
        assert len(set(rows[0])) == 1 or len(set(rows[1])) == 1
        return
    assert value == pytest.approx(spearmanr(a, b).statistic)
    assert -1 <= value <= 1
    assert rank_correlation(b, np.exp(a)) == pytest.approx(value)
    assert rank_correlation(-a, b) == pytest.approx(-value)


@settings(deadline=None)
@given(BITS)
def test_stability(masks):
    pairs = [jaccard_by_hand(a, b) for a, b in combinations(masks, 2)]
    assert stability(masks) == pytest.approx(sum(pairs) / len(pairs))
    assert stability(masks[::-1]) == pytest.approx(stability(masks))
    assert stability([masks[0]] * 3) == 1


def test_a_map_over_pixels_weighs_by_area():
    segments = np.array([[0, 0, 0, 1]])
    first, second = np.array([True, True]), np.array([True, False])
    assert jaccard(first, second) == 0.5
    assert jaccard(first[segments], second[segments]) == 0.75


def test_seeds_fills_and_segmenters(make_explainer, image):
    """One set of superpixels compares as it is; several compare as pixels."""
    by_seed = [make_explainer(budget=200, seed=seed).explain(image) for seed in range(3)]
    assert stability([e.mask for e in by_seed]) == 1  # the wanted cells, each time
    assert stability([e.attribution for e in by_seed], rank_correlation) > 0.3
    by_fill = [
        make_explainer(budget=200, fill=f).explain(image) for f in ("black", "color:rgb=(9,9,9)")
    ]
    assert stability([e.mask for e in by_fill]) == 1
    grids = "grid:n_segments=16", "grid:n_segments=4"
    by_grid = [make_explainer(budget=60, segments=s).explain(image) for s in grids]
    with pytest.raises(SettingError, match=r"shapes \(16,\) and \(4,\).*compare as pixels"):
        stability([e.mask for e in by_grid])
    assert 0 < stability([e.mask[e.segments] for e in by_grid]) < 1


def test_one_alone():
    with pytest.raises(SettingError, match="got 1 to compare; stability needs two"):
        stability([[True]])


def test_explanations_are_no_masks(make_explainer, image):
    explanations = [make_explainer(budget=20, seed=seed).explain(image) for seed in (0, 1)]
    with pytest.raises(SettingError, match=r"of a Explanation; expected .*explanation\.mask"):
        stability(explanations)
    with pytest.raises(SettingError, match="of a Explanation; expected"):
        jaccard(explanations[0].mask, explanations[1])
    assert stability([e.mask for e in explanations]) <= 1


def test_tensors_are_read_as_arrays():
    first, second = torch.rand(5, requires_grad=True), torch.rand(5, requires_grad=True)
    expected = rank_correlation(first.detach().numpy(), second.detach().numpy())
    assert rank_correlation(first, second) == expected
    assert stability([first, first], rank_correlation) == pytest.approx(1)
