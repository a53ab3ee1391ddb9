"""The Gaussian process, against a slow and literal version of its docstring."""

from __future__ import annotations

import math
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import random_masks
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import rgb2lab

from deap_xai.errors import SettingError
from deap_xai.geometry import geometry
from deap_xai.segmentation import adjacency
from deap_xai.surrogate import GaussianProcess, gaussian_process
from deap_xai.surrogate.gaussian_process import CENTRE, LEAST, OWN, REACH, TINT, TINY

SETTINGS = {"linear": 40.0, "pairs": 10.0, "curve": 8.0, "angle": 1.0, "noise": 0.02, "doubt": 15.0}
CLOSE = {"rel": 1e-3, "abs": 2e-3}
"""The model's kernels are in single precision, logits go from -9 to 12."""


def logit(p: float) -> float:
    p = min(max(float(p), 1e-4), 1 - 1e-5)
    return math.log(p / (1 - p))


class Literal:
    """Rasmussen and Williams, equations 2.22 to 2.24, with loops and inverses.

    The answers (N, C) are of class 0, the target, and of others; the prior is learnt from the
    first ``fitted`` of them.
    """

    def __init__(self, source, masks, answers, fitted=None, rivals=30, **changed):
        self.__dict__.update({**SETTINGS, **changed})
        self.masks, self.answers = np.asarray(masks, float), np.asarray(answers, float)
        if fitted is None:  # 8, 16, 32, …
            fitted = max([n for n in (8, 16, 32, 64, 128) if n <= len(masks)], default=0)
        first = self.answers[: fitted or len(masks)]
        # Those that came nearest to the target's place, and all others together.
        order = sorted(range(1, first.shape[1]), key=lambda c: -max(first[:, c]))
        self.rivals, self.others = order[:rivals], order[rivals:]
        self.set_prior(source.segments, source.view)
        self.beside = neighbouring(source.segments)
        whole, self.masks = self.masks, self.masks[:fitted]
        if fitted:
            self.condition(self.answers[:fitted])
            mean, covariance = self.learnt_weights()
            moment = mean**2 + np.diag(covariance)
            relevance = np.maximum(np.sqrt(moment / moment.mean()), LEAST)
            relevance /= math.sqrt((relevance**2).mean())
            self.R = self.R * np.outer(relevance, relevance)
        self.masks = whole
        self.condition(self.answers)

    def condition(self, answers):
        few = (min(max(self.masks.shape[1], 8), 30) / 30) ** 2
        noise = np.diag([few * self.noise * (1 + self.doubt * (1 - a[0]) ** 2) for a in answers])
        self.inverse = np.linalg.inv(self.kernel(self.masks, self.masks) + noise)
        sizes, values = self.masks.sum(axis=1), np.array([self.values(a) for a in answers])
        first = sizes[:2] if len(sizes) > 1 else sizes  # the ends come first
        self.low, self.high = values[first.argmin()], values[first.argmax()]
        self.residuals = values - self.mean(self.masks)
        self.residual = self.residuals[:, -1]

    def values(self, answer):
        """Centred log-probabilities, the target's first, and its logit."""
        chosen = [answer[0], *(answer[c] for c in self.rivals)]
        if self.others:
            chosen.append(sum(answer[c] for c in self.others))
        logs = [math.log(max(q, TINY)) for q in chosen]
        return [one - sum(logs) / len(logs) for one in logs] + [logit(answer[0])]

    def set_prior(self, segments, view):
        lab, (height, width), n = rgb2lab(view), segments.shape, segments.max() + 1
        places = [np.argwhere(segments == i) for i in range(n)]
        centres = [(at.mean(axis=0) + 0.5) / (height, width) for at in places]
        colours = [lab[segments == i].mean(axis=0) for i in range(n)]
        self.R = np.eye(n)
        for i in range(n):
            for j in range(n):
                far = ((centres[i] - centres[j]) ** 2).sum() / (2 * REACH**2)
                unlike = ((colours[i] - colours[j]) ** 2).sum() / (2 * TINT**2)
                self.R[i, j] = (1 - OWN) * math.exp(-far - unlike) + OWN * (i == j)
        share = [
            len(at) * math.exp(-((c - 0.5) ** 2).sum() / (2 * CENTRE**2))
            for at, c in zip(places, centres, strict=True)
        ]
        self.share = np.array(share) / sum(share)

    def inner(self, one, two):
        return float(one @ self.R @ two)

    def kernel(self, ones, twos):
        full = np.ones(len(self.R))
        found = np.zeros((len(ones), len(twos)))
        for i, one in enumerate(ones):
            for j, two in enumerate(twos):
                norms = math.sqrt(self.inner(one, one) * self.inner(two, two))
                cosine = self.inner(one, two) / norms if norms else 0.0
                linear = self.linear * self.inner(one, two) / self.inner(full, full)
                both = sum(one[a] * one[b] * two[a] * two[b] for a, b in self.beside)
                pairs = self.pairs * both / max(1, len(self.beside))
                apart = self.curve * self.angle / (self.angle + 1 - cosine)
                found[i, j] = linear + pairs + apart
        return found

    def mean(self, masks):
        return np.array([self.low + (self.high - self.low) * (m @ self.share) for m in masks])

    def posterior(self, masks):
        masks = np.asarray(masks, float)
        cross = self.kernel(masks, self.masks)
        logs = self.mean(masks) + cross @ self.inverse @ self.residuals
        mean = np.array(
            [row[0] - math.log(sum(math.exp(one) for one in row[1:-1])) for row in logs]
        )
        mean = np.clip(mean, logit(0), logit(1))
        spread = self.kernel(masks, masks) - cross @ self.inverse @ cross.T
        return mean, self.amplitude() * spread

    def amplitude(self):
        surprise = (self.residual @ self.inverse @ self.residual + 10) / (len(self.masks) + 10)
        return min(max(surprise, 1), 4)

    def weights(self):
        """Mean and covariance of the linear part's weights in the logit."""
        mean, covariance = self.learnt_weights()
        return (self.high - self.low)[-1] * self.share + mean, covariance

    def learnt_weights(self):
        prior = self.linear * self.R / self.R.sum()
        gain = prior @ self.masks.T @ self.inverse
        return gain @ self.residual, prior - gain @ self.masks @ prior


def neighbouring(segments):
    """Pairs of superpixels that share an edge of a pixel, each once."""
    found = set()
    for y, x in np.ndindex(segments.shape):
        for other in segments[y : y + 2, x].tolist() + segments[y, x : x + 2].tolist():
            found.add((min(segments[y, x], other), max(segments[y, x], other)))
    return sorted((int(a), int(b)) for a, b in found if a != b)


def source(n_segments: int, seed: int = 0) -> SimpleNamespace:
    """What the model reads of an evaluator, with stripes of uneven width for superpixels."""
    rng = np.random.default_rng(seed)
    widths = np.repeat(np.arange(n_segments), rng.integers(1, 4, n_segments))
    segments = np.tile(widths, (5, 1)).astype(np.int32)
    view = rng.integers(0, 256, (*segments.shape, 3)).astype(np.uint8)
    known = geometry(segments, view)
    neighbours = adjacency(segments)
    return SimpleNamespace(
        geometry=known, segments=segments, view=view, target=0, neighbours=neighbours
    )


def observations(n_segments: int, n: int, seed: int = 0, classes: int = 4):
    """Masks, the full and the empty one first, and what a softmax of linear scores says."""
    rng = np.random.default_rng(seed)
    ends = np.repeat([[True], [False]], n_segments, axis=1)
    masks = np.concatenate([ends, rng.random((n - 2, n_segments)) < rng.random((n - 2, 1))])[:n]
    weights = rng.normal(0.0, 1.5, (n_segments, classes)) * 6 / n_segments
    scores = masks @ weights + rng.normal(0, 1, classes)
    answers = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return masks, answers.astype(np.float32)


def binary(p):
    """Answers (N, 2) of a classifier with two classes."""
    return np.column_stack([p, 1 - p])


def guess(model, masks):
    """The most likely probability."""
    return 1 / (1 + np.exp(-model.predict(masks)[0]))


def learnt(where, masks, answers, steps, **changed):
    model, start = GaussianProcess(where, **changed), 0
    for n in steps:
        model.update(masks[start : start + n], answers[start : start + n])
        start += n
    return model


def assert_equal(model, literal, masks):
    mean, covariance = literal.posterior(masks)
    found, deviation = model.predict(masks)
    assert found == pytest.approx(mean, **CLOSE)
    variance = np.maximum(np.diag(covariance), 1e-6)
    assert deviation == pytest.approx(np.sqrt(variance), rel=5e-3, abs=5e-3)
    found, jointly = model.predict_jointly(masks)
    assert found == pytest.approx(mean, **CLOSE)
    assert jointly == pytest.approx(covariance, rel=5e-3, abs=5e-3)
    assert model.weights() == pytest.approx(literal.weights()[0], **CLOSE)


@pytest.mark.parametrize("n_segments", [1, 2, 9])
@pytest.mark.parametrize("steps", [[2], [2, 1, 5, 4, 12], [24]])
def test_it_equals_the_literal_version(n_segments, steps):
    where = source(n_segments)
    masks, p = observations(n_segments, sum(steps))
    model = learnt(where, masks, p, steps)
    assert len(model) == sum(steps)
    assert_equal(model, Literal(where, masks, p), observations(n_segments, 15, seed=5)[0])


def test_of_many_classes_the_farthest_are_learnt_together(monkeypatch):
    monkeypatch.setattr(gaussian_process, "RIVALS", 2)
    where, (masks, answers) = source(6), observations(6, 40, seed=1, classes=7)
    others = observations(6, 12, seed=5)[0]
    model, literal = (
        learnt(where, masks, answers, [2, 38]),
        Literal(where, masks, answers, rivals=2),
    )
    assert len(literal.others) == 4
    assert_equal(model, literal, others)
    every = Literal(where, masks, answers)
    assert abs(every.posterior(others)[0] - literal.posterior(others)[0]).max() > 0.01


def test_what_other_classes_say_is_worth_something():
    """A softmax of linear scores: its logit isn't linear, its log-probabilities nearly are."""
    where, (masks, answers) = source(20), observations(20, 260, classes=6)
    model, logits = GaussianProcess(where), GaussianProcess(where)
    model.update(masks[:60], answers[:60])
    logits.update(masks[:60], binary(answers[:60, 0]))
    error = [abs(guess(m, masks[60:]) - answers[60:, 0]).mean() for m in (model, logits)]
    assert error[0] < 0.8 * error[1]


@pytest.mark.parametrize("other", [0.0, 0.3])
def test_answers_that_do_not_sum_to_1(other):
    """Of independent sigmoids, or of an interface that gives one class: the target's counts."""
    where, (masks, answers) = source(6), observations(6, 30)
    others, p = observations(6, 12, seed=5)[0], answers[:, 0]
    wide = np.column_stack([p, np.full((30, 7), other * (p > 0.5)[:, None])]).astype(np.float32)
    model = learnt(where, masks, wide, [2, 28])
    expected = learnt(where, masks, binary(p), [2, 28])
    if other == 0:
        assert guess(model, others) == pytest.approx(guess(expected, others), abs=0.02)
    assert abs(guess(model, masks) - p).mean() < 0.08
    before = wide.copy()
    model.update(masks, wide)
    assert (wide == before).all()


def test_answers_far_below_the_targets_are_not_lost():
    """In single precision the sum less the target's would be off by half, or nothing."""
    where, masks = source(6), observations(6, 30)[0]
    for others in ([4e-8], [3e-8, 0.0], [2e-8, 1e-8, 3e-8]):
        answers = np.repeat(np.array([[0.465, *others]], np.float32), 30, axis=0)
        model = learnt(where, masks, answers, [2, 28])
        assert guess(model, masks) == pytest.approx(0.465, abs=1e-3)


def test_it_keeps_no_more_than_it_needs():
    """Answers come as views of whole tables: a few rows must not keep these alive."""
    where, (masks, answers) = source(6), observations(6, 64, classes=50)
    model, table = GaussianProcess(where), weakref.ref(answers)
    model.update(masks, answers)
    del answers
    assert table() is None


def test_every_parameter_counts():
    changed = {
        "linear": 11.0,
        "pairs": 33.0,
        "curve": 3.0,
        "angle": 0.4,
        "noise": 0.3,
        "doubt": 4.0,
    }
    where, (masks, p) = source(6), observations(6, 20)
    model = learnt(where, masks, p, [2, 18], **changed)
    others = observations(6, 12, seed=5)[0]
    assert_equal(model, Literal(where, masks, p, **changed), others)
    for name in changed:
        other = learnt(where, masks, p, [2, 18], **{**changed, name: SETTINGS[name]})
        assert abs(other.predict(others)[0] - model.predict(others)[0]).max() > 0.01


@pytest.mark.parametrize(("curve", "low", "high"), [(5.0, 1.2, 3.8), (0.02, 4.0, 4.0)])
def test_a_poor_fit_makes_for_wider_doubts(curve, low, high):
    where, (masks, _) = source(6), observations(6, 20)
    p = binary(np.random.default_rng(0).random(20))  # nothing that such a prior could follow
    prior = {"linear": curve, "pairs": curve, "curve": curve, "doubt": 0.0, "noise": curve}
    model, literal = learnt(where, masks, p, [2, 18], **prior), Literal(where, masks, p, **prior)
    assert low <= literal.amplitude() <= high
    assert_equal(model, literal, observations(6, 12, seed=5)[0])


@pytest.mark.parametrize("n", [15, 200])
def test_more_superpixels(n):
    where, (masks, p) = source(n), observations(n, 25)
    model = learnt(where, masks, p, [2, 20, 3])
    assert_equal(model, Literal(where, masks, p), observations(n, 8, seed=5)[0])
    assert model.sample_weights(3, np.random.default_rng(0)).shape == (3, n)


def kept_by_hand(masks, p, cap):
    """The two ends, the best of their size up to half of the cap, and the latest."""
    sizes = masks.sum(axis=1)
    behind = [
        max(q for s, q in zip(sizes, p, strict=True) if s <= sizes[i]) - p[i] for i in range(len(p))
    ]
    best = sorted(range(len(p)), key=lambda i: (i > 1, behind[i], i))[: cap // 2]
    latest = [i for i in range(len(p)) if i not in best][-(cap - cap // 2) :]
    return sorted([*best, *latest])


@pytest.mark.parametrize("step", [1, 3, 40])
def test_after_forgetting_it_knows_what_it_kept(monkeypatch, step):
    monkeypatch.setattr(gaussian_process, "CAP", 20)
    monkeypatch.setattr(gaussian_process, "SLACK", 7)
    where, (masks, answers) = source(7), observations(7, 82)
    model, kept = GaussianProcess(where), list[int]()
    for start in [0, *range(2, 82, step)]:
        new = range(start, min(start + (step if start else 2), 82))
        model.update(masks[new], answers[new])
        for one in new:
            kept.append(one)
            if len(kept) == 27:
                kept = [kept[i] for i in kept_by_hand(masks[kept], answers[kept, 0], 20)]
        assert len(model) == len(kept)
    assert {0, 1} < set(kept)
    assert 20 <= len(kept) < 27 < len(masks)
    again = observations(7, 20, seed=5)[0]
    assert_equal(model, Literal(where, masks[kept], answers[kept], fitted=20), again)


def test_the_real_cap(make_evaluator):
    evaluator, masks = make_evaluator(), np.concatenate([np.eye(16) > 2, random_masks(700)])
    masks = np.concatenate([[np.ones(16, bool), np.zeros(16, bool)], masks[1:]])
    answers, model = evaluator.answers(masks), GaussianProcess(evaluator)
    lengths = []
    for start in range(0, 700, 50):
        model.update(masks[start : start + 50], answers[start : start + 50])
        lengths.append(len(model))
    assert lengths == [50, 100, 150, 200, 250, 300, 286, 272, 258, 308, 294, 280, 266, 316]
    fresh = evaluator.probabilities(unseen := random_masks(900)[701:])
    assert abs(guess(model, unseen) - fresh).mean() < 0.08


@pytest.mark.parametrize("n", [5, 400, 700])
def test_what_is_gathered_is_learnt_at_once(make_evaluator, n):
    """The same to the last bit as what was learnt step by step and then once more."""
    evaluator, masks = make_evaluator(), random_masks(n)
    masks[:2] = [[True], [False]]
    answers = evaluator.answers(masks)
    stepwise, at_once = GaussianProcess(evaluator), GaussianProcess(evaluator)
    for start in range(0, n, 30):
        stepwise.update(masks[start : start + 30], answers[start : start + 30])
    stepwise.fit()
    at_once.gather(masks, answers)
    at_once.fit()
    assert len(at_once) == len(stepwise)
    unseen = random_masks(900)[701:]
    assert (np.array(at_once.predict(unseen)) == np.array(stepwise.predict(unseen))).all()
    assert (at_once.weights() == stepwise.weights()).all()


def test_weights_are_drawn_from_the_exact_posterior():
    n, draws = 6, 40_000
    where, (masks, p) = source(n), observations(n, 18)
    mean, covariance = Literal(where, masks, p).weights()
    drawn = learnt(where, masks, p, [2, 16]).sample_weights(draws, np.random.default_rng(7))
    assert drawn.shape == (draws, n)
    deviation = np.sqrt(np.diag(covariance))
    # Standard errors of a mean and of a covariance of normal variables; five of them.
    assert (abs(drawn.mean(axis=0) - mean) < 5 * deviation / math.sqrt(draws) + 2e-3).all()
    error = np.sqrt((np.outer(deviation**2, deviation**2) + covariance**2) / draws)
    assert (abs(np.cov(drawn.T) - covariance) < 5 * error + 2e-3).all()
    one, two = (
        learnt(where, masks, p, [2, 16]).sample_weights(9, np.random.default_rng(7)) for _ in "ab"
    )
    assert (one == two).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 40), st.integers(0, 99), st.sampled_from([0.0, 1.0, None]))
def test_no_answers_break_it(n_segments, n, seed, constant):
    """Probabilities of 0 and 1, full equal to empty, the same masks again and again."""
    rng = np.random.default_rng(seed)
    where, (masks, _) = source(n_segments), observations(n_segments, max(n, 2), seed)
    p = (
        rng.integers(0, 2, len(masks)).astype(float)
        if constant is None
        else masks[:, 0] * 0 + constant
    )
    model = learnt(where, masks, binary(p), [2, *[1] * 3, len(masks)])
    mean, deviation = model.predict(masks)
    jointly = model.predict_jointly(masks)[1]
    drawn = model.sample_weights(4, rng)
    for values in (mean, deviation, jointly, drawn, model.weights()):
        assert np.isfinite(values).all()
    assert np.linalg.eigvalsh(jointly).min() > -1e-3
    if constant is not None:  # nothing to learn but the constant
        assert model.predict(observations(n_segments, 9)[0])[0] == pytest.approx(logit(constant))


def test_it_interpolates_and_is_less_sure_elsewhere():
    where, (masks, answers) = source(12), observations(12, 30)
    answers[3] = [0.97, 0.01, 0.01, 0.01]
    model = learnt(where, masks, answers, [2, 28], noise=1e-3, doubt=0.0)
    assert guess(model, masks) == pytest.approx(answers[:, 0], abs=0.02)
    known = {mask.tobytes() for mask in masks}
    others = np.array([m for m in observations(12, 60, seed=9)[0] if m.tobytes() not in known])
    assert len(others) > 20
    assert model.predict(masks)[1].max() < model.predict(others)[1].min()


def test_updating_with_nothing_changes_nothing():
    where, (masks, p) = source(5), observations(5, 12)
    model = learnt(where, masks, p, [2, 10])
    before = model.predict(masks)
    model.update(masks[:0], p[:0])
    assert len(model) == 12
    assert (np.array(model.predict(masks)) == before).all()
    fresh = GaussianProcess(where)
    fresh.update(masks[:0], p[:0])
    assert len(fresh) == 0


def test_the_geometry_against_loops():
    where = source(6)
    found = geometry(where.segments, where.view)
    lab = rgb2lab(where.view)
    for i in range(6):
        at = np.argwhere(where.segments == i) + 0.5
        assert found.centres[i] == pytest.approx(at.mean(axis=0) / where.segments.shape)
        assert found.colours[i] == pytest.approx(lab[where.segments == i].mean(axis=0))
        assert found.areas[i] == pytest.approx((where.segments == i).mean())
    alike = found.alikeness(0.2, 10.0)
    assert (alike == alike.T).all()
    assert np.diag(alike).tolist() == [1.0] * 6
    assert ((alike >= 0) & (alike <= 1)).all()
    assert found.central(0.25).sum() == pytest.approx(1)
    assert found.central(1e6) == pytest.approx(found.areas)
    off = [np.exp(-((centre - 0.5) ** 2).sum() / (2 * 0.3**2)) for centre in found.centres]
    expected = found.areas * off / (found.areas * off).sum()
    assert found.central(0.3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("linear", 0),
        ("pairs", 0),
        ("curve", -50),
        ("angle", 0),
        ("noise", np.inf),
        ("noise", np.nan),
        ("doubt", -1),
        ("doubt", np.inf),
    ],
)
def test_numbers_that_make_no_kernel(make_evaluator, name, value):
    with pytest.raises(SettingError, match=f"GaussianProcess: {name} must be .*; got {value}"):
        GaussianProcess(make_evaluator(), **{name: value})
