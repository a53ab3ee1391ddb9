"""Expected gain, against loops over sizes and dense numerical integration."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import random_masks
from hypothesis import given, settings
from hypothesis import strategies as st

from deap_xai.surrogate import GaussianProcess, acqExpectedGain, expected_gain

SEEDS = st.integers(0, 2**32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gain_by_hand(p, size, best):
    """What one known probability adds to the area under the front."""
    return sum(max(p - best[k], 0.0) for k in range(size, len(best)))


def expected_by_hand(mean, deviation, size, best):
    """The average over a normal logit, by the midpoint rule on 4,000 points."""
    z = np.linspace(-8, 8, 4001)[:-1] + 0.002
    mass = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    gains = [gain_by_hand(p, size, best) for p in sigmoid(mean + deviation * z)]
    return float(np.dot(gains, mass))


def case(seed, n=5):
    rng = np.random.default_rng(seed)
    n_segments = int(rng.integers(1, 12))
    best = np.sort(rng.random(n_segments + 1))
    sizes = rng.integers(1, n_segments + 1, n)
    return rng.normal(0, 2, n), rng.uniform(0.05, 3, n), sizes, best


@settings(deadline=None, max_examples=25)
@given(SEEDS)
def test_expected_gain_is_the_integral(seed):
    mean, deviation, sizes, best = case(seed)
    expected = [expected_by_hand(*one, best) for one in zip(mean, deviation, sizes, strict=True)]
    # Fifteen points on a function with kinks: good to a percent of the whole area.
    found = expected_gain(mean, deviation, sizes, best)
    assert found == pytest.approx(expected, abs=0.01 * len(best))


@settings(deadline=None)
@given(SEEDS)
def test_without_doubt_it_is_the_gain_itself(seed):
    mean, _, sizes, best = case(seed)
    expected = [gain_by_hand(sigmoid(m), k, best) for m, k in zip(mean, sizes, strict=True)]
    assert expected_gain(mean, mean * 0, sizes, best) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(SEEDS)
def test_it_is_never_negative_and_smaller_masks_promise_more(seed):
    mean, deviation, sizes, best = case(seed)
    gain = expected_gain(mean, deviation, sizes, best)
    assert (gain >= 0).all()
    smaller = expected_gain(mean, deviation, np.maximum(sizes - 1, 1), best)
    assert (smaller >= gain - 1e-12).all()
    assert expected_gain(mean, deviation, sizes, best * 0 + 1) == pytest.approx(0)


class Known:
    """A model whose logits are what they are told to be."""

    def __init__(self, mean, covariance):
        self.mean, self.covariance = np.array(mean, float), np.array(covariance, float)

    def predict(self, masks):
        rows = self.rows(masks)
        return self.mean[rows], np.sqrt(np.diag(self.covariance)[rows])

    def predict_jointly(self, masks):
        rows = self.rows(masks)
        return self.mean[rows], self.covariance[np.ix_(rows, rows)]

    def rows(self, masks):
        """The number that each mask's first bits spell."""
        return masks[:, :4] @ [8, 4, 2, 1]


def numbered(n, size=6, n_segments=12):
    """Masks of one size that begin with their own number."""
    masks = (np.arange(n)[:, None] >> np.arange(3, -1, -1)) % 2 == 1
    rest = np.arange(n_segments - 4) < size - masks.sum(axis=1)[:, None]
    return np.concatenate([masks, rest], axis=1)


NOTHING = np.zeros(13)


def ask(model, masks, n, best=NOTHING, full=1.0, seed=0, **more):
    """The n that are picked, without what follows."""
    return ordered(model, masks, n, best, full, seed, **more)[:n]


def ordered(model, masks, n, best=NOTHING, full=1.0, seed=0, **more):
    return acqExpectedGain(
        masks, model, best, full, n, np.random.default_rng(seed), **more
    ).tolist()


def test_it_does_not_ask_the_same_thing_twice():
    """The first two behave alike: the second tells nothing once the first is asked."""
    model = Known([1.0, 1.0, 0.7], [[4, 4, 0], [4, 4, 0], [0, 0, 4]])
    masks = numbered(3)
    for seed in range(10):
        assert set(ask(model, masks, 2, seed=seed)) in ({0, 2}, {1, 2})
    apart = Known([1.0, 1.0, 0.7], np.eye(3) * 1e-4)
    assert ask(apart, masks, 2)[0] == 0


def test_a_pair_is_picked_for_what_it_adds_together():
    """Greedily, against two hundred thousand draws and loops."""
    rng = np.random.default_rng(3)
    root = rng.normal(0, 1.5, (6, 2))
    model = Known(rng.normal(0, 0.3, 6), root @ root.T + 0.1 * np.eye(6))
    masks, best = numbered(6), np.linspace(0, 0.6, 13)
    draws = sigmoid(rng.multivariate_normal(model.mean, model.covariance, 20_000))
    per_size = [np.maximum(draws - best[k], 0) for k in range(6, 13)]
    first = int(sum(per_size).mean(axis=0).argmax())
    beyond = [
        sum(
            np.maximum(draws[:, c] - np.maximum(best[k], draws[:, first]), 0).mean()
            for k in range(6, 13)
        )
        for c in range(6)
    ]
    order = np.argsort(beyond)
    assert beyond[order[-1]] > 1.1 * beyond[order[-2]]  # else the draws decide
    assert ask(model, masks, 2, best, lift=0.0, draws=3000) == [first, int(order[-1])]


def test_the_lift_seeks_the_smallest_sufficient_mask():
    masks = np.zeros((2, 12), bool)
    masks[0, 8:10], masks[1, :1], masks[1, 8:] = True, True, True
    model = Known([1.4] + [0] * 7 + [3.2], np.eye(9) * 1e-6)  # 0.80 with two, 0.96 with five
    assert ask(model, masks, 1, lift=0.0) == [0]
    assert ask(model, masks, 1, lift=1.0) == [1]
    assert ask(model, masks, 1, lift=1.0, full=0.8) == [0]  # then both are sufficient
    assert ask(model, masks, 1, lift=1.0, share=0.5) == [0]


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(0, 40), st.integers(1, 9), st.integers(1, 60))
def test_distinct_and_seeded(seed, n, shortlist, pool):
    rng = np.random.default_rng(seed)
    masks = rng.random((pool, 12)) < 0.5
    root = rng.normal(0, 1, (16, 3))
    model = Known(rng.normal(0, 2, 16), root @ root.T)
    best = np.sort(rng.random(13))
    found = ask(model, masks, n, best, shortlist=shortlist, seed=seed)
    assert len(set(found)) == len(found) == min(n, pool)
    assert set(found) <= set(range(pool))
    assert ask(model, masks, n, best, shortlist=shortlist, seed=seed) == found
    if found:
        assert found == ask(model, masks, 40, best, shortlist=shortlist, seed=seed)[: len(found)]


def test_the_rest_of_the_shortlist_follows_by_its_own_expectation():
    model = Known([1.0, 1.0, 0.7, 0.9, -5.0], np.diag([4.0] * 4 + [0.01]))
    model.covariance[0, 1] = model.covariance[1, 0] = 4.0
    assert ordered(model, numbered(5), 1, shortlist=4) == [0, 1, 3, 2]
    assert ordered(model, numbered(5), 2, shortlist=4) in ([0, 3, 1, 2], [0, 2, 1, 3])
    assert sorted(ordered(model, numbered(5), 9)) == [0, 1, 2, 3, 4]


def test_where_no_draw_gains_the_expectation_still_ranks():
    """All are four standard deviations or more below what is known already."""
    model = Known(np.linspace(-0.6, -0.4, 5), np.eye(5) * 0.01)
    assert ask(model, numbered(5), 5, np.full(13, 0.5)) == [4, 3, 2, 1, 0]


def test_with_the_real_model(make_evaluator):
    evaluator, masks = make_evaluator(), random_masks(300)
    ends = np.repeat([[True], [False]], 16, axis=1)
    model = GaussianProcess(evaluator)
    model.update(ends, evaluator.answers(ends))
    model.update(masks[:60], evaluator.answers(masks[:60]))
    p = evaluator.probabilities(masks[:60])
    best = np.full(17, p.min().astype(float))
    picked = ask(model, masks[60:], 8, best, full=0.59)
    truth = [
        gain_by_hand(q, max(m.sum(), 1), best)
        for q, m in zip(evaluator.probabilities(masks[60:]), masks[60:], strict=True)
    ]
    assert np.mean([truth[i] for i in picked]) > 1.5 * np.mean(truth)
