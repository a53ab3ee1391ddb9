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
