"""The rivals of the benchmarks: they answer, within their calls, as their sources say."""

from __future__ import annotations

import argparse
import csv
import sys

import _common
import _problems
import _rex
import _rivals
import numpy as np
import pytest
from conftest import SIDE, WANTED, CellModel, random_masks
from PIL import Image

from deap_xai.backends import FunctionBackend
from deap_xai.errors import BudgetExhausted
from deap_xai.masking import MaskedView

# Packages of others: shap's compiled parts warn of themselves, scikit-learn of a perfect fit.
pytestmark = pytest.mark.filterwarnings("ignore::Warning:(shap|numba|sklearn|captum|lime)")

N = SIDE * SIDE


def needs(name):
    if why := _rivals.missing(name):
        pytest.skip(why)


@pytest.mark.parametrize("name", [*_rivals.METHODS, "eaSurrogate", "eaRandom"])
def test_each_asks_no_more_than_it_may_and_finds_the_cells(name, make_evaluator, model):
    needs(name)
    evaluator = make_evaluator()
    values = _rivals.run(name, evaluator, calls=150, seed=0)
    assert values.shape == (N,)
    assert model.images == evaluator.calls == len(evaluator.archive) <= 150
    assert evaluator.budget.calls is None  # what judges it may ask on
    if name != "occlusion":  # its windows are larger than the cells
        assert set(np.argsort(-values)[:3]) == set(np.flatnonzero(WANTED))


@pytest.mark.parametrize("name", [*_rivals.METHODS, "eaElitist"])
def test_the_same_seed_the_same_answer(name, make_evaluator):
    needs(name)
    first, second = (_rivals.run(name, make_evaluator(), 60, seed=3) for _ in range(2))
    assert (first == second).all()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    _rivals.run(name, make_evaluator(), 60, seed=4)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002  # nobody else's chance


@pytest.mark.parametrize("name", ["ablation", "occlusion"])
def test_too_few_calls_are_no_answer(name, make_evaluator):
    needs(name)
    with pytest.raises(BudgetExhausted, match="the budget ended after 10 model calls"):
        _rivals.run(name, make_evaluator(), 10, seed=0)


def test_lime_is_its_packages(make_evaluator, image, segments, model):
    needs("lime")
    from lime.lime_image import LimeImageExplainer

    found = LimeImageExplainer(random_state=5).explain_instance(
        image, model, labels=(1,), top_labels=None, hide_color=0, num_samples=80, random_seed=0,
        segmentation_fn=lambda _: segments,
    )  # fmt: skip
    weights = np.zeros(N)
    for index, weight in found.local_exp[1]:
        weights[index] = weight
    assert _rivals.lime(make_evaluator(), samples=80, seed=5) == pytest.approx(weights, abs=1e-5)


def test_rise_by_hand(make_evaluator):
    evaluator = make_evaluator()
    found = _rivals.rise(evaluator, calls=30, seed=1)
    total = np.zeros(N)
    for mask in np.random.default_rng(1).random((30, N)) < 0.5:
        total += float(evaluator.probabilities(mask[None])[0]) * mask
    assert found == pytest.approx(total / (30 * 0.5), abs=1e-5)


def test_occlusion_by_hand(make_evaluator):
    evaluator = make_evaluator()
    full = float(evaluator.probabilities(np.ones((1, N), bool))[0])
    lost = np.zeros(N)
    windows = [np.flatnonzero(row) for row in evaluator.neighbours]
    windows = [np.union1d(window, [i]) for i, window in enumerate(windows)]
    for i in range(N):
        without = np.ones(N, bool)
        without[windows[i]] = False
        lost[i] = full - float(evaluator.probabilities(without[None])[0])
    by_hand = [np.mean([lost[j] for j in range(N) if i in windows[j]]) for i in range(N)]
    assert _rivals.occlusion(evaluator, 0, 0) == pytest.approx(by_hand, abs=1e-5)


def test_ablation_by_hand(make_evaluator):
    needs("ablation")
    evaluator = make_evaluator()
    masks = np.vstack([np.ones((1, N), bool), ~np.eye(N, dtype=bool)])
    p = evaluator.probabilities(masks)
    assert _rivals.ablation(evaluator, 0, 0) == pytest.approx(p[0] - p[1:], abs=1e-5)


def test_what_cannot_run_says_why(monkeypatch):
    assert "no such method; known are lime, kernelshap" in _rivals.missing("lyme")
    monkeypatch.setitem(sys.modules, "shap", None)
    assert _rivals.missing("partition").startswith("shap can't be imported")
    assert _rivals.missing("rise") == _rivals.missing("eaElitist:cxpb=0.5") == ""


def test_remembering_answers_alike_and_asks_once(image, segments):
    model = CellModel()
    backend = FunctionBackend(model, batch_size=1000)
    both = [MaskedView(image, segments, np.full_like(image, value)) for value in (0, 50)]
    remembering, masks = _rivals.Remembering(backend), random_masks(20)
    expected = [backend.predict_masked(view, masks) for view in both]
    model.batches.clear()
    for _ in range(2):
        for view, rows in zip(both, expected, strict=True):
            assert (remembering.predict_masked(view, masks) == rows).all()
            again = MaskedView(view.view, view.segments, view.fill)
            assert (remembering.predict_masked(again, masks[::-1]) == rows[::-1]).all()
    assert model.images == 40


def test_rex_is_answered_within_its_calls(make_evaluator, image):
    evaluator = make_evaluator()
    views = np.stack([image, image // 2, image, image // 3])
    known: dict = {}
    answers = _rex._answer(evaluator, views, known, calls=2)
    assert evaluator.calls == 2  # two are the same, the last is too much
    assert answers[0].tolist() == answers[2].tolist()
    assert answers[:, 0].tolist() == [1, answers[1, 0], 1, -1]
    assert (answers[:, 2] == -1).all()  # the end is near
    assert (_rex._answer(evaluator, views[:1], known, calls=9)[0, :2] == answers[0, :2]).all()


def test_a_row_file_goes_on_where_it_was(tmp_path):
    path = tmp_path / "folder" / "rows.csv"
    _common.RowFile(path, ["a", "b, s"]).add({"a": 1, "b, s": "x, y"})
    with path.open("a") as file:
        file.write("2,cut o")  # as when the power went
    again = _common.RowFile(path, ["a", "b, s"])
    assert again.has(a=1)
    assert not again.has(a=2)
    again.add({"a": 2, "b, s": 0.5})
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# ")
    rows = [{"a": "1", "b, s": "x, y"}, {"a": "2", "b, s": "0.5"}]
    assert list(csv.DictReader(lines[1:])) == again.rows == rows
    with pytest.raises(SystemExit, match="has other columns than this script writes"):
        _common.RowFile(path, ["a", "c"])


def test_own_images_with_labels_and_boxes(tmp_path, image):
    Image.fromarray(np.kron(image, np.ones((8, 8, 1), np.uint8))).save(tmp_path / "one.png")
    (tmp_path / "labels.csv").write_text("file,class_index\none.png,3\n")
    (tmp_path / "boxes.csv").write_text("file,xmin,ymin,xmax,ymax\none.png,96,0,192,48\n")
    options = argparse.Namespace(
        images=tmp_path, labels=tmp_path / "labels.csv", boxes=tmp_path / "boxes.csv",
        model="demo", calls=None, seeds=None,
    )  # fmt: skip
    (problem,) = _problems.own_problems(options)
    assert (problem.image, problem.target, problem.calls) == ("one.png", 3, [100, 400])
    truth = np.zeros((128, 128), bool)
    truth[:32, 64:] = True  # the same part of the demo's view
    assert (problem.truth == truth).mean() > 0.99
    options.labels = options.boxes = None
    (problem,) = _problems.own_problems(options)
    assert (problem.target, problem.truth) == (None, None)


def test_a_tables_facts_may_have_any_name(tmp_path):
    _common.write_table(tmp_path / "t.csv", [{"a": 1}], rows="those of x.csv", path="here")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[1:] == ["# rows: those of x.csv", "# path: here", "a", "1"]
