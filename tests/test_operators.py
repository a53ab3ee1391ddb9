"""Our own operators, over many seeds."""

from __future__ import annotations

import inspect
import random

import numpy as np
import pytest
from deap import tools
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from deap_xai.errors import SettingError
from deap_xai.individual import individual_class
from deap_xai.operators import (
    assignCrowdingDist,
    initBernoulli,
    initSizes,
    mutStep,
    on_masks,
    operators,
    selNSGA2,
    sortNondominated,
)
from deap_xai.registry import parameters
from deap_xai.segmentation import adjacency

SEEDS = st.integers(0, 2**32)
GRID = adjacency(np.kron(np.arange(12).reshape(3, 4), np.ones((2, 2), int)).astype(np.int32))
BITS = st.lists(st.integers(0, 1), min_size=12, max_size=12)


def call(name, seed, *individuals, **more):
    function = operators.get(name)
    context = {"rng": np.random.default_rng(seed), "neighbours": GRID}
    asked = inspect.signature(function).parameters
    return function(*individuals, **{k: v for k, v in context.items() if k in asked}, **more)


@settings(deadline=None)
@given(seed=SEEDS, n=st.integers(1, 40), p=st.floats(0, 1))
def test_bernoulli_bits(seed, n, p):
    bits = initBernoulli(n, np.random.default_rng(seed), p=p)
    assert len(bits) == n
    assert set(bits) <= {0, 1}
    assert initBernoulli(n, np.random.default_rng(seed), p=p) == bits


def test_bernoulli_rate():
    rng = np.random.default_rng(0)
    assert sum(initBernoulli(20_000, rng, p=0.3)) == pytest.approx(6000, abs=200)
    assert sum(initBernoulli(50, rng, p=0.0)) == 0
    assert sum(initBernoulli(50, rng, p=1.0)) == 50


def test_sizes_are_spread_evenly():
    rng = np.random.default_rng(0)
    sizes = np.bincount([sum(initSizes(4, rng)) for _ in range(4000)], minlength=5)
    assert sizes[0] == 0
    assert (abs(sizes[1:] - 1000) < 120).all()
    assert {tuple(initSizes(3, rng)) for _ in range(200)} == {
        (a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1) if a + b + c
    }


@pytest.mark.parametrize("name", [name for name in operators.names() if name[:2] in ("cx", "mu")])
@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, one=BITS, two=BITS)
def test_variation_is_in_place_and_seeded(name, seed, one, two):
    given_ = [list(one), list(two)][: 2 if name.startswith("cx") else 1]
    result = call(name, seed, *given_)
    assert isinstance(result, tuple)
    assert all(child is parent for child, parent in zip(result, given_, strict=True))
    assert all(len(child) == 12 and set(child) <= {0, 1} for child in result)
    again = call(name, seed, *[list(one), list(two)][: len(given_)])
    assert [list(child) for child in again] == [list(child) for child in result]


@settings(deadline=None)
@given(seed=SEEDS)
def test_region_crossover_swaps_one_connected_region(seed):
    one, two = call("cxRegion", seed, [0] * 12, [1] * 12)
    assert [a + b for a, b in zip(one, two, strict=True)] == [1] * 12
    region = np.flatnonzero(one)
    assert 1 <= len(region) <= 6
    assert connected_components(GRID[np.ix_(region, region)])[0] == 1


@settings(deadline=None)
@given(seed=SEEDS, bits=BITS)
def test_boundary_mutation_flips_one_bit_that_touches_another(seed, bits):
    (after,) = call("mutBoundary", seed, list(bits))
    (changed,) = np.flatnonzero(np.array(bits) != after)
    if 0 < sum(bits) < 12:
        assert any(bits[other] != bits[changed] for other in np.flatnonzero(GRID[changed]))


@settings(deadline=None)
@given(seed=SEEDS, bits=BITS)
def test_swap_keeps_the_size_and_densify_and_sparsify_go_one_way(seed, bits):
    (swapped,) = call("mutSwap", seed, list(bits))
    assert sum(swapped) == sum(bits)
    assert (swapped != bits) == (0 < sum(bits) < 12)
    (denser,) = call("mutDensify", seed, list(bits), indpb=0.5)
    (sparser,) = call("mutSparsify", seed, list(bits), indpb=0.5)
    assert all(s <= b <= d for s, b, d in zip(sparser, bits, denser, strict=True))


@settings(deadline=None)
@given(seed=SEEDS, bits=BITS, again=st.sampled_from([0.0, 0.3, 1.0]))
def test_steps_drop_add_or_do_both(seed, bits, again):
    (after,) = call("mutStep", seed, list(bits), again=again)
    dropped, added = (
        sum(a > b for a, b in zip(*pair, strict=True)) for pair in ((bits, after), (after, bits))
    )
    # Of a second step, what the first did may be undone.
    assert max(dropped, added) <= (2 if again else 1)
    assert abs(sum(after) - sum(bits)) <= (2 if again else 1)
    if again == 0 and 0 < sum(bits) < 12:
        assert (dropped, added) in {(1, 0), (0, 1), (1, 1)}
    if again == 1 and 1 < sum(bits) < 11 and added == 0:
        assert dropped == 2 or after == bits


def test_all_steps_happen_and_added_ones_mostly_touch():
    bits = [0, 1, 1, 0] + [0] * 8  # five of the ten others touch these
    kinds, touching, added = {}, 0, 0
    for seed in range(900):
        (after,) = call("mutStep", seed, list(bits), again=0.0)
        change = np.subtract(after, bits)
        kind = int((change < 0).sum()), int((change > 0).sum())
        kinds[kind] = kinds.get(kind, 0) + 1
        for index in np.flatnonzero(change > 0):
            added += 1
            touching += GRID[index][[1, 2]].any()
    assert set(kinds) == {(1, 0), (0, 1), (1, 1)}
    assert all(count == pytest.approx(300, abs=75) for count in kinds.values())
    # 0.9 by choice and half of the rest by chance, less where the one dropped was all it touches.
    assert touching / added == pytest.approx(0.94, abs=0.03)


def test_steps_from_nothing_and_from_everything():
    after = {tuple(call("mutStep", seed, [0] * 12, again=0.0)[0]) for seed in range(200)}
    assert {sum(bits) for bits in after} == {0, 1}
    assert len(after) == 13
    after = {tuple(call("mutStep", seed, [1] * 12, again=0.0)[0]) for seed in range(200)}
    assert {sum(bits) for bits in after} == {11, 12}


@settings(deadline=None)
@given(seed=SEEDS, one=BITS, two=BITS)
def test_region_crossover_keeps_the_bits_at_every_place(seed, one, two):
    first, second = call("cxRegion", seed, list(one), list(two))
    for i in range(12):
        assert {first[i], second[i]} == {one[i], two[i]}
        assert first[i] + second[i] == one[i] + two[i]
    # What differs lies in the region, which a crossover of opposites shows.
    region = np.array(call("cxRegion", seed, [0] * 12, [1] * 12)[0], bool)
    swapped = np.where(region, two, one)
    assert (swapped == first).all()


@settings(deadline=None)
@given(seed=SEEDS)
def test_region_crossover_stays_on_its_island(seed):
    islands = np.kron(np.eye(3), np.ones((2, 2))) > 0
    (one, _) = operators.get("cxRegion")([0] * 6, [1] * 6, islands, np.random.default_rng(seed))
    assert tuple(np.flatnonzero(one)) in {(0, 1), (2, 3), (4, 5), *((i,) for i in range(6))}


@pytest.mark.parametrize(
    "name", ["cxRegion", "mutBoundary", "mutDensify", "mutSparsify", "mutStep", "mutSwap"]
)
def test_a_single_superpixel(name):
    function, seen = operators.get(name), set()
    asked = inspect.signature(function).parameters
    for seed in range(40):
        context = {"rng": np.random.default_rng(seed), "neighbours": np.zeros((1, 1), bool)}
        parents = [[1], [0]][: 2 if name.startswith("cx") else 1]
        children = function(*parents, **{k: v for k, v in context.items() if k in asked})
        seen.add(tuple(map(tuple, children)))
    expected = {
        "cxRegion": {((0,), (1,))},
        "mutBoundary": {((0,),)},
        "mutDensify": {((1,),)},
        "mutSparsify": {((0,),), ((1,),)},
        "mutStep": {((0,),), ((1,),)},
        "mutSwap": {((1,),)},
    }
    assert seen == expected[name]


@settings(deadline=None)
@given(seed=SEEDS, bits=BITS)
def test_boundary_mutation_grows_and_shrinks(seed, bits):
    before = np.array(bits, bool)
    (after,) = call("mutBoundary", seed, list(bits))
    if 0 < before.sum() < 12:
        (changed,) = np.flatnonzero(before != after)
        beside = GRID[before].any(axis=0) if after[changed] else GRID[~before].any(axis=0)
        assert beside[changed]


def test_operators_say_what_they_can_be_told():
    assert dict(parameters(operators.get("mutSparsify"))) == {"indpb": 0.2}
    assert dict(parameters(operators.get("cxTwoPoint"))) == {}


# Many masks at once


@settings(deadline=None, max_examples=40)
@given(seed=SEEDS, n=st.integers(0, 60), again=st.floats(0, 1), kept=st.floats(0, 1))
def test_steps_at_once_are_those_of_one_after_the_other(seed, n, again, kept):
    """As many as it takes for every way that a step can go."""
    rng = np.random.default_rng(seed)
    masks, touching = rng.random((n, 12)) < kept, rng.random((12, 12)) < 0.2
    known = {"neighbours": touching | touching.T, "again": again}
    before, rng = masks.copy(), np.random.default_rng(seed)
    expected = [mutStep(bits, rng=rng, **known)[0] for bits in masks.astype(int).tolist()]
    found = on_masks(mutStep, known | {"rng": np.random.default_rng(seed)})(masks)
    assert found.dtype == bool
    assert found.astype(int).tolist() == expected
    assert (masks == before).all()


@settings(deadline=None)
@given(seed=SEEDS, table=st.lists(st.tuples(BITS, BITS), max_size=8), indpb=st.floats(0, 1))
def test_uniform_crossovers_at_once_are_those_of_one_after_the_other(seed, table, indpb):
    random.seed(seed)
    pairs = [tools.cxUniform(list(one), list(two), indpb) for one, two in table]
    expected, state = [[one for one, _ in pairs], [two for _, two in pairs]], random.getstate()
    masks = np.array(table, bool).reshape(-1, 2, 12)
    random.seed(seed)
    found = on_masks(operators.resolve(f"cxUniform:indpb={indpb!r}"), {})(masks[:, 0], masks[:, 1])
    assert [children.astype(int).tolist() for children in found] == expected
    assert random.getstate() == state


@pytest.mark.parametrize("seed", range(5))
def test_uniform_crossovers_at_once_draw_to_the_last_bit(seed):
    one, two = np.ones((1, 12), bool), np.zeros((1, 12), bool)
    random.seed(seed)
    for place, draw in enumerate([random.random() for _ in range(12)]):
        for indpb, swapped in ((draw, False), (np.nextafter(draw, 1), True)):
            random.seed(seed)
            child, _ = on_masks(tools.cxUniform, {"indpb": indpb})(one, two)
            assert child[0, place] != swapped


def test_what_is_offered_of_deaps_works_on_bits(make_explainer, image):
    """But for those with parameters of their own, which have to be given."""
    roles = {"cx": "mate", "mu": "mutate", "se": "select"}
    needs = {"mutUniformInt": "low=0,up=1", "selDoubleTournament": "", "selEpsilonLexicase": ""}
    offered = operators.library_names()
    # cxOrdered is for permutations: of bits it makes what neither parent has.
    assert not {"mutGaussian", "cxOrdered", "cxPartialyMatched"} & {*offered}
    assert {"cxTwoPoint", "mutShuffleIndexes", "selSPEA2"} < {*offered}
    for name in (name for name in offered if needs.get(name, "none")):
        spec = f"{name}:{needs[name]}" if name in needs else name
        algorithm = "eaNSGA2" if name == "selNSGA3" else "eaElitist"
        chosen = {"algorithm": algorithm, "operators": {roles[name[:2]]: spec}, "population": 8}
        assert make_explainer(budget=40, **chosen).explain(image).model_calls <= 40


def test_other_operators_have_no_form_for_many_masks():
    names = {*operators.names(), *operators.library_names()}
    with_form = {name for name in names if on_masks(operators.get(name), {}) is not None}
    assert with_form == {"cxUniform", "mutStep"}
    assert on_masks(lambda individual: mutStep(individual), {}) is None


ROUNDED = st.integers(0, 4).map(lambda n: n / 4)  # so that there are equal ones


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(ROUNDED, ROUNDED, ROUNDED), min_size=1, max_size=40),
    k=st.integers(0, 40),
    weights=st.sampled_from([(1.0,), (1.0, -1.0), (1.0, -1.0, 0.5)]),
)
def test_selection_is_deaps_own(rows, k, weights):
    """DEAP's fronts, crowding and selection, in DEAP's order, with many equal individuals."""
    k = min(k, len(rows))
    make = individual_class(weights)
    population = [make([0, 1]) for _ in rows]
    for individual, row in zip(population, rows, strict=True):
        individual.fitness.values = row[: len(weights)]
    place = {id(one): i for i, one in enumerate(population)}
    fronts, known = sortNondominated(population, k), tools.sortNondominated(population, k)
    assert [[place[id(x)] for x in f] for f in fronts] == [[place[id(x)] for x in f] for f in known]
    chosen = tools.selNSGA2(population, k)
    distances = [getattr(one.fitness, "crowding_dist", None) for one in population]
    for one in population:
        one.fitness.__dict__.pop("crowding_dist", None)
    assert [place[id(one)] for one in selNSGA2(population, k)] == [place[id(one)] for one in chosen]
    assert [getattr(one.fitness, "crowding_dist", None) for one in population] == distances


def test_deaps_other_sorting_has_the_same_name():
    population = [individual_class((1.0, -1.0))([0, 1]) for _ in range(9)]
    for i, individual in enumerate(population):
        individual.fitness.values = i % 4, i % 3
    log = operators.resolve("selNSGA2:nd=log")(population, 5)
    assert log == tools.selNSGA2(population, 5, nd="log")
    with pytest.raises(SettingError, match="nd must be 'standard' or 'log'; got 'quick'"):
        selNSGA2(population, 5, nd="quick")
    assert "selNSGA2" in operators.names()
    assert "selNSGA2" not in operators.library_names()


def test_of_nobody_nobody_is_selected():
    assert selNSGA2([], 0) == []
    assignCrowdingDist([])
