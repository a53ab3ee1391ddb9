"""What the live page does when something is clicked, by plain calls: no server, no browser."""

from __future__ import annotations

import asyncio
import random
import re
import sys
import threading
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from deap_xai import app, cli
from deap_xai.app.explainers import one_at_a_time
from deap_xai.app.search import HASTE, Search
from deap_xai.backends import FunctionBackend
from deap_xai.errors import MissingExtraError, SettingError
from deap_xai.explanation import Explanation

DEMO = "demo:name=resnet"


def make_page(settings):
    """A page made inside an event loop: outside one, gradio makes its own and never closes it."""
    pytest.importorskip("gradio", reason="the extra app isn't installed")
    from deap_xai.app.page import Page

    async def make():
        return Page(settings)

    return asyncio.run(make())


@pytest.fixture(scope="module")
def one_page():
    return make_page({"model": "demo", "budget": 60})


@pytest.fixture
def page(one_page):
    return one_page


def explained(page, picture, *, model=DEMO, target="", segmenter="grid", algorithm="eaNSGA2"):
    steps = page.explain(
        picture, model, 60, segmenter, 16, "mean", algorithm, target, "", "", "", ""
    )
    return list(steps)


@pytest.fixture
def taken(page):
    return page.take_example(None, DEMO, 1)[page.picture]


def test_from_an_example_to_a_report(page, taken):
    steps = explained(page, taken)
    assert steps[0][page.halt]["visible"]
    assert isinstance(steps[0][page.search], Search)
    last = steps[-1]
    assert "How sure the classifier is of <b>" in last[page.status]
    assert last[page.halt]["visible"] is False
    assert last[page.trial].explanation.settings["segments"] == "grid:n_segments=16"
    report = Path(last[page.download]["value"])
    assert report.name.endswith(".html")
    text = report.read_text(encoding="utf-8")
    assert taken.name in text
    assert f"deap-xai explain {taken.name} --model {DEMO} " in re.sub("<[^>]*>", "", text)


def test_a_report_that_cannot_be_written_costs_no_result(page, taken, monkeypatch):
    def full(explanation, path, *, image=""):
        raise OSError("no space left")

    monkeypatch.setattr(Explanation, "report", full, raising=False)
    last = explained(page, taken)[-1]
    assert "How sure the classifier is of" in last[page.status]
    assert "no space left" in last[page.status]
    assert page.download not in last
    assert last[page.trial] is not None


def test_clicks_on_the_board_and_the_buttons(page, taken):
    trial = explained(page, taken)[-1][page.trial]
    n = trial.explanation.n_segments
    assert page.show(True, trial)[page.trial].mask.all()
    none = page.show(False, trial)
    assert f"With 0 of {n} pieces" in none[page.says]
    assert (page.show(None, none[page.trial])[page.trial].mask == trial.mask).all()
    clicked = page.toggle(none[page.trial], 599, 0)
    assert clicked[page.trial].mask.sum() == 1
    assert clicked[page.trial].mask[trial.explanation.segments[0, -1]]
    assert sum(clicked[page.answer].values()) <= 1.001
    for early in (page.toggle(None, 0, 0), page.show(True, None)):
        assert page.board not in early


def test_a_search_that_goes_on_is_shown_and_can_be_stopped(page, taken):
    steps = page.explain(taken, DEMO, 2000, "slic", 50, "mean", "eaSurrogate", "", *[""] * 4)
    begun, _, amid = next(steps), next(steps), next(steps)
    search = begun[page.search]
    assert "of 2000 times" in amid[page.status]
    assert amid[page.board].shape[0] >= 500
    busy = page.take_example(search, DEMO, 0)
    assert page.picture not in busy
    time.sleep(HASTE)  # a click before is taken for a double one's second half
    page.stop(search)
    last = list(steps)[-1]
    assert "interrupted" in last[page.status]
    assert last[page.trial].explanation.model_calls < 2000
    page.stop(None)  # nobody searches: nothing happens


REST = ("grid", 16, "mean", "eaRandom", "", *[""] * 4)
"""What the page's other controls say."""


@pytest.fixture
def ahead(page, taken):
    """Another visitor's search, amid its first batch until the event is set; and that event."""
    asked, go_on = threading.Event(), threading.Event()

    def slow(views):
        asked.set()
        go_on.wait(10)
        return np.full((len(views), 2), 0.5)

    page.explainers._loaded["mine"] = one_at_a_time(FunctionBackend(slow))
    steps = page.explain(taken, "mine", 10**6, *REST)
    next(steps)
    assert asked.wait(10)
    yield steps, go_on
    steps.close()
    go_on.set()


def test_a_visitor_who_left_holds_up_the_next_for_one_batch_alone(page, taken, ahead):
    left, go_on = ahead
    left.close()
    steps = page.explain(taken, DEMO, 60, *REST)
    next(steps)
    assert "Another visitor" in next(steps)[page.status]
    go_on.set()
    steps = list(steps)
    said = [step[page.status] for step in steps]
    assert any("Loading" in one for one in said)
    assert "How sure the classifier is of" in said[-1]
    line = steps[-1][page.front].axes[0].lines[0]  # begins at what nothing at all gives
    found = steps[-1][page.trial].explanation
    assert (line.get_xdata()[0], line.get_ydata()[0]) == (0, found.probability_empty)


def test_who_waits_in_line_can_leave_it_at_once(page, taken, ahead):
    _, go_on = ahead
    steps = page.explain(taken, DEMO, 60, *REST)
    search = next(steps)[page.search]
    assert next(steps)[page.halt]["value"] == "Leave the line"
    page.stop(search)  # the second half of a double click, which began the search
    assert not search._stop.is_set()
    time.sleep(HASTE)
    page.stop(search)
    assert search._done.wait(10)
    last = list(steps)[-1]
    assert "Stopped before the classifier was asked" in last[page.status]
    assert last[page.go]["visible"]
    assert not go_on.is_set()  # nothing waited for the search that goes on


def test_a_picture_that_is_gone_is_said_and_the_button_comes_back(page):
    last = explained(page, None)[-1]
    assert "choose it again" in last[page.status]
    assert 'role="alert"' in last[page.status]
    assert last[page.go]["visible"]


def test_the_model_follows_the_picture(page, tmp_path, image, monkeypatch):
    PIL.Image.fromarray(image).save(tmp_path / "photo.png")
    upload = str(tmp_path / "photo.png")
    monkeypatch.setattr(page.panel, "home", "mobilenet_v2")
    assert page.take_upload(upload, None, DEMO)[page.panel.model] == "mobilenet_v2"
    assert page.take_upload(upload, None, "resnet50")[page.panel.model] == "resnet50"
    assert page.take_example(None, "mobilenet_v2", 0)[page.panel.model] == DEMO
    assert page.take_example(None, "demo:name=cheater", 0)[page.panel.model] == "demo:name=cheater"


def test_the_classifier_for_photographs_comes_back_after_a_creature(page, tmp_path, image):
    PIL.Image.fromarray(image).save(tmp_path / "photo.png")
    left = page.take_example(None, "resnet50", 0)
    back = page.take_upload(
        str(tmp_path / "photo.png"), None, left[page.panel.model], None, left[page.for_photographs]
    )
    assert back[page.panel.model] == "resnet50"
    assert page.for_photographs not in page.take_example(None, DEMO, 1)


def test_the_box_names_the_picture_that_is_explained(page, taken, tmp_path, image):
    path = str(tmp_path / "photo.png")
    PIL.Image.fromarray(image).save(path)
    photograph = page.take_upload(path, None, DEMO)[page.picture]
    assert page.take_example(None, DEMO, 0)[page.upload] is None

    go_on = threading.Event()
    search = Search(lambda report: go_on.wait(10))
    for other in (str(tmp_path / "other.png"), None):
        assert page.take_upload(other, search, DEMO, photograph) == {page.upload: path}
        assert page.take_upload(other, search, DEMO, taken) == {page.upload: None}
    go_on.set()


def test_a_file_that_is_removed_takes_the_rest_with_it(page):
    emptied = page.take_upload(None, None, DEMO)
    assert emptied[page.picture] is None
    assert emptied[page.go]["interactive"] is False
    for shown in (page.board, page.trying, page.curve, page.download):
        assert emptied[shown]["visible"] is False
    assert "Choose a picture" in emptied[page.status]


def test_a_text_file_is_refused_without_telling_where_it_lies(page, tmp_path):
    path = tmp_path / "<b>note.jpg"
    path.write_text("no picture")
    answer = page.take_upload(str(path), None, DEMO)
    assert "is not an image" in answer[page.status]
    assert "&lt;b&gt;note.jpg" in answer[page.status]
    assert str(tmp_path) not in answer[page.status]
    assert answer[page.picture] is None
    assert answer[page.go]["interactive"] is False


def test_a_picture_of_too_many_pixels_is_refused(page, tmp_path, monkeypatch):
    PIL.Image.new("L", (600, 600)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    said = page.take_upload(str(tmp_path / "bomb.png"), None, DEMO)[page.status]
    assert "bomb.png is too large: a picture may have 0.002 million pixels" in said
    assert "PIL" not in said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "unicorn"}, "unicorn"),
        ({"model": "no.such:model"}, "no.such"),
        ({"algorithm": "eaNone"}, "unknown algorithm"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_button_comes_back(page, taken, settings, message):
    last = explained(page, taken, **settings)[-1]
    assert message in last[page.status]
    assert 'role="alert"' in last[page.status]
    assert last[page.go]["visible"]


def test_a_model_that_fails_is_no_traceback(page, taken):
    def broken(views):
        raise ValueError("cable out")

    page.explainers._loaded["mine"] = one_at_a_time(FunctionBackend(broken))
    last = explained(page, taken, model="mine")[-1]
    assert "(ValueError: cable out)" in last[page.status]
    assert "Traceback" not in last[page.status]
    stopped = page._failed(KeyboardInterrupt(), taken)
    assert "Stopped before" in stopped[page.status]


def test_given_settings_are_what_visitors_find():
    page = make_page(
        {
            "model": "mine:net",
            "segments": "slic:n_segments=80,compactness=5",
            "fill": "color:rgb=red",
            "operators": {"mate": "cxUniform:indpb=0.1"},
        }
    )
    assert page.panel.model.value == "mine:net"
    assert page.panel.segmenter.value == "slic:n_segments=80,compactness=5"
    assert page.panel.n_segments.visible is False
    assert page.panel.fill.value == "color:rgb=red"
    assert page.panel.operators[0].value == "cxUniform:indpb=0.1"
    assert (
        make_page({"model": "demo", "segments": "grid:n_segments=30"}).panel.n_segments.value == 30
    )


@pytest.mark.parametrize(("budget", "pieces"), [(5000, 300), (20, 4), (400, 50)])
def test_sliders_take_what_was_given(budget, pieces):
    panel = make_page(
        {"model": "demo", "budget": budget, "segments": f"grid:n_segments={pieces}"}
    ).panel
    values = [one.preprocess(one.value) for one in panel.controls]
    choice = panel.choice(*values)
    assert (choice.budget, choice.segments) == (budget, f"grid:n_segments={pieces}")
    assert panel.budget.preprocess(50) == 50
    assert panel.budget.preprocess(2000) == 2000


def test_ranges_are_said_as_typed_numbers_are_moved_into_them():
    panel = make_page({"model": "demo", "budget": 5000}).panel
    assert "50 to 5000" in panel.budget.info
    assert "10 to 200" in panel.n_segments.info


def test_menus_that_would_change_nothing_are_hidden_and_not_heeded(page, taken):
    shown = page.panel.heeded("eaUMDA")
    assert [shown[menu]["visible"] for menu in page.panel.operators] == [False, False, True, False]
    assert all(one["visible"] for one in page.panel.heeded("mine:eaOwn").values())
    given = {"mate": "cxTwoPoint", "bits": "initSizes"}
    own = make_page({"model": "demo", "budget": 20, "algorithm": "eaRandom", "operators": given})
    assert [menu.visible for menu in own.panel.operators] == [False, False, False, True]
    values = [one.value for one in own.panel.controls]
    trial = list(own.explain(taken, *values))[-1][own.trial]
    assert trial.explanation.settings["operators"] == {"bits": "initSizes"}


def test_a_number_of_pieces_that_is_none_is_left_to_the_search_to_refuse():
    panel = make_page({"model": "demo", "segments": "grid:n_segments=few"}).panel
    assert panel.segmenter.value == "grid:n_segments=few"


def test_the_empty_choice_of_an_operator_leaves_it_to_the_algorithm(taken):
    given = {"mutate": "mutStep", "mate": "cxTwoPoint"}
    page = make_page({"model": "demo", "budget": 20, "algorithm": "eaElitist", "operators": given})
    values = {one: one.value for one in page.panel.controls}
    assert values[page.panel.operators[1]] == "mutStep"
    values[page.panel.operators[1]] = ""
    trial = list(page.explain(taken, *values.values()))[-1][page.trial]
    assert trial.explanation.settings["operators"] == {"mate": "cxTwoPoint"}


# --- serving ----------------------------------------------------------------------------------


def test_without_gradio_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingExtraError, match=r'pip install "deap-xai\[app\]"'):
        app.serve({"model": "demo"})
    result = CliRunner().invoke(cli.main, ["app", "--model", "demo"])
    assert result.exit_code == 1
    assert "deap-xai[app]" in result.stderr


@pytest.fixture
def launch(one_page, monkeypatch):
    """What gradio is asked to serve, instead of serving it."""
    import gradio

    from deap_xai.app import page as module

    asked = {}

    def launch(blocks, **settings):
        if settings["server_port"] == 1:
            raise OSError("Cannot find empty port")
        asked.update(settings, analytics=blocks.analytics_enabled)
        return None, "http://127.0.0.1:7860/", None

    monkeypatch.setattr(gradio.Blocks, "launch", launch)
    monkeypatch.setattr(module, "Page", lambda settings: one_page)
    return asked


def test_gradio_serves_this_machine_alone_and_asks_no_other(launch):
    from gradio import queueing

    assert app.serve({"model": "demo"})[1] == "http://127.0.0.1:7860/"
    assert launch["server_name"] == "127.0.0.1"
    assert (launch["share"], launch["analytics"]) == (False, False)
    assert launch["max_file_size"] == "50 MB"
    assert "google" not in str(launch["theme"]._font).lower()
    # The queue shuffles all the time; a search has seeded the generator that everybody shares.
    assert isinstance(queueing.random, random.Random)


def test_a_taken_port_is_said(launch):
    with pytest.raises(SettingError, match="port 1; it seems taken"):
        app.serve({"model": "demo"}, 1)


def test_the_command_serves_and_waits(monkeypatch):
    class Blocks:
        waited = 0

        def block_thread(self):
            self.waited += 1

    blocks, asked = Blocks(), []

    def serve(settings, port):
        asked.append((settings, port))
        return blocks, "http://127.0.0.1:7999/"

    monkeypatch.setattr(app, "serve", serve)
    options = ["--model", "demo", "--port", "7999", "--set", "mate=cxTwoPoint", "--fill", "blur"]
    result = CliRunner().invoke(cli.main, ["app", *options])
    assert result.exit_code == 0
    assert "Open http://127.0.0.1:7999/" in result.stdout
    assert blocks.waited == 1
    settings, port = asked[0]
    assert port == 7999
    assert settings["operators"] == {"mate": "cxTwoPoint"}
    assert (settings["model"], settings["fill"], settings["objectives"]) == ("demo", "blur", None)
