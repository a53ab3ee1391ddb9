"""The evaluator: batches, memory, budget; and what it says of bad answers."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from conftest import WANTED, CellModel, cell_probability, random_masks
from hypothesis import given, settings
from hypothesis import strategies as st

from deap_xai.backends import FunctionBackend
from deap_xai.budget import Budget
from deap_xai.errors import BackendError, BudgetExhausted, OperatorError, SettingError
from deap_xai.fitness import Evaluator, Fitness, ask_all, batch_map
from deap_xai.masking import MaskedView
from deap_xai.objectives import resolve_objectives


def test_probabilities_are_the_models(make_evaluator, model):
    masks = random_masks(20)
    assert make_evaluator().probabilities(masks) == pytest.approx(cell_probability(masks))
    assert model.batches == [20]


def test_the_wanted_cells_are_the_best(make_evaluator):
    assert make_evaluator().probabilities(WANTED[None])[0] == pytest.approx(0.95)
    assert cell_probability(random_masks(2**16)).argmax() == np.flatnonzero(
        (random_masks(2**16) == WANTED).all(axis=1)
    )


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 30), max_size=12), max_size=5))
def test_each_distinct_mask_is_asked_once_and_in_order(rounds):
    """Whatever repeats within a batch or between batches."""
    model, pool = CellModel(), random_masks(31)
    view = np.full((24, 24, 3), 200, np.uint8)
    cells = np.kron(np.arange(16).reshape(4, 4), np.ones((6, 6), int)).astype(np.int32)
    evaluator = Evaluator(FunctionBackend(model), MaskedView(view, cells, view * 0), 1)
    for indices in rounds:
        answers = evaluator.probabilities(pool[indices].reshape(-1, 16))
        assert answers == pytest.approx(cell_probability(pool[indices].reshape(-1, 16)))
    asked = list(dict.fromkeys(index for indices in rounds for index in indices))
    assert model.images == evaluator.calls == len(asked)
    assert (evaluator.archive.masks == pool[asked].reshape(-1, 16)).all()


def test_the_target_is_the_top_class_of_the_full_view(make_evaluator, model):
    evaluator = make_evaluator(target=None)
    assert evaluator.target == 1  # 0.05 + 0.9 * 0.6
    assert evaluator.calls == model.images == 1
    evaluator.probabilities(np.ones((1, 16), bool))
    assert model.images == 1


def test_other_classes_come_from_memory(make_evaluator, model):
    evaluator, masks = make_evaluator(), random_masks(5)
    one = evaluator.probabilities(masks)
    assert evaluator.probabilities(masks, target=0) == pytest.approx(1 - one)
    assert model.images == 5


@pytest.mark.parametrize("target", [2, -1])
def test_classes_that_are_not_there(make_evaluator, target):
    with pytest.raises(SettingError, match=f"has no class {target}; its 2 classes are 0..1"):
        make_evaluator().probabilities(random_masks(1), target=target)


def test_targets_that_are_not_there(make_evaluator):
    with pytest.raises(SettingError, match=r"has no class 7; its 2 classes are 0\.\.1"):
        make_evaluator(target=7).probabilities(random_masks(1))
    with pytest.raises(SettingError, match=r"must be a class index from 0 up; got -1"):
        make_evaluator(target=-1)


def test_class_names_must_be_as_many_as_classes(make_evaluator):
    evaluator = make_evaluator()
    evaluator.backend.class_names = ["a", "b", "c"]
    with pytest.raises(SettingError, match=r"3 class names for a model that answers with 2"):
        evaluator.probabilities(random_masks(1))


@pytest.mark.parametrize(
    "masks", [np.ones((2, 15), bool), np.ones(16, bool), np.ones((2, 16)), [[1] * 16]]
)
def test_masks_must_be_bool_and_of_the_right_shape(make_evaluator, masks):
    with pytest.raises(SettingError, match=r"masks are .*; expected bool \(N, 16\)"):
        make_evaluator().probabilities(masks)


ANSWERS = {
    "nan": (lambda x: np.full((len(x), 2), np.nan), "NaN or infinity"),
    "infinity": (lambda x: np.full((len(x), 2), np.inf), "NaN or infinity"),
    "flat": (lambda x: np.full(len(x), 0.5), r"3 images with shape \(3,\)"),
    "one column": (lambda x: np.full((len(x), 1), 0.5), r"shape \(3, 1\), expected \(3, classes"),
    "wrong n": (lambda x: np.full((len(x) + 1, 2), 0.5), r"3 images with shape \(4, 2\)"),
    "logits": (lambda x: np.tile([-3.0, 8.0], (len(x), 1)), "from -3 to 8.*apply a softmax"),
    "percent": (lambda x: np.tile([20.0, 80.0], (len(x), 1)), "from 20 to 80"),
    "strings": (lambda x: [["0.5", "0.5"]] * len(x), "answered with <U3"),
    "ragged": (lambda x: [[0.5, 0.5], [0.5], [1.0]], "rows of different lengths"),
    "none": (lambda x: None, "3 images with an object of class NoneType, expected"),
    "scalar": (lambda x: 0.5, r"shape \(\)"),
    "bool": (lambda x: np.ones((len(x), 2), bool), "answered with bool"),
}


@pytest.mark.parametrize(("answer", "message"), ANSWERS.values(), ids=ANSWERS)
def test_bad_answers_say_what_came(make_evaluator, answer, message):
    with pytest.raises(BackendError, match=message):
        make_evaluator(answer).probabilities(random_masks(3))


@pytest.mark.parametrize("answer", [pair[0] for pair in ANSWERS.values()], ids=ANSWERS)
def test_bad_answers_are_noticed_in_chunks_too(make_evaluator, answer):
    evaluator = make_evaluator(answer)
    evaluator.backend.batch_size = 3
    with pytest.raises(BackendError, match=r"answered .*predict must return probabilities"):
        evaluator.probabilities(random_masks(6))


def test_backends_that_draw_masks_themselves_are_checked_too(make_evaluator):
    evaluator = make_evaluator()
    evaluator.backend.predict_masked = lambda masked_view, masks: np.full((len(masks), 1), 0.5)
    with pytest.raises(BackendError, match=r"answered 3 images with shape \(3, 1\)"):
        evaluator.probabilities(random_masks(3))


def test_answers_a_hair_out_of_range_are_clipped(make_evaluator):
    evaluator = make_evaluator(lambda x: np.tile([-1e-6, 1 + 1e-6], (len(x), 1)))
    assert evaluator.probabilities(random_masks(2)).tolist() == [1.0, 1.0]


def test_the_budget_is_never_passed_and_what_it_covers_is_kept(make_evaluator, model):
    evaluator = make_evaluator(calls=7)
    with pytest.raises(BudgetExhausted, match=r"after 7 model calls"):
        evaluator.probabilities(random_masks(10))
    assert model.images == evaluator.calls == len(evaluator.archive) == 7
    assert evaluator.probabilities(random_masks(10)[:7]).shape == (7,)  # known ones cost nothing
    with pytest.raises(BudgetExhausted, match=r"budget ended"):
        evaluator.probabilities(random_masks(10)[7:])


def test_one_call_is_counted_as_one(make_evaluator):
    with pytest.raises(BudgetExhausted, match=r"after 1 model call;"):
        make_evaluator(calls=1).probabilities(random_masks(2))


def test_patience_counts_calls_without_gain(make_evaluator):
    evaluator = make_evaluator(patience=5)
    evaluator.probabilities(WANTED[None])
    larger = random_masks(2**16)
    larger = larger[(larger & WANTED).sum(axis=1) == 2]
    larger = larger[larger.sum(axis=1) > 3]
    for n in range(5):
        evaluator.probabilities(larger[n : n + 1])
    with pytest.raises(BudgetExhausted, match=r"after 6 model calls"):
        evaluator.probabilities(larger[5:6])


def test_patience_ends_amid_a_generation(make_evaluator):
    """And counts from the very mask that was a gain, not from the end of its batch."""
    larger = random_masks(2**16)
    larger = larger[(larger & WANTED).sum(axis=1) == 2]
    larger = larger[larger.sum(axis=1) > 3]
    evaluator = make_evaluator(patience=5)
    with pytest.raises(BudgetExhausted, match=r"after 8 model calls"):
        evaluator.probabilities(np.concatenate([larger[:2], WANTED[None], larger[2:40]]))


def test_a_model_must_not_change_its_number_of_classes(image, segments):
    def moody(views):
        return np.full((len(views), 2 + len(calls)), 1 / (2 + len(calls)))

    calls = []
    view = MaskedView(image, segments, image * 0)
    evaluator = Evaluator(FunctionBackend(moody), view, 0)
    evaluator.probabilities(WANTED[None])
    calls.append(1)
    with pytest.raises(BackendError, match="answered with 3 classes, and with 2 before; expected"):
        evaluator.probabilities(~WANTED[None])


def test_fitness_stays_in_its_process(make_evaluator):
    fitness = Fitness(make_evaluator(), resolve_objectives("probability"))
    with pytest.raises(SettingError, match=r"can't go to another process.*leave toolbox\.map"):
        pickle.dumps(fitness)
    for twin in (copy.copy(fitness), copy.deepcopy(fitness)):
        assert twin([1] * 16) == fitness([1] * 16)


def test_patience_counts_from_the_gain_whatever_else_was_asked_with_it(make_evaluator):
    evaluator = make_evaluator(patience=50)
    ask_all([(evaluator, WANTED[None]), (evaluator.under("grey"), random_masks(20))])
    assert evaluator.budget.last_gain < 10 < evaluator.calls == 21


def test_seconds_are_looked_at_between_chunks(make_evaluator, model, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("deap_xai.budget.time.monotonic", lambda: clock[0])

    def slow(images):
        clock[0] += 0.05
        return model(images)

    evaluator = make_evaluator(slow, seconds=0.12)
    evaluator.backend.batch_size = 1
    with pytest.raises(BudgetExhausted, match=r"budget ended"):
        evaluator.probabilities(random_masks(50))
    assert model.images == 3


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"calls": 0}, "budget must be a finite number above 0; got 0"),
        ({"calls": -1}, "budget must be a finite number above 0"),
        ({"calls": 1.5}, "budget must be a whole number of model calls; got 1.5"),
        ({"calls": float("inf")}, "budget must be a finite number"),
        ({"calls": "9"}, "budget must be a finite number above 0; got '9'"),
        ({"seconds": 0}, "seconds must be a finite number above 0"),
        ({"seconds": float("nan")}, "seconds must be a finite number above 0; got nan"),
        ({"seconds": float("inf")}, "seconds must be a finite number above 0; got inf"),
        ({"patience": 0.5}, "patience must be a whole number"),
    ],
)
def test_budgets_are_numbers_above_zero(limits, message):
    with pytest.raises(SettingError, match=message):
        Budget(**limits)


def test_holding_back_ends_early_and_comes_back():
    budget = Budget(calls=10, seconds=100.0)
    with budget.holding_back(4, 0.5):
        assert (budget.calls, budget.seconds, budget.allowed(9)) == (6, 50.0, 6)
    assert (budget.calls, budget.seconds, budget.allowed(99)) == (10, 100.0, 10)
    assert not Budget().limited
    assert Budget(patience=3).limited


def test_other_fills_share_the_budget(make_evaluator, model):
    evaluator = make_evaluator(calls=3)
    grey = evaluator.under("grey")
    assert grey is evaluator.under("grey")
    assert (grey.masked_view.fill == 128).all()
    grey.probabilities(random_masks(2))
    assert evaluator.calls == model.images == 2
    assert len(evaluator.archive) == 0


def test_masks_under_several_fills_are_one_batch(make_evaluator, model):
    fills = ["mean", "grey", "black"]
    expected = [float(make_evaluator().under(f).probabilities(WANTED[None])[0]) for f in fills]
    others = random_masks(3)
    own = make_evaluator().probabilities(others).tolist()
    model.batches.clear()

    def asked(evaluator):
        questions = [(evaluator.under(name), WANTED[None]) for name in fills]
        found = ask_all([*questions, (evaluator, others), (evaluator, others[::-1])])
        assert np.array_equal(found[-1], found[-2][::-1], equal_nan=True)
        return [float(p[0]) for p in found[:3]], found[3].tolist()

    evaluator = make_evaluator()
    evaluator.under("grey").probabilities(WANTED[None])
    for _ in range(2):  # the second time from memory
        assert asked(evaluator) == (expected, own)
    assert model.batches == [1, 5]
    assert evaluator.calls == 6
    few = make_evaluator(calls=4)
    found, rest = asked(few)
    assert found == expected
    assert rest[0] == own[0]
    assert np.isnan(rest[1:]).all()


def test_on_batch_is_called_after_every_batch(make_evaluator):
    evaluator, seen = make_evaluator(), []
    evaluator.on_batch = lambda e: seen.append((e.calls, len(e.archive)))
    evaluator.probabilities(random_masks(4))
    evaluator.probabilities(random_masks(6))
    assert seen == [(4, 4), (6, 6)]


def fitness(evaluator, *specs) -> Fitness:
    return Fitness(evaluator, resolve_objectives(specs or ("probability",)))


def test_fitness_of_one_and_of_many(make_evaluator, model):
    both = fitness(make_evaluator(), "probability", "size")
    assert both(WANTED.astype(int).tolist()) == (pytest.approx(0.95), 3.0)
    values = both.batch(random_masks(9).astype(int))
    assert values == [
        (pytest.approx(p), float(m.sum()))
        for p, m in zip(cell_probability(random_masks(9)), random_masks(9), strict=True)
    ]
    assert model.batches == [1, 9]
    assert both.batch([]) == []
    assert all(type(value) is float for row in values for value in row)


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ([1] * 15, "has 15 bits, expected 16"),
        ([1] * 15 + [2], "holds .*2.*, expected only the bits 0 and 1"),
        ([1] * 15 + [0.5], "holds .*0.5"),
        ([1] * 15 + [float("nan")], "holds .*nan"),
    ],
)
def test_what_is_no_bitstring_has_no_fitness(make_evaluator, bits, message):
    with pytest.raises(OperatorError, match=message):
        fitness(make_evaluator())(bits)


def test_batch_map_batches_a_fitness_and_maps_the_rest(make_evaluator, model):
    one = fitness(make_evaluator())
    masks = random_masks(3).astype(int).tolist()
    assert batch_map(one, iter(masks)) == one.batch(masks)
    assert model.batches == [3]
    assert batch_map(lambda a, b: a + b, [1, 2], [3, 4]) == [4, 6]


def test_one_picture_under_two_names_is_asked_about_once(make_explainer, image):
    evaluator = make_explainer(fill="black").evaluator(np.full_like(image, 128))
    assert evaluator.under("mean") is evaluator.under("grey") is evaluator.under("blur")
    assert evaluator.under("mean") is not evaluator


@pytest.mark.parametrize("name", ["view", "segments", "neighbours"])
def test_operators_and_objectives_can_not_write_into_what_is_explained(make_evaluator, name):
    evaluator = make_evaluator()
    array = getattr(evaluator, name)
    before = array.copy()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0
    assert (getattr(evaluator, name) == before).all()
