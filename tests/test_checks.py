"""What an explanation says beside its mask, and how many calls that takes."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import WANTED, cell_probability, random_masks
from hypothesis import given
from hypothesis import strategies as st

from deap_xai.archive import Archive, front, front_quality
from deap_xai.backends import FunctionBackend
from deap_xai.budget import Budget
from deap_xai.checks import FILLS, N_RANDOM, check, checked, confirm, reserve, without_each
from deap_xai.fitness import Evaluator, ask_all
from deap_xai.masking import MaskedView, fill_view


def checks_of(evaluator, mask):
    return check(evaluator, mask, np.random.default_rng(0))


def test_everything_is_checked_when_the_budget_allows(make_evaluator, model):
    evaluator = make_evaluator()
    evaluator.probabilities(WANTED[None])
    checks = checks_of(evaluator, WANTED)
    assert checks.rest == pytest.approx(cell_probability(~WANTED[None])[0])
    assert set(checks.fills) == set(FILLS) - {"black"}
    # Grey and blurred cells look visible to this model; the full view's probability it is.
    assert checks.fills["grey"] == pytest.approx(cell_probability(np.ones((1, 16), bool))[0])
    expected = cell_probability(without_each(WANTED))
    assert checks.dropped[WANTED] == pytest.approx(expected)
    assert np.isnan(checks.dropped[~WANTED]).all()
    assert len(checks.random) == N_RANDOM
    assert model.images == evaluator.calls
    assert model.batches == [1, evaluator.calls - 1]  # the mask, then all checks at once


def test_each_drop_is_told_of_its_own_superpixel(make_evaluator):
    mask = WANTED.copy()
    mask[np.flatnonzero(~WANTED)[0]] = True  # of no use, and not in the middle of the kept ones
    answers = cell_probability(without_each(mask))
    assert answers.tolist() != answers[::-1].tolist()
    assert checks_of(make_evaluator(), mask).dropped[mask] == pytest.approx(answers)


def test_random_masks_have_the_same_size(make_evaluator):
    evaluator = make_evaluator()
    checks_of(evaluator, WANTED)
    sizes = evaluator.archive.masks.sum(axis=1)
    assert (sizes == 3).sum() >= N_RANDOM - 1
    assert set(sizes) <= {2, 3, 13}


@pytest.mark.parametrize("calls", range(1, 14))
def test_the_budget_ends_the_checks_in_their_order(make_evaluator, model, calls):
    evaluator = make_evaluator(calls=calls)
    checks = checks_of(evaluator, WANTED)
    assert model.images == evaluator.calls <= calls
    known = [checks.rest, *checks.fills.values()]
    n = int(np.isfinite(known).sum())
    assert n == min(calls, 4)
    assert np.isfinite(known[:n]).all()
    assert len(model.batches) == 1
    assert not np.isnan(checks.random).any()
    assert len(checks.random) == min(N_RANDOM, max(0, calls - 4))
    tried = int(np.isfinite(checks.dropped).sum())
    assert tried == min(3, max(0, calls - 4 - N_RANDOM))


def test_an_ended_budget_still_answers_from_memory(make_evaluator, model):
    evaluator = make_evaluator(calls=1)
    evaluator.probabilities(~WANTED[None])
    checks = checks_of(evaluator, WANTED)
    assert checks.rest == pytest.approx(cell_probability(~WANTED[None])[0])
    assert np.isnan(list(checks.fills.values())).all()
    assert model.images == 1


@pytest.mark.parametrize(
    ("fill", "tried"),
    [
        ("black", {"black"}),
        (np.zeros((24, 24, 3), np.uint8), {"black"}),
        ((0, 0, 0), {"black"}),
        ((1, 2, 3), set()),
        ("blur:sigma=2", set()),
    ],
)
def test_no_mask_is_asked_about_twice_under_one_picture(model, image, segments, fill, tried):
    """Whatever the name of the own fill."""
    own = MaskedView(image, segments, fill_view(image, segments, fill))
    seen = []

    def watched(views):
        seen.extend(one.tobytes() for one in views)
        return model(views)

    evaluator = Evaluator(FunctionBackend(watched), own, 1, Budget())
    evaluator.probabilities(WANTED[None])
    checks = checks_of(evaluator, WANTED)
    assert set(checks.fills) == set(FILLS) - tried
    ask_all([(evaluator.under(name), WANTED[None]) for name in [*tried, *FILLS]])
    assert evaluator.calls == len(seen) == len(set(seen))


def test_masks_of_all_or_none(make_evaluator):
    evaluator = make_evaluator()
    full = checks_of(evaluator, np.ones(16, bool))
    assert np.isfinite(full.dropped).all()
    assert evaluator.calls == 1 + 1 + 16  # itself under any fill, nothing at all, each dropped
    assert len(set(full.fills.values())) == 1
    empty = checks_of(make_evaluator(), np.zeros(16, bool))
    assert np.isnan(empty.dropped).all()
    assert without_each(np.zeros(16, bool)).shape == (0, 16)


@pytest.mark.parametrize("calls", [None, 40, 30, 20])
@pytest.mark.parametrize("found", [np.ones(16, bool), WANTED])
def test_what_the_checks_come_upon_is_shown_or_said(make_evaluator, calls, found):
    evaluator = make_evaluator(calls=calls)
    evaluator.probabilities(found[None])
    shown, checks, notes = checked(evaluator, lambda one: front(one.archive)[-1], 0)
    best = front(evaluator.archive)[-1]
    (rest,) = evaluator.archive.known(~shown.mask[None])
    assert checks.rest == rest
    assert bool(notes) == (best.probability > shown.probability)
    if notes:
        assert f"of size {best.size} and probability {best.probability:.3f}, which was" in notes[0]
    if found is WANTED:  # there is nothing better
        assert (shown.mask == WANTED).all()
    else:
        assert (shown.size < 16) == (calls != 20)  # where calls are left for its checks


def literal_order(points, shown):
    """The points by how much each adds to the front quality of what is shown and those before."""

    def quality(extra):
        known = [*shown, *extra]
        probabilities = np.array([one.probability for one in known])
        return front_quality(Archive(np.array([one.mask for one in known]), probabilities))

    order = []
    while len(order) < len(points):
        left = [one for one in points if one not in order]
        order.append(max(left, key=lambda one: quality([*order, one])))
    return order


@pytest.mark.parametrize(("calls", "confirmed"), [(30, 3), (50, 5), (None, 100)])
def test_the_own_model_confirms_what_adds_most_to_the_front(
    model, image, segments, calls, confirmed
):
    def graded(views):  # each mask has a probability of its own: many stand on the front
        p = (views.mean((1, 2, 3)) / 255) ** 0.3
        return np.stack([1 - p, p], axis=1)

    quick = FunctionBackend(graded)
    quick.reference = FunctionBackend(model)
    evaluator = Evaluator(quick, MaskedView(image, segments, 0 * image), 1, Budget(1000))
    evaluator.probabilities(np.concatenate([random_masks(200), np.ones((1, 16), bool)]))
    points = front(evaluator.archive)
    assert len(points) > 8
    shown = [points[4], points[-1]]
    assert shown[1].size == 16
    # As after a search: what is left is the reserve for checks, and for the front.
    evaluator.budget.calls = calls
    evaluator.budget.spent = (calls or 0) - reserve(calls, confirms=True)[1]
    own = confirm(evaluator, points[4].mask)
    others = literal_order([one for one in points if one not in shown], shown)
    expected = {one.mask.tobytes() for one in others[:confirmed]}
    asked = {mask.tobytes() for mask in own.archive.masks}
    anyway = {mask.tobytes() for mask in [np.ones(16, bool), ~points[4].mask, np.zeros(16, bool)]}
    assert asked == expected | anyway | {points[4].mask.tobytes()}
    assert own.archive.probabilities == pytest.approx(cell_probability(own.archive.masks))


@given(st.integers(1, 10**6), st.booleans())
def test_the_reserve_is_part_of_the_budget(budget, confirms):
    held, few = reserve(budget, confirms)
    assert 0 <= few <= held < budget
    assert held <= (48 if confirms else 24)
    assert reserve(None, confirms) == (0, 0)
