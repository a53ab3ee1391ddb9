"""The order of superpixels, against literal loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from deap_xai.archive import Archive
from deap_xai.surrogate import Ranking
from deap_xai.surrogate.ranking import DOUBT, HOPES, LEAST, THEN, TRADE

SEEDS = st.integers(0, 2**32)


class Additive:
    """A model that believes in a sum of weights, and counts what it is asked."""

    def __init__(self, weights):
        self.known, self.asked = np.array(weights, float), []

    def predict(self, masks):
        """Mean and deviation of the logit; the deviation grows with the size."""
        self.asked += [mask.tobytes() for mask in masks]
        return masks @ self.known - 1, 0.1 + 0.2 * masks.sum(axis=1)

    def weights(self):
        return self.known


def case(seed, most=7):
    """A model, and an archive of some masks whose answers are not the model's."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, most + 1))
    codes = rng.permutation(2**n)[: rng.integers(0, min(2**n, 20) + 1)]
    masks = (codes[:, None] >> np.arange(n)) % 2 == 1
    return Additive(rng.normal(0, 2, n)), Archive(masks, rng.random(len(masks)))


def worth_by_hand(mask, archive, model, trust, trade=TRADE):
    def p(mask, sign):
        known = [
            q
            for m, q in zip(archive.masks, archive.probabilities, strict=True)
            if (m == mask).all()
        ]
        (mean,), (deviation,) = model.predict(mask[None])
        return float(known[0]) if known else 1 / (1 + np.exp(-(mean + sign * trust * deviation)))

    return p(mask, 1) - trade * p(~mask, -1)


def value_by_hand(order, archive, model, trust=-DOUBT, trade=TRADE):
    masks = [np.isin(np.arange(len(order)), order[:k]) for k in range(1, len(order) + 1)]
    return sum(worth_by_hand(mask, archive, model, trust, trade) for mask in masks)


def insertion_by_hand(order, archive, model, trust=-DOUBT):
    masks = [np.isin(np.arange(len(order)), order[:k]) for k in range(1, len(order))]
    return sum(worth_by_hand(mask, archive, model, trust, 0) for mask in masks)


def climb(ranking, rounds):
    for _ in range(rounds):
        ranking.climb(np.arange(len(ranking.order)))


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_values(seed):
    model, archive = case(seed)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(model.known)) for _ in range(3)]
    expected = [value_by_hand(order, archive, model) for order in orders]
    model.asked = []
    assert Ranking(archive, model).values(orders) == pytest.approx(expected, abs=1e-5)
    assert max(Counter(model.asked).values(), default=0) <= 2  # once as kept, once as hidden
    assert not set(model.asked) & {mask.tobytes() for mask in archive.masks}


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_it_only_gets_better(seed):
    model, archive = case(seed)
    ranking = Ranking(archive, model)
    for step in (ranking.settle, *[lambda: climb(ranking, 1)] * 3):
        before = ranking.order
        step()
        assert sorted(ranking.order) == list(range(len(model.known)))
        was, now = (
            value_by_hand(order, archive, model, trade=ranking.trade)
            for order in (before, ranking.order)
        )
        assert now > was - 1e-6


def test_deletion_counts_by_what_insertion_lacks():
    """The order 0, 1 has 0.6 and 0.8 with the first kept, so 0.3 is lacking on the mean."""
    masks = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool)
    ranking = Ranking(Archive(masks, np.array([0.6, 0.8, 0.5, 0.1])), Additive([0.0, 0.0]))
    ranking.settle()
    trade = LEAST + 0.09 * TRADE
    assert ranking.trade == pytest.approx(trade)
    kept, hidden = 0.6 + 0.8, 0.5 + 0.1
    assert ranking.values([np.array([0, 1])]) == pytest.approx(kept - trade * hidden)


@pytest.mark.parametrize("seed", range(5))
def test_no_single_move_is_left_that_helps(seed):
    """For a model and answers that disagree."""
    rng = np.random.default_rng(seed)
    masks = (rng.permutation(64)[:25, None] >> np.arange(6)) % 2 == 1
    ranking = Ranking(Archive(masks, rng.random(25)), Additive(rng.normal(0, 2, 6)))
    first = ranking.order
    ranking.settle()
    start, settled = ranking.values([first, ranking.order])
    climb(ranking, 60)
    moved = [
        np.insert(np.delete(ranking.order, i), j, ranking.order[i])
        for i in range(6)
        for j in range(6)
    ]
    assert start <= settled <= ranking.values([ranking.order])[0]
    assert ranking.values(moved).max() == pytest.approx(ranking.values([ranking.order])[0])


@pytest.mark.parametrize("seed", range(5))
def test_the_best_chain_of_what_was_evaluated(seed):
    """Everything known, answers as a classifier gives them: against all 720 orders."""
    from itertools import permutations

    rng = np.random.default_rng(seed)
    masks = (np.arange(64)[:, None] >> np.arange(6)) % 2 == 1
    logit = masks @ rng.normal(0.7, 1.5, 6) + 2 * (masks[:, 0] & masks[:, 3]) - 2
    p = 1 / (1 + np.exp(-logit))
    archive, model = Archive(masks, p), Additive(np.zeros(6))
    ranking = Ranking(archive, model)
    ranking.settle()
    values = ranking.values([np.array(order) for order in permutations(range(6))])
    assert ranking.values([ranking.order])[0] == pytest.approx(values.max(), rel=0.01)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 30))
def test_questions_are_new_and_distinct(seed, n):
    model, archive = case(seed)
    rng = np.random.default_rng(seed)
    questions = Ranking(archive, model).questions(n, rng)
    n_segments = len(model.known)
    assert questions.dtype == bool
    assert questions.shape[1:] == (n_segments,)
    assert len(questions) <= n
    keys = {mask.tobytes() for mask in questions}
    assert len(keys) == len(questions)
    assert all(archive.find(mask) is None for mask in questions)
    again = Ranking(archive, model).questions(n, np.random.default_rng(seed))
    assert (again == questions).all()


def test_the_first_questions_decide_its_own_order():
    model = Additive([3.0, 1.0, 2.0, 0.0])
    ranking = Ranking(Archive.empty(4), model)
    ranking.settle()
    assert ranking.order.tolist() == [0, 2, 1, 3]
    kept = {(1, 0, 0, 0), (1, 0, 1, 0), (1, 1, 1, 0), (1, 1, 1, 1)}
    found = {
        tuple(mask) for mask in ranking.questions(5, np.random.default_rng(0)).astype(int).tolist()
    }
    assert kept < found
    assert found - kept < {tuple(1 - bit for bit in mask) for mask in kept}


def settled(model, *p):
    """A ranking that took 0, 1, 2, …, and its archive: these masks and those with them hidden."""
    own = np.tri(len(p), dtype=bool)
    archive = Archive(np.concatenate([own, ~own]), np.array([*p, *[0.0] * len(p)]))
    ranking = Ranking(archive, model)
    ranking.settle()
    assert ranking.order.tolist() == list(range(len(p)))
    return ranking, archive


@pytest.mark.parametrize(("weight", "least"), [(-1.3, 0.5), (-1.45, 1.0), (-1.7, 2.0)])
def test_later_questions_are_those_that_some_hope_leads_to(weight, least):
    """The guess for 1 alone is too low, by so many deviations."""
    ranking, _ = settled(Additive([-9.0, weight, -9.0]), 0.1, 0.6, 0.7)
    for hope in (0.0, *HOPES):
        better = ranking.better(ranking.order, np.arange(3), hope)
        assert better.tolist() == ([1, 0, 2] if hope >= least else [0, 1, 2])
    found = ranking.questions(4, np.random.default_rng(0)).astype(int).tolist()
    assert found == [[0, 1, 0], [1, 0, 1]]


def test_without_hope_nothing_is_asked():
    ranking, _ = settled(Additive([-9.0, -3.0, -9.0]), 0.1, 0.6, 0.7)
    assert len(ranking.questions(4, np.random.default_rng(0))) == 0


def test_questions_reach_beyond_one_move():
    """The mask of 1 and 3 belongs to no order that is one move from 0, 1, 2, 3."""
    ranking, _ = settled(Additive([-0.3, 0.3, -0.1, 0.3]), 0.32, 0.32, 0.32, 0.5)
    found = ranking.questions(8, np.random.default_rng(0)).astype(int).tolist()
    assert [0, 1, 0, 1] in found


@pytest.mark.parametrize("right", [True, False])
def test_what_was_asked_about_is_taken_if_it_was_right(monkeypatch, right):
    """Though nothing else suggests it."""
    ranking, archive = settled(Additive([-0.3, 0.3, -0.1, 0.3]), 0.32, 0.32, 0.32, 0.5)
    monkeypatch.setattr(Ranking, "_suggestions", lambda self: [])
    masks = ranking.questions(8, np.random.default_rng(0))
    p = np.where(masks[:, [1, 3]].all(axis=1), 0.9, 0.3) if right else np.full(len(masks), 0.2)
    archive.add(masks, p.astype(np.float32))
    ranking.settle()
    assert (ranking.order[0] in (1, 3)) == right


def test_questions_follow_a_move_that_gains(monkeypatch):
    """Also one that no suggestion holds."""
    monkeypatch.setattr(Ranking, "settle", lambda self: None)
    masks = (np.arange(8)[:, None] >> np.arange(3)) % 2 == 1
    p = np.where(masks[:, 1], 0.8, 0.1 * masks.sum(axis=1))
    ranking = Ranking(Archive(masks, p), Additive([0.0] * 3))
    assert ranking.order.tolist() == [0, 1, 2]
    ranking.questions(4, np.random.default_rng(0))
    assert ranking.order[0] == 1


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.floats(-1, 1), st.data())
def test_the_better_order_is_the_best_one_move_of_some_away(seed, trust, data):
    """Against the value from the definition."""
    model, archive = case(seed)
    n = len(model.known)
    order = np.random.default_rng(seed).permutation(n)
    some = data.draw(st.lists(st.integers(0, n - 1), min_size=1, unique=True))
    places = [i for i in range(n) if order[i] in some]
    moved = [np.insert(np.delete(order, i), j, order[i]) for i in places for j in range(n)]
    most = max(value_by_hand(one, archive, model, trust) for one in moved)
    found = Ranking(archive, model).better(order, np.array(some), trust)
    assert any((found == one).all() for one in moved)
    assert value_by_hand(found, archive, model, trust) == pytest.approx(most, abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.floats(0, 1))
def test_no_order_below_the_floor_is_taken(seed, part):
    """The floor lies so far between the least and the most insertion of the orders in question."""
    model, archive = case(seed, 5)
    n = len(model.known)
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    moved = [np.insert(np.delete(order, i), j, order[i]) for i in range(n) for j in range(n)]
    insertions = [insertion_by_hand(one, archive, model) for one in moved]
    values = np.array([value_by_hand(one, archive, model) for one in moved])
    ranking = Ranking(archive, model)
    ranking.floor = min(insertions) + part * (max(insertions) - min(insertions))
    assume((np.abs(np.array(insertions) - ranking.floor) > 1e-6).all())  # no rounding decides
    allowed = np.array(insertions) > ranking.floor
    found = ranking.values(moved)
    assert np.isneginf(found).tolist() == (~allowed).tolist()
    assert found[allowed] == pytest.approx(values[allowed], abs=1e-5)
    better = ranking.better(order, np.arange(n), -DOUBT)
    stays = (better == order).all()
    assert stays or insertion_by_hand(better, archive, model) > ranking.floor
    if (allowed & (values > value_by_hand(order, archive, model) + 1e-6)).any():
        most = values[allowed].max()
        assert value_by_hand(better, archive, model) == pytest.approx(most, abs=1e-5)


def test_some_superpixels_of_many_are_looked_at():
    """A search of eight hundred superpixels must not look at all their moves."""

    def asked(rounds):
        model = Additive(np.random.default_rng(0).normal(0, 2, 800))
        ranking = Ranking(archive, model)
        ranking.attribution(np.random.default_rng(0), rounds)
        return len(model.asked)

    masks = np.random.default_rng(1).random((8, 800)) < 0.5
    archive = Archive(masks, np.linspace(0.2, 0.9, 8))
    assert 0 < asked(1) - asked(0) <= 4 * 800


def test_no_questions_are_left():
    masks = (np.arange(8)[:, None] >> np.arange(3)) % 2 == 1
    ranking = Ranking(Archive(masks, np.linspace(0, 1, 8)), Additive([1.0, 2.0, 3.0]))
    assert ranking.questions(4, np.random.default_rng(0)).shape == (0, 3)


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_attribution_deals_the_weights_out_in_order(seed):
    model, archive = case(seed)
    ranking = Ranking(archive, model)
    found = ranking.attribution(np.random.default_rng(seed), 3)
    assert sorted(found) == sorted(model.known)
    assert np.argsort(-found, kind="stable").tolist() == ranking.order.tolist()
    orders = np.argsort(-model.known), ranking.order
    start, end = (value_by_hand(one, archive, model, trade=ranking.trade) for one in orders)
    least, kept = (insertion_by_hand(one, archive, model) for one in orders)
    assert end >= start - 1e-6 or kept > least


@pytest.mark.parametrize(
    ("alone", "both", "expected"),
    [
        ((0.5, 0.4, 0.36), 0.95, [2, 1, 0]),
        ((0.5, 0.4, 0.34), 0.95, [1, 2, 0]),
        ((0.51, 0.4, 0.36), 0.85, [0, 2, 1]),
    ],
    ids=["more than half of the lead is left", "less than half", "no lead"],
)
def test_deletion_may_cost_half_of_the_lead_on_greedy_search(alone, both, expected):
    """Greedy search finds 0, 2, 1, insertion 0.5 + 0.75; 1, 2, 0 has 0.4 + 0.95, so 0.1 more.

    Of 2, 1, 0 deletion is the lowest, 0.6 + 0.5.
    """
    masks = (np.arange(8)[:, None] >> np.arange(3)) % 2 == 1
    p = np.array([0.01, alone[0], alone[1], 0.6, alone[2], 0.75, both, 0.97])
    ranking = Ranking(Archive(masks, p), Additive([0.0] * 3))
    ranking.attribution(np.random.default_rng(0), 16)
    assert ranking.order.tolist() == expected


@pytest.mark.parametrize("n", [1, 2, 7, 64, 65, 200])
def test_greedy_search_by_guesses(n):
    """Of a sum of weights it finds their order, whether one at a time or several."""
    model = Additive(np.random.default_rng(n).normal(0, 0.2, n))
    order = Ranking(Archive.empty(n), model)._grown()
    assert order.tolist() == np.argsort(-model.known).tolist()
    assert len(model.asked) <= 65 * n


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_greedy_search_from_both_ends(seed):
    """As the algorithm of that name does it, by what is known and guessed."""
    model, archive = case(seed)
    n = len(model.known)
    left, first, last = list(range(n)), [], []
    while left:
        grown = len(first) <= len(last)
        masks = [np.isin(np.arange(n), [*first, i]) for i in left]
        if not grown:
            masks = [~np.isin(np.arange(n), [*last, i]) for i in left]
        p = [worth_by_hand(mask, archive, model, 0, 0) for mask in masks]
        (first if grown else last).append(left.pop(int(np.argmax(p))))
    assert Ranking(archive, model)._grown().tolist() == first + last[::-1]


@pytest.mark.parametrize("seed", range(6))
def test_attribution_climbs_as_long_as_it_gains(seed):
    """Ten rounds look at every superpixel once: no single move is left, and then it ends."""
    rng, weights = np.random.default_rng(seed), np.linspace(2, -2, 60)
    # As if orders near the one by weights had been looked into, with answers no model foresees.
    chance = [np.argsort(-weights + rng.normal(0, 0.3, 60)) for _ in range(20)]
    chains = [np.isin(np.arange(60), order[:k]) for order in chance for k in range(1, 61)]
    masks = np.unique(chains, axis=0)
    archive = Archive(masks, rng.random(len(masks)))
    rankings = [Ranking(archive, Additive(weights)) for _ in range(2)]
    for ranking, rounds in zip(rankings, (500, 1000), strict=True):
        ranking.attribution(np.random.default_rng(seed), rounds)
    ranking, longer = rankings
    assert len(ranking._model.asked) == len(longer._model.asked)
    assert ranking.better(ranking.order, np.arange(60), -DOUBT) is ranking.order


@pytest.mark.parametrize("seed", range(3, 8))
def test_after_an_attribution_the_model_may_learn_more(seed):
    model, archive = case(seed)
    ranking = Ranking(archive, model)
    ranking.attribution(np.random.default_rng(0), 16)
    model.known = -model.known
    order = np.argsort(-model.known)  # now the best, and the worst of what was concluded
    assert ranking.values([order])[0] == pytest.approx(
        value_by_hand(order, archive, model, trade=ranking.trade)
    )


def test_a_chain_counts_for_what_it_hides_as_well():
    """Through 0 and 1 slightly more probable, through 0 and 2 much less where they are hidden."""
    kept = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]], bool)
    p = [0.4, 0.61, 0.6, 0.7, 0.8, *(0.5, 0.5, 0.1, 0.1, 0.1)]
    ranking = Ranking(Archive(np.concatenate([kept, ~kept]), np.array(p)), Additive([0.0] * 4))
    ranking.settle()
    ranking.settle()
    assert ranking.order.tolist() == [0, 2, 1, 3]


def test_attribution_counts_deletion_by_its_own_order():
    """Not by what a numbering from the least to the most important lacks."""
    masks = np.tri(5, dtype=bool)[:, ::-1]
    archive = Archive(masks, np.linspace(0.8, 1.0, 5))
    ranking = Ranking(archive, Additive(np.arange(5.0)))
    ranking.attribution(np.random.default_rng(0), 0)
    assert ranking.order.tolist() == [4, 3, 2, 1, 0]
    assert ranking.trade == pytest.approx(THEN * (LEAST + 0.01 * TRADE))


def test_the_front_suggests_an_order():
    """A model without an opinion: who is on the front's small masks comes first."""
    masks = np.array([[0, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]], bool)
    ranking = Ranking(Archive(masks, np.array([0.5, 0.8, 0.9, 0.1])), Additive([0.0] * 4))
    ranking.settle()
    assert ranking.order[:2].tolist() == [2, 1]
