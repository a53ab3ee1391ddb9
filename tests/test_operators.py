"""Our own operators, over many seeds."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from deap_xai.operators import initBernoulli, initSizes, operators
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


def test_operators_say_what_they_can_be_told():
    assert dict(parameters(operators.get("mutSparsify"))) == {"indpb": 0.2}
    assert dict(parameters(operators.get("cxTwoPoint"))) == {}
