"""Certificates: against slow, literal enumeration, and over seeds."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from conftest import WANTED, cell_probability, stand_in

from deap_xai.archive import Archive
from deap_xai.certificates import certify, consensus
from deap_xai.errors import SettingError
from deap_xai.explainer import Explainer
from deap_xai.metrics import smallest_sufficient, stability


def test_certify_agrees_with_a_literal_enumeration(make_explainer, image):
    explanation = make_explainer(budget=60).explain(image)
    certificate = certify(make_explainer().evaluator(image), explanation, share=0.95)
    threshold = 0.95 * explanation.probability_full
    sizes = [
        sum(bits)
        for bits in itertools.product([0, 1], repeat=16)
        if any(bits) and cell_probability(np.array([bits], bool))[0] >= threshold
    ]
    assert certificate.optimum.size == min(sizes) < WANTED.sum() + 1
    assert certificate.optimum.probability >= threshold
    assert certificate.gap == certificate.found.size - min(sizes) >= 0
    assert certificate.quality >= certificate.quality_found > 0


def test_certify_refuses_what_cannot_be_enumerated(make_explainer, image, explanation):
    evaluator = make_explainer(segments="grid:n_segments=25").evaluator(image)
    with pytest.raises(SettingError, match=r"25 superpixels have 2\^25 masks, too many"):
        certify(evaluator, explanation)


def test_consensus_counts_what_the_runs_keep(make_explainer, image):
    explainer = make_explainer(budget=80, seed=5)
    agreed = consensus(explainer, image, seeds=4)
    masks = np.array([explainer_mask.mask for explainer_mask in agreed.explanations])
    assert [e.seed for e in agreed.explanations] == [5, 6, 7, 8]
    assert agreed.kept == pytest.approx(masks.mean(axis=0))
    assert agreed.jaccard == stability(list(masks))
    assert explainer.seed == 5
    for k, low, high in zip(masks.sum(axis=0), agreed.low, agreed.high, strict=True):
        # Wilson: the p for which |k/n - p| = z·sqrt(p(1-p)/n)
        for p in (low, high):
            assert (k / 4 - p) ** 2 == pytest.approx(1.96**2 * p * (1 - p) / 4, abs=1e-12)
        assert low <= k / 4 <= high


@pytest.mark.parametrize("what", ["target", "segments", "view", "fill"])
def test_certify_refuses_another_problems_evaluator(make_explainer, image, explanation, what):
    """Whose numbers would be of something else."""
    evaluator = {
        "target": lambda: make_explainer().evaluator(image, target=0),
        "segments": lambda: make_explainer(segments="grid:n_segments=9").evaluator(image),
        "view": lambda: make_explainer().evaluator(image // 2 + 100),
        "fill": lambda: make_explainer(fill="grey").evaluator(image),
    }[what]()
    with pytest.raises(SettingError, match=f"the evaluator's {what} is not the explanation's"):
        certify(evaluator, explanation)


def test_consensus_is_over_one_segmentation(make_explainer, image):
    def drawn(view):
        rows = np.arange(len(view)) > np.random.randint(4, len(view) - 4)  # noqa: NPY002
        return np.repeat(rows[:, None].astype(int), view.shape[1], axis=1)

    with pytest.raises(SettingError, match=r"seed 1 cut other superpixels than seed 0: .* one lab"):
        consensus(make_explainer(segments=drawn, budget=20), image, seeds=3)


@pytest.mark.parametrize("seeds", [1, 2.5, "3"])
def test_consensus_needs_two_seeds(make_explainer, image, seeds):
    with pytest.raises(SettingError, match=f"2 at least; got {seeds!r}"):
        consensus(make_explainer(), image, seeds=seeds)


@pytest.mark.parametrize("kind", [list, tuple])
def test_consensus_is_of_one_image(make_explainer, image, model, kind):
    with pytest.raises(SettingError, match="one image; got several"):
        consensus(make_explainer(), kind([image, image]), seeds=2)
    assert model.images == 0


def test_what_is_no_evaluator_or_has_a_budget(make_explainer, image, explanation):
    with pytest.raises(SettingError, match="certify takes an evaluator, such as"):
        certify(make_explainer(), explanation)
    with pytest.raises(SettingError, match=r"certify takes an explanation, such as .*; got 5"):
        certify(make_explainer().evaluator(image), 5)
    with pytest.raises(SettingError, match="all masks are 65536 model calls, more than the eval"):
        certify(make_explainer(budget=100).evaluator(image), explanation)


def test_another_model_certifies_nothing(make_explainer, image, explanation):
    other = make_explainer(model=lambda views: [[0.3, 0.3, 0.4]] * len(views))
    with pytest.raises(SettingError, match=r"model gives the full view 0.300, the explanation has"):
        certify(other.evaluator(image, explanation.target), explanation)


def test_what_was_searched_has_the_full_view_at_least(make_explainer, image):
    """A search that saw nothing sufficient has that, and no gap below nothing."""
    e = make_explainer(budget=60).explain(image)
    empty = Archive(np.zeros((1, 16), bool), np.array([e.probability_empty], np.float32))
    poor = dataclasses.replace(e, archive=empty)
    found = certify(make_explainer().evaluator(image), poor)
    assert found.found.size == 16
    assert found.gap == 16 - found.optimum.size > 0


def test_a_stand_ins_numbers_are_not_held_against_the_models(image):
    explainer = Explainer(stand_in(), segments="grid:n_segments=4", fill="black", budget=60)
    explanation = explainer.explain(image, target=1)
    assert len(explanation.archive) == 16
    evaluator = explainer.evaluator(image, target=1)
    found = certify(evaluator, explanation)
    assert found.gap == 0
    assert found.quality_found == found.quality
    own = evaluator.reference.probabilities(found.found.mask[None])[0]
    assert found.found.probability == pytest.approx(own)


@pytest.mark.parametrize("share", [0, -1, 1.5, 9, "0.9"])
def test_a_share_that_is_none(make_explainer, image, explanation, share):
    with pytest.raises(SettingError, match="share must be above 0 and at most 1"):
        certify(make_explainer().evaluator(image), explanation, share=share)


@pytest.mark.parametrize(("seed_at", "n", "noted"), [(0, 1, True), (1, 1, False), (2, 2, False)])
def test_ctrl_c_ends_all_seeds(make_explainer, image, seed_at, n, noted):
    begun = []

    def progress(evaluator):
        if evaluator.calls == 1:
            begun.append(evaluator)
        if len(begun) > seed_at and evaluator.calls > 20:
            raise KeyboardInterrupt

    agreed = consensus(make_explainer(budget=80), image, 1, np.int64(4), progress)
    assert len(begun) == seed_at + 1
    assert len(agreed.explanations) == n
    assert [e.interrupted for e in agreed.explanations] == [noted] * n
    assert np.isnan(agreed.jaccard) == (n == 1)
    assert repr(agreed).startswith(f"Consensus({n} explanations, jaccard=")
    assert ((agreed.low <= agreed.kept) & (agreed.kept <= agreed.high)).all()


def test_nine_of_ten_votes_are_nine_tenths():
    """In single precision, in which probabilities are kept, that is less than 0.9 as a double."""

    def votes(views):
        corners = (views[:, [0, 0, -1, -1], [0, -1, 0, -1], 0] > 0) @ [5, 3, 1, 1]
        return np.stack([corners / 10, 1 - corners / 10], axis=1)

    white, how = np.full((20, 20, 3), 255, np.uint8), {"segments": "grid:n_segments=4"}
    explainer = Explainer(votes, fill="black", pick="smallest:p=0.9", budget=60, **how)
    e = explainer.explain(white, 0)
    assert (e.size, e.warnings) == (3, ())
    evaluator = Explainer(votes, fill="black", **how).evaluator(white, 0)
    found = certify(evaluator, e)
    assert (found.optimum.size, found.found.size) == (3, 3)
    assert smallest_sufficient(evaluator, np.array([5, 3, 1, 1])).sum() == 3


class Stopped(Explainer):
    """Ctrl-C comes while a seed begins."""

    def explain(self, *args):
        if self.seed == self.stops_at:
            raise KeyboardInterrupt
        return super().explain(*args)


@pytest.mark.parametrize("stops_at", [1, 2])
def test_ctrl_c_before_a_seed_has_anything_to_show(image, segments, model, stops_at):
    """Those that are finished stay; where there are none it is Ctrl-C as ever."""
    explainer = Stopped(model, segments=segments, fill="black", budget=60)
    explainer.stops_at = stops_at
    agreed = consensus(explainer, image, seeds=4)
    assert [e.seed for e in agreed.explanations] == [*range(stops_at)]
    explainer.stops_at = 0
    with pytest.raises(KeyboardInterrupt):
        consensus(explainer, image, seeds=4)
