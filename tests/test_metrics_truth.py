"""Pointing game, rank accuracy and overlap, against literal loops."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deap_xai.demo import agreement
from deap_xai.errors import SettingError
from deap_xai.metrics import box_truth, overlap, pointing_game, rank_accuracy

SEEDS = st.integers(0, 2**32)


def scene(seed):
    """Importance of up to eight superpixels, some alike; labels; true pixels."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(2, 7, 2)
    n_segments = int(rng.integers(1, min(8, height * width) + 1))
    labels = np.r_[np.arange(n_segments), rng.integers(0, n_segments, height * width - n_segments)]
    truth = rng.random((height, width)) < rng.random()
    truth.flat[rng.integers(truth.size)] = True
    values = rng.integers(-3, 4, n_segments)
    return values, rng.permutation(labels).reshape(height, width), truth


def pixels_of(values, segments, truth):
    """Value and truth of each pixel, as a list."""
    return [
        (int(values[segments[row, column]]), bool(truth[row, column]))
        for row in range(segments.shape[0])
        for column in range(segments.shape[1])
    ]


def rank_accuracy_by_hand(values, segments, truth):
    """Take the K best pixels; where only some of the last value fit in, by their share."""
    pixels = pixels_of(values, segments, truth)
    room = k = sum(true for _, true in pixels)
    hits = Fraction(0)
    for value in sorted({value for value, _ in pixels}, reverse=True):
        here = [true for other, true in pixels if other == value]
        taken = min(room, len(here))
        hits += Fraction(taken * sum(here), len(here))
        room -= taken
    return float(hits / k)


@settings(deadline=None)
@given(SEEDS)
def test_pointing_game(seed):
    values, segments, truth = scene(seed)
    pixels = pixels_of(values, segments, truth)
    best = max(value for value, _ in pixels)
    hit = any(true for value, true in pixels if value == best)
    assert pointing_game(values, segments, truth) == float(hit)
    assert pointing_game(values * 2 + 5, segments, truth) == float(hit)
    assert pointing_game(values, segments, np.ones_like(truth)) == 1


@settings(deadline=None)
@given(SEEDS)
def test_rank_accuracy(seed):
    values, segments, truth = scene(seed)
    accuracy = rank_accuracy(values, segments, truth)
    assert accuracy == pytest.approx(rank_accuracy_by_hand(values, segments, truth))
    assert 0 <= accuracy <= 1
    assert rank_accuracy(np.exp(values), segments, truth) == pytest.approx(accuracy)
    chance = rank_accuracy(np.zeros(len(values)), segments, truth)
    assert chance == pytest.approx(truth.mean())


@settings(deadline=None)
@given(SEEDS)
def test_overlap(seed):
    values, segments, truth = scene(seed)
    mask = values > 0
    both = either = 0
    for kept, true in pixels_of(mask, segments, truth):
        both += bool(kept) and true
        either += bool(kept) or true
    value = overlap(mask, segments, truth)
    assert value == pytest.approx(both / either)
    assert 0 <= value <= min(agreement(mask, segments, truth)) + 1e-12


def test_perfect_and_worst():
    segments = np.arange(16).reshape(4, 4)
    truth = box_truth((1, 1, 3, 3), (4, 4))
    values = truth.ravel() * 1.0
    assert overlap(truth.ravel(), segments, truth) == rank_accuracy(values, segments, truth) == 1
    assert overlap(~truth.ravel(), segments, truth) == rank_accuracy(-values, segments, truth) == 0
    assert (pointing_game(values, segments, truth), pointing_game(-values, segments, truth)) == (
        1,
        0,
    )


@settings(deadline=None)
@given(st.tuples(*[st.integers(-3, 9)] * 4))
def test_box_truth_of_whole_pixels(box):
    left, top, right, bottom = box
    inside = np.array(
        [[left <= x < right and top <= y < bottom for x in range(6)] for y in range(4)]
    )
    if inside.any():
        assert (box_truth(box, (4, 6)) == inside).all()
    else:
        with pytest.raises(SettingError, match="no pixel of a picture of 6 x 4 lies within"):
            box_truth(box, (4, 6))


@pytest.mark.parametrize("left", [0.0, 0.4, 0.5, 1.5, 2.5, 2.6])
def test_a_box_of_one_pixels_width_has_one_pixel(left):
    """That whose middle it holds: halves don't round to even numbers."""
    (x,) = np.flatnonzero(box_truth((left, 0, left + 1, 1), (2, 6))[0])
    assert left <= x + 0.5 < left + 1


@pytest.mark.parametrize("metric", [pointing_game, rank_accuracy, overlap])
def test_what_does_not_fit(metric):
    segments, truth = np.array([[0, 1]]), np.array([[True, False]])
    with pytest.raises(SettingError, match=r"truth is int64 \(1, 2\); expected bool"):
        metric([1, 0], segments, truth * 1)
    with pytest.raises(SettingError, match=r"truth is bool \(2, 1\); expected bool .* \(1, 2\)"):
        metric([1, 0], segments, truth.T)
    with pytest.raises(SettingError, match=r"of shape \(3,\); expected one a superpixel: \(2,\)"):
        metric([1, 0, 0], segments, truth)
    with pytest.raises(SettingError, match="nothing is true"):
        metric([1, 0], segments, truth & False)
    with pytest.raises(SettingError, match=r"values are <U1; expected a num|mask must be bool"):
        metric(["a", "b"], segments, truth)
    for odd in (segments * 1.0, segments - 1):
        with pytest.raises(SettingError, match=r"segments are .*expected whole numbers 0\.\.S-1"):
            metric([1, 0], odd, truth)
    assert metric([1, 0], segments.tolist(), truth) == metric([1, 0], segments, truth)


@pytest.mark.parametrize("metric", [pointing_game, rank_accuracy, overlap])
def test_nan_is_no_importance(metric):
    with pytest.raises(SettingError, match=r"values hold NaN|must be bool.*nan"):
        metric([1, np.nan], np.array([[0, 1]]), np.array([[True, False]]))


def test_an_attribution_overlaps_nothing():
    with pytest.raises(SettingError, match=r"the mask must be bool.* got .*0\.9.*rank_accuracy"):
        overlap([0.9, -0.1], np.array([[0, 1]]), np.array([[True, False]]))


def test_a_box_of_no_numbers_and_truth_as_a_list():
    for box in [
        (float("nan"), 0, 2, 2),
        (1, 2, 3),
        (0, 0, 10**400, 2),
        [[1, 0], [3, 1]],
        ("left", 0, 2, 2),
        (None, 0, 2, 2),
        5,
    ]:
        with pytest.raises(SettingError, match=r"isn't four finite numbers; expected left, top, r"):
            box_truth(box, (4, 4))
    segments, truth = np.array([[0, 1]]), [[True, False]]
    assert pointing_game([2, 1], segments, truth) == rank_accuracy([2, 1], segments, truth) == 1


def test_tensors_are_read_as_arrays():
    values, segments = torch.tensor([0.2, 0.8], requires_grad=True), torch.tensor([[0, 0, 1, 1]])
    truth = torch.tensor([[False, False, True, True]])
    assert pointing_game(values, segments, truth) == rank_accuracy(values, segments, truth) == 1
    assert overlap(values > 0.5, segments, truth) == 1
