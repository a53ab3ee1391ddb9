"""Objectives, against slow literal versions."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from conftest import WANTED, cell_probability, random_masks

from deap_xai.errors import SettingError
from deap_xai.objectives import Objective, resolve_objectives


def values(spec, evaluator, masks):
    return resolve_objectives([spec])[0](evaluator, masks)


def test_probability_size_and_area(make_evaluator):
    evaluator, masks = make_evaluator(), random_masks(30)
    assert values("probability", evaluator, masks) == pytest.approx(cell_probability(masks))
    assert values("size", evaluator, masks).tolist() == [sum(mask) for mask in masks]
    shares = [mask[evaluator.segments].mean() for mask in masks]
    assert values("area", evaluator, masks) == pytest.approx(shares)


def test_what_the_rest_says_and_what_another_class_says(make_evaluator):
    evaluator, masks = make_evaluator(), random_masks(20)
    p = cell_probability(masks)
    assert values("necessity", evaluator, masks) == pytest.approx(1 - cell_probability(~masks))
    assert values("contrast:other=0", evaluator, masks) == pytest.approx(p - (1 - p), abs=1e-6)
    worst = values("robustness:fills=grey", evaluator, masks)  # under grey all cells are visible
    assert worst == pytest.approx(np.minimum(p, cell_probability(np.ones((1, 16), bool))))


def pieces_by_hand(mask):
    """Flood the 4 x 4 cells."""
    left, n = {i for i in range(16) if mask[i]}, 0
    while left:
        n, todo = n + 1, [left.pop()]
        while todo:
            i = todo.pop()
            beside = (
                {i - 4, i + 4} | ({i - 1} if i % 4 else set()) | ({i + 1} if i % 4 < 3 else set())
            )
            todo += beside & left
            left -= beside
    return n


def test_shape(make_evaluator):
    evaluator, masks = make_evaluator(), np.concatenate([random_masks(40), np.eye(16) > 0])
    edges = [(i, i + 1) for i in range(16) if i % 4 < 3] + [(i, i + 4) for i in range(12)]
    cut = [np.mean([mask[i] != mask[j] for i, j in edges]) for mask in masks]
    assert values("compactness", evaluator, masks) == pytest.approx(1 - np.array(cut))
    found = values("pieces", evaluator, masks)
    assert found.tolist() == [pieces_by_hand(mask) for mask in masks]
    assert values("pieces", evaluator, np.zeros((1, 16), bool)).tolist() == [0]


def test_weights_and_names():
    def mine(evaluator, masks):
        return masks.sum(axis=1)

    mine_minus = functools.partial(mine)
    found = resolve_objectives(["probability", "size", "area", (mine, 2.0), (mine_minus, -1)])
    assert [(o.name, o.weight) for o in found] == [
        ("probability", 1.0),
        ("size", -1.0),
        ("area", -1.0),
        ("mine", 2.0),
        ("mine", -1.0),
    ]
    assert [o.name for o in resolve_objectives("size")] == ["size"]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([], "no objectives given"),
        ([len], "'len' has no weight; give"),
        (["probabilty"], "did you mean 'probability'"),
        ([(len, 0.0)], "'len' has the weight 0.0; expected a number above 0"),
        ([(len, float("nan"))], "has the weight nan"),
        ([(len, "1")], "has the weight '1'"),
    ],
)
def test_what_is_no_objective(specs, message):
    with pytest.raises(SettingError, match=message):
        resolve_objectives(specs)


@pytest.mark.parametrize(
    "answer",
    [
        np.nan,
        [1.0, np.nan],
        [1.0, np.inf],
        3.0,
        [1.0],
        [[1.0], [2.0]],
        None,
        ["a", "b"],
        [[1], [1, 2]],
    ],
)
def test_objectives_answer_with_finite_numbers(answer):
    with pytest.raises(SettingError, match=r"'mine' returned .* for 2 masks; expected 2 finite"):
        Objective("mine", lambda evaluator, masks: answer, 1.0)(None, np.ones((2, 3), bool))


def test_the_best_by_probability_is_the_wanted_mask(make_evaluator):
    masks = np.concatenate([random_masks(50), WANTED[None]])
    assert values("probability", make_evaluator(), masks).argmax() == 50
