"""The live page's logic, by plain calls: no server, no browser."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from deap_xai.algorithms import algorithms
from deap_xai.app import pictures
from deap_xai.app.choices import (
    algorithm_choices,
    counts_pieces,
    fill_choices,
    heeds,
    model_choices,
    operator_choices,
)
from deap_xai.app.explainers import KEPT, Choice, Explainers, one_at_a_time
from deap_xai.app.search import Search
from deap_xai.app.trial import Answer, Trial
from deap_xai.archive import FrontPoint, front
from deap_xai.backends import FunctionBackend
from deap_xai.checks import PICK
from deap_xai.errors import DeapXaiError, ImageError
from deap_xai.explainer import Explainer
from deap_xai.pages import command_line

DEMO = "demo:name=resnet"


@pytest.fixture
def creature():
    from deap_xai.demo import creature

    return creature(10_001).image


# --- Explainers -------------------------------------------------------------------------------


def test_a_choice_gives_what_the_explainer_gives(creature):
    choice = Choice(DEMO, 60, "grid:n_segments=16", "blur", "eaNSGA2", {"mate": "cxTwoPoint"})
    ours = Explainers({"model": "demo", "seed": 3}).explain(creature, choice, lambda *_: None)
    plain = Explainer(
        "demo", budget=60, segments="grid:n_segments=16", fill="blur", algorithm="eaNSGA2",
        operators={"mate": "cxTwoPoint"}, seed=3,
    ).explain(creature)  # fmt: skip
    assert (ours.archive.masks == plain.archive.masks).all()
    assert ours.settings["operators"]["mate"] == "cxTwoPoint"
    assert (ours.settings["model"], ours.settings["fill"], ours.seed) == (DEMO, "blur", 3)


def test_amid_a_search_the_pick_that_was_given_at_the_start_is_shown(creature):
    seen = []

    def progress(evaluator, pick):
        if evaluator.calls > 30:
            seen.append((front(evaluator.archive), pick(evaluator)))

    explainers = Explainers({"model": "demo", "pick": "within:k=2"})
    explainers.explain(creature, Choice(DEMO, 60), progress)
    for points, shown in seen:
        wanted = [point for point in points if point.size <= 2][-1]
        assert (shown.mask == wanted.mask).all()
    assert seen


def test_operators_given_at_the_start_hold_unless_others_are_chosen(creature):
    given = {"mate": "cxTwoPoint", "mutate": "mutSwap"}
    choice = Choice(DEMO, 20, operators={"mutate": "mutStep"}, algorithm="eaNSGA2")
    found = Explainers({"model": "demo", "operators": given}).explain(
        creature, choice, lambda *_: None
    )
    assert found.settings["operators"]["mate"] == "cxTwoPoint"
    assert found.settings["operators"]["mutate"] == "mutStep"


def test_an_explanation_can_be_repeated_from_the_shell(creature):
    choice = Choice(DEMO, 20, "grid:n_segments=16", algorithm="eaNSGA2")
    ours = Explainers({"model": DEMO}).explain(creature, choice, lambda *_: None)
    plain = Explainer(
        DEMO, budget=20, segments="grid:n_segments=16", algorithm="eaNSGA2"
    ).explain(creature)  # fmt: skip
    assert command_line(ours, "x.png").startswith(f"deap-xai explain x.png --model {DEMO} ")
    assert command_line(ours, "x.png") == command_line(plain, "x.png")
    mine = f"{__name__}:brightness"
    made = Explainers({"model": mine, "size": 32}).explain(
        creature, Choice(mine, 10), lambda *_: None
    )
    assert made.settings["model"] == mine
    assert made.settings["python_only"] == ["size"]  # the shell has no option for it
    made = Explainers({"model": mine, "class_names": ["bright", "dark"]}).explain(
        creature, Choice(mine, 10), lambda *_: None
    )
    assert "--classes CLASSES" in command_line(made, "x.png")


def brightness(views):
    bright = views.mean(axis=(1, 2, 3)) / 255
    return np.stack([bright, 1 - bright], axis=1)


def test_models_are_loaded_once_and_few_are_kept():
    explainers = Explainers({"model": "demo"})
    first = explainers.backend(DEMO)
    assert explainers.backend(DEMO) is first
    for name in ("densenet", "mobilenet", "cheater"):
        explainers.backend(f"demo:name={name}")
    assert len(explainers._loaded) == KEPT
    assert explainers.backend(DEMO) is not first


def test_weights_and_names_belong_to_the_given_model_alone(creature):
    explainers = Explainers(
        {"model": "no.such:model", "weights": "mine.pth", "class_names": ["a"], "device": "cpu"}
    )
    explanation = explainers.explain(creature, Choice(DEMO, 10), lambda *_: None)
    assert explanation.settings["device"] == "cpu"
    assert "weights" not in explanation.settings
    with pytest.raises(DeapXaiError, match=r"no\.such"):
        explainers.backend("no.such:model")


def test_two_threads_never_ask_a_model_at_once(creature):
    inside, most = 0, 0
    gate = threading.Lock()

    def predict(views):
        nonlocal inside, most
        with gate:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.01)
        with gate:
            inside -= 1
        return np.full((len(views), 2), 0.5)

    backend = one_at_a_time(FunctionBackend(predict))
    assert isinstance(backend, FunctionBackend)
    ask = [threading.Thread(target=backend.predict, args=(creature[None],)) for _ in range(4)]
    for thread in ask:
        thread.start()
    for thread in ask:
        thread.join()
    assert most == 1


# --- Search -----------------------------------------------------------------------------------


def test_a_search_tells_how_it_goes_and_what_came_out(make_explainer, image):
    started, go_on = threading.Event(), threading.Event()
    shown = FrontPoint(np.ones(16, bool), 0.5)

    def explain(report):
        def slow(evaluator):
            report(evaluator, lambda _: shown)
            started.set()
            go_on.wait(10)

        return make_explainer(budget=100).explain(image, progress=slow)

    search = Search(explain)
    seen = search.snapshots(every=0.01)
    first = next(seen)
    assert search.running
    assert (first.calls, first.total) == (2, 100)
    assert first.shown is shown
    assert first.segments.shape == image.shape[:2]
    go_on.set()
    for _ in seen:
        pass
    assert not search.running
    assert search.error is None
    assert search.explanation.probability == pytest.approx(0.95)


def test_stopping_gives_the_best_so_far(make_explainer, image):
    reached, stopped = threading.Event(), threading.Event()

    def explain(report):
        def until_stopped(evaluator):
            if evaluator.calls > 30:
                reached.set()
                stopped.wait(10)
            report(evaluator, explainer.picked)

        return explainer.explain(image, progress=until_stopped)

    explainer = make_explainer(budget=5000, algorithm="eaNSGA2")

    search = Search(explain)
    assert reached.wait(10)
    search.stop()
    stopped.set()
    list(search.snapshots(every=0.01))  # until it ends
    assert search.explanation.model_calls < 200
    assert "interrupted" in search.explanation.warnings[0]


def test_whoever_stops_listening_stops_the_search(make_explainer, image):
    explainer = make_explainer(budget=10**6, algorithm="eaRandom")

    def explain(report):
        return explainer.explain(image, progress=lambda one: report(one, explainer.picked))

    search = Search(explain)
    seen = search.snapshots(every=0.01)
    next(seen)
    seen.close()
    assert search._done.wait(10)
    assert search.explanation is not None


def test_what_goes_wrong_is_kept_for_whoever_watches():
    def explain(report):
        raise ImageError("no image")

    search = Search(explain)
    assert list(search.snapshots(every=0.01)) == []
    assert str(search.error) == "no image"


def test_a_search_begins_when_the_one_that_was_left_has_ended():
    amid, go_on, order = threading.Event(), threading.Event(), []

    def long_batch(report):
        amid.set()
        go_on.wait(10)
        order.append("first ended")

    first = Search(long_batch)
    assert amid.wait(10)
    first.stop()
    second = Search(lambda report: order.append("second began"))
    third = Search(lambda report: order.append("third began"))
    assert (second.waiting, third.waiting) == (True, True)
    third.stop()
    assert third._done.wait(10)  # it leaves the line at once
    assert not second._done.wait(0.2)
    go_on.set()
    for search in (first, second, third):
        assert search._done.wait(10)
    assert order == ["first ended", "second began"]
    assert isinstance(third.error, KeyboardInterrupt)


# --- Trial ------------------------------------------------------------------------------------


@pytest.fixture
def trial(explanation, model):
    return Trial(explanation, FunctionBackend(model, class_names=["no", "yes"]), explanation.mask)


def test_toggling_a_piece_changes_the_answer_by_one_model_call(trial, model):
    before, asked = trial.answer(), model.images
    row, column = np.argwhere(trial.explanation.segments == 6)[0]
    without = trial.toggled(row, column)
    assert without.mask.sum() == trial.mask.sum() - 1
    assert without.answer().probability < before.probability - 0.1
    assert model.images == asked + 1
    assert (without.toggled(row, column).mask == trial.mask).all()


def test_an_answer_names_the_likeliest_classes_first(trial):
    answer = trial.answer()
    assert list(answer.top) == ["yes", "no"]
    assert answer.top["yes"] == answer.probability == pytest.approx(trial.explanation.probability)


# --- what is drawn and said -------------------------------------------------------------------


def test_the_board_shows_the_kept_and_fades_the_rest(explanation):
    view, segments = explanation.view, explanation.segments
    factor = pictures.enlargement(view)
    drawn = pictures.board(view, segments, explanation.mask)
    assert drawn.shape == (24 * factor, 24 * factor, 3)
    large = pictures.enlarged(view)
    middle = factor * 3
    kept = [
        np.argwhere(segments == s)[0] * factor + middle for s in np.flatnonzero(explanation.mask)
    ]
    assert all((drawn[tuple(at)] == large[tuple(at)]).all() for at in kept)
    at = tuple(np.argwhere(segments == 0)[0] * factor + middle)
    assert drawn[at].mean() > 225
    assert not explanation.mask[0]


def test_what_comes_from_outside_is_escaped(explanation):
    evil = "<img src=x onerror=alert(1)>"
    said = replace(explanation, target_name=evil, warnings=(evil,))
    trial = Trial(said, None, said.mask)
    texts = [
        pictures.found(said),
        pictures.problem(evil),
        pictures.tried(trial, Answer(0.1, {evil + "2": 0.9})),
    ]
    for text in texts:
        assert "<img" not in text
        assert "&lt;img" in text


def test_notes_name_nothing_that_the_page_has_not(explanation):
    note = "45 of 45 superpixels are kept; a mask of 23 gives 0.871, the full view 0.947"
    warnings = (f"{note}{PICK}smallest:p=0.871 shows it", "x")
    said = pictures.found(replace(explanation, warnings=warnings))
    assert "45 of 45 pieces are kept; a mask of 23 gives 0.871, the full view 0.947</p>" in said
    assert "smallest" not in said
    assert '<p class="note">x</p>' in said


def test_what_was_not_asked_is_said(explanation):
    checks = replace(explanation.checks, rest=float("nan"))
    said = pictures.found(replace(explanation, checks=checks))
    assert "<th>all other pieces</th><td>not asked</td>" in said


# --- menus ------------------------------------------------------------------------------------


def test_menus_come_from_the_registries():
    assert ("photographs: mobilenet_v2", "mobilenet_v2") in model_choices(DEMO)
    assert model_choices("mine:net")[0][1] == "mine:net"
    assert "image" not in [value for _, value in fill_choices("mean")]  # it needs a path
    assert fill_choices("color:rgb=red")[0][1] == "color:rgb=red"
    mates = [value for _, value in operator_choices("mate", None)]
    assert mates[0] == ""
    assert {"cxRegion", "cxTwoPoint"} <= set(mates)
    assert not any(value.startswith("mut") for value in mates)
    assert counts_pieces("grid")
    assert not counts_pieces("grid:n_segments=9")
    assert not counts_pieces("quickshift")


ROLES = ["mate", "mutate", "select", "bits"]


def test_menus_speak_to_visitors_and_say_everything_once():
    menus = [algorithm_choices("eaNSGA2"), fill_choices("mean")]
    menus += [operator_choices(role, None) for role in ROLES]
    for menu in menus:
        specs = [spec for _, spec in menu]
        assert len(specs) == len(set(specs))
        for text, _ in menu:
            said = text.partition(": ")[2]
            assert len(said) < 80
            assert not re.search(r"[*_\[]|toolbox|superpixel|individual|\bea[A-Z]|\. ", said), text
    assert "white" in {spec: text for text, spec in fill_choices("mean")}["color"]


# First bits are drawn for eaUMDA, which changes what chance gives it next, but not used.
PARTS = [pair for pair in product(algorithms.names(), ROLES) if pair != ("eaUMDA", "bits")]


@pytest.mark.parametrize(("algorithm", "role"), PARTS)
def test_an_operator_is_heeded_where_it_makes_a_difference(algorithm, role, make_explainer, image):
    asked = []
    for spec in [spec for _, spec in operator_choices(role, None)][-2:]:
        explainer = make_explainer(budget=300, algorithm=algorithm, operators={role: spec})
        asked.append(explainer.explain(image).archive.masks)
    assert np.array_equal(*asked) != heeds(algorithm, role)


@pytest.mark.parametrize("role", ROLES)
def test_every_operator_offered_works(role, make_explainer, image):
    for _, spec in operator_choices(role, None)[1:]:
        explainer = make_explainer(budget=30, algorithm="eaMuPlusLambda", operators={role: spec})
        assert explainer.explain(image).model_calls > 5
