"""Individuals clone, compare and travel between processes."""

from __future__ import annotations

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
from deap import tools
from hypothesis import given, settings
from hypothesis import strategies as st

from deap_xai.individual import clone, fitness_class, individual_class

WEIGHTS = (0.3, -1.0)


def evaluated(bits=(0, 1, 1), values=(0.7, 2.0)):
    individual = individual_class(WEIGHTS)(bits)
    individual.fitness.values = values
    return individual


def assert_same(one, two):
    assert type(one) is type(two)
    assert list(one) == list(two)
    assert one.fitness.wvalues == two.fitness.wvalues
    assert one.fitness is not two.fitness


@pytest.mark.parametrize("copied", [clone, copy.deepcopy, lambda i: pickle.loads(pickle.dumps(i))])
@settings(deadline=None, max_examples=30)
@given(
    bits=st.lists(st.integers(0, 1), max_size=20),
    values=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 50)),
)
def test_copies_are_equal_and_share_nothing(copied, bits, values):
    individual = individual_class(WEIGHTS)(bits)
    if values is not None:
        individual.fitness.values = values
    individual.step = [0.5]
    twin = copied(individual)
    assert_same(individual, twin)
    assert twin.fitness.valid == (values is not None)
    assert twin.step == [0.5]
    twin.step.append(1)
    twin.append(1)
    del twin.fitness.values
    assert individual.step == [0.5]
    assert list(individual) == bits
    assert individual.fitness.valid == (values is not None)


def test_halls_of_fame_pickle():
    hall = tools.HallOfFame(2)
    hall.update([evaluated(), evaluated((1, 1, 1), (0.9, 3.0))])
    again = pickle.loads(pickle.dumps(hall))
    for one, two in zip(hall, again, strict=True):
        assert_same(one, two)
    assert [key.wvalues for key in again.keys] == [key.wvalues for key in hall.keys]
    assert list(again[0]) == [1, 1, 1]


def test_individuals_travel_to_a_fresh_process():
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        pair = pool.map(clone, [evaluated(), individual_class(WEIGHTS)([1, 0])])
    assert_same(pair[0], evaluated())
    assert not pair[1].fitness.valid
    assert list(pair[1]) == [1, 0]


def test_classes_are_made_once_for_each_weights():
    assert individual_class((1.0,)) is individual_class((1.0,))
    assert individual_class((1.0,)) is not individual_class((-1.0,))
    assert individual_class((1.0,))().fitness.weights == (1.0,)
    assert fitness_class(WEIGHTS) is type(evaluated().fitness)


def test_slices_are_copies_and_only_small_whole_numbers_go_in():
    individual = evaluated()
    part = individual[:2]
    part[0] = 1
    assert list(individual) == [0, 1, 1]
    with pytest.raises(TypeError, match="integer"):
        individual[0] = 0.5


def test_clone_copies_anything_else_deeply():
    other = [np.zeros(2)]
    assert clone(other)[0] is not other[0]
