"""Objectives, against slow literal versions."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from conftest import WANTED, cell_probability, random_masks

from deap_xai.errors import BudgetExhausted, SettingError
from deap_xai.masking import MaskedView, fill_view
from deap_xai.objectives import Objective, objectives, resolve_objectives


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


def test_what_each_costs(make_evaluator, model):
    """Model calls: one a distinct masked view, under every fill asked for."""
    masks = random_masks(20)
    masks = masks[[(mask != ~masks).any(axis=1).all() for mask in masks]]  # no complements

    def calls(*specs):
        evaluator = make_evaluator()
        before = model.images
        for spec in specs:
            values(spec, evaluator, masks)
        assert model.images - before == evaluator.calls
        return evaluator.calls

    n = len(masks)
    assert n > 15
    assert calls("size", "area", "compactness", "pieces") == 0
    assert calls("probability") == calls("probability", "probability") == n
    assert calls("probability", "contrast:other=0") == n
    assert calls("necessity") == n
    assert calls("probability", "necessity") == 2 * n
    assert calls("robustness") == 2 * n  # its own fill, which is black, and blur
    assert calls("probability", "robustness:fills=grey", "robustness:fills=grey") == 2 * n


def test_robustness_under_the_fills_that_are_named(make_evaluator):
    evaluator, masks = make_evaluator(), random_masks(12)
    for fills in ("blur", "grey+black", "blur+mean+noise"):
        each = [evaluator.probabilities(masks)]
        for name in fills.split("+"):
            fill = fill_view(evaluator.view, evaluator.segments, name)
            other = MaskedView(evaluator.view, evaluator.segments, fill)
            each.append(under(evaluator, other, masks))
        expected = [min(column) for column in zip(*each, strict=True)]
        assert values(f"robustness:fills={fills}", evaluator, masks) == pytest.approx(expected)
    with pytest.raises(SettingError, match="did you mean 'blur'"):
        values("robustness:fills=black+blurr", evaluator, masks)


def test_a_plus_in_a_fill_joins_nothing(make_evaluator, tmp_path, image):
    path = tmp_path / "a+b.png"
    PIL.Image.fromarray(255 - image).save(path)
    evaluator, masks = make_evaluator(), random_masks(12)
    both = f"blur:sigma=1e+1 + image:path={path}+grey"
    named = ["blur:sigma=10", f"image:path={path}", "grey"]
    each = [
        evaluator.probabilities(masks),
        *(evaluator.under(f).probabilities(masks) for f in named),
    ]
    calls = evaluator.calls
    assert values(f"robustness:fills={both}", evaluator, masks) == pytest.approx(
        np.min(each, axis=0)
    )
    assert evaluator.calls == calls  # each of them was known, sigma 1e+1 as sigma 10


def under(evaluator, masked_view, masks):
    return evaluator.backend.predict(masked_view.render(masks))[:, evaluator.target]


def test_the_budget_covers_further_fills(make_evaluator, model):
    evaluator = make_evaluator(calls=25)
    with pytest.raises(BudgetExhausted, match="the budget ended after 25 model calls"):
        values("robustness:fills=grey+blur", evaluator, random_masks(10))
    assert model.images == evaluator.calls == 25


def test_contrast_by_name(make_evaluator):
    evaluator, masks = make_evaluator(), random_masks(9)
    evaluator.backend.class_names = ["a newt", "a frog"]
    p = cell_probability(masks)
    assert values("contrast:other=a newt", evaluator, masks) == pytest.approx(2 * p - 1, abs=1e-6)
    with pytest.raises(SettingError, match="contrast's other class 'a cow' is no class"):
        values("contrast:other=a cow", evaluator, masks)
    with pytest.raises(SettingError, match="this model has no class 2; its 2"):
        values("contrast:other=2", evaluator, masks)
    with pytest.raises(SettingError, match="other class, 'a frog', is the target itself"):
        values("contrast:other=a frog", evaluator, masks)
    evaluator.asked = None  # of many images some may have this class at the top
    assert (values("contrast:other=a frog", evaluator, masks) == 0).all()


def test_one_piece_that_touches_nothing():
    apart = SimpleNamespace(neighbours=np.zeros((3, 3), bool))
    masks = np.array([[1, 1, 0], [0, 0, 0]], bool)
    assert values("compactness", apart, masks).tolist() == [1.0, 1.0]
    assert values("pieces", apart, masks).tolist() == [2, 0]


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


def own(evaluator, masks):
    return masks[:, 0]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([], "no objectives given"),
        ([own], "'own' has no weight; give"),
        (["probabilty"], "did you mean 'probability'"),
        ([(own, 0.0)], "'own' has the weight 0.0; expected a number above 0"),
        ([(own, float("nan"))], "has the weight nan"),
        ([(own, "1")], "has the weight '1'"),
        (own, "'own' has no weight"),
        (5, "objectives must be names, .*; got 5"),
        ({"probability": 1.0, "area": 5.0}, "objectives must be names, .* pairs .*; got {'prob"),
        ([("size", 1.0, 2)], r"\('size', 1.0, 2\) is no objective; expected a pair"),
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
        np.array([1.0, 1.0 + 2.0j]),
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


def test_an_objective_that_works_in_place_changes_nothing_that_others_see(make_explainer, image):
    def without_the_first(evaluator, masks):
        masks[:, 1] = False
        return masks.sum(axis=1)

    chosen = ["probability", (without_the_first, -1.0), "size"]
    e = make_explainer(algorithm="eaNSGA2", objectives=chosen, population=8).explain(image)
    masks, found = e.pareto.masks, e.pareto.values
    assert (found[:, 0] == e.archive.known(masks)).all()
    assert (found[:, 2] == masks.sum(axis=1)).all()
    assert (found[:, 1] == np.delete(masks, 1, axis=1).sum(axis=1)).all()


def test_one_registered_without_a_weight_is_given_one(make_explainer, image, monkeypatch):
    monkeypatch.setattr(objectives, "_functions", dict(objectives._functions))

    @objectives.register
    def leftmost(evaluator, masks):
        return masks[:, 0]

    for spec in ("leftmost", leftmost):
        made = make_explainer(
            objectives=["probability", (spec, 1.0)], algorithm="eaNSGA2", budget=40
        )
        assert made.explain(image).pareto.names == ("probability", "leftmost with weight 1")
    with pytest.raises(SettingError, match="'leftmost' has no weight"):
        make_explainer(objectives=["leftmost"])
