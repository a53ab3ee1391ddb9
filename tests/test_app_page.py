"""The live page in a browser, served by the command as users start it."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest
from browser import console_errors, open_page, requests_made, scrolls_sideways, set_scheme

from deap_xai.app.search import HASTE
from deap_xai.demo import creature

WAIT = 90
"""Seconds until something must have happened, on a busy machine."""


@pytest.fixture(scope="session")
def address(browser, tmp_path_factory):
    """Of a page with the demo's classifiers."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("the extra app isn't installed")
    log = tmp_path_factory.mktemp("app") / "log"
    command = [sys.executable, "-c", "from deap_xai.cli import main; main()", "app"]
    options = ["--model", "demo", "--budget", "100", "--segments", "grid:n_segments=25"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        server = subprocess.Popen(
            [*command, *options], stdout=file, stderr=subprocess.STDOUT, env=environment
        )
    try:
        yield until(lambda: re.search(r"http://\S+", log.read_text()), log.read_text)[0]
    finally:
        server.kill()
        server.wait()


def until(found, said=str):
    """What ``found`` gives once it gives something; the elements of a page may go amid a look."""
    import time

    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        try:
            if answer := found():
                return answer
        except Exception as error:
            if "selenium" not in type(error).__module__:
                raise
        time.sleep(0.1)
    raise AssertionError(f"waited {WAIT} s in vain; {said()}")


class Reader:
    """Somebody in front of the page."""

    def __init__(self, browser, address, width=1280):
        self.browser = browser
        open_page(browser, address, width)
        until(lambda: len(self.all("#examples button")) >= 6 and self.one("#go"))

    def all(self, selector):
        return self.browser.find_elements("css selector", selector)

    def one(self, selector):
        return self.browser.find_element("css selector", selector)

    def text(self, selector):
        return self.one(selector).text

    def says(self, words, where="#status"):
        return until(lambda: words in self.text(where) and self.text(where), self.page)

    def page(self):
        return self.text("body")

    def take_example(self, number):
        until(lambda: self.all("#examples button")[number].click() or True)
        self.says("Now press Explain")
        until(lambda: self.one("#go").is_enabled())

    def explain(self):
        self.take_example(2)
        self.one("#go").click()
        return self.says("It was asked")

    def search_long(self):
        box = self.one("#calls input")
        box.clear()
        box.send_keys("2000\t")
        self.one("#go").click()
        self.says("of 2000 times")

    def upload(self, path):
        until(lambda: self.all("input[type=file]"))
        self.one("input[type=file]").send_keys(str(path))


@pytest.mark.parametrize("width", [1280, 390])
def test_from_an_example_to_a_toggled_piece(browser, address, width, tmp_path):
    reader = Reader(browser, address, width)
    said = reader.explain()
    assert re.search(r"the \d+ of 25 pieces found 0\.\d\d", said)
    before = reader.says("pieces shown", "#says")
    reader.one("#board img").click()  # in the middle
    after = until(lambda: reader.text("#says") != before and reader.text("#says"), reader.page)
    kept = [int(re.search(r"With (\d+) of 25", text)[1]) for text in (before, after)]
    assert abs(kept[0] - kept[1]) == 1
    reader.one("#nothing").click()
    nothing = reader.says("With 0 of 25", "#says")
    found, none = (re.search(r"0\.\d\d", text)[0] for text in (before, nothing))
    assert float(none) < float(found)
    assert reader.text("#answer").count("%") == 3
    assert not scrolls_sideways(browser)
    assert console_errors(browser) == []
    asked = requests_made(browser)
    assert asked
    assert [one for one in asked if not one.startswith(address)] == []
    behavior = {"behavior": "allow", "downloadPath": str(tmp_path)}
    browser.execute_cdp_cmd("Page.setDownloadBehavior", behavior)
    reader.one("#report").click()
    report = until(lambda: list(tmp_path.glob("*.html")))[0]
    assert "superpixels" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [320, 360])
def test_a_small_telephone_shows_the_whole_page(browser, address, width):
    reader = Reader(browser, address, width)
    assert not scrolls_sideways(browser)
    sides = "const e = arguments[0]; return [e.offsetWidth, e.offsetHeight]"
    across, down = browser.execute_script(sides, reader.one("#examples img"))
    assert abs(across - down) <= 1  # nothing of a creature is cut off


def test_no_click_of_several_fast_ones_is_lost(browser, address):
    reader = Reader(browser, address)
    reader.explain()
    reader.one("#everything").click()
    reader.says("With 25 of 25", "#says")
    clicks = """const image = document.querySelector("#board img");
    const { left, top, width, height } = image.getBoundingClientRect();
    const click = n => image.dispatchEvent(new MouseEvent("click",
        { bubbles: true, clientX: left + (n + .5) / 5 * width, clientY: top + height / 2 }));
    for (let n = 0; n < 5; n++) setTimeout(() => click(n), 30 * n);"""
    browser.execute_script(clicks)
    reader.says("With 20 of 25", "#says")


def test_the_front_is_dark_in_the_dark_scheme(browser, address):
    reader = Reader(browser, address)
    set_scheme(browser, "dark")
    browser.refresh()
    until(lambda: reader.all("#examples button"))
    reader.explain()
    until(lambda: reader.one("#front img").is_displayed())
    shot = PIL.Image.open(io.BytesIO(reader.one("#front img").screenshot_as_png)).convert("L")
    assert np.median(np.asarray(shot)) < 60


def test_a_long_choice_does_not_run_into_its_arrow(browser, address):
    reader = Reader(browser, address)
    [box] = [one for one in reader.all("input") if one.get_attribute("aria-label") == "Classifier"]
    style = "const s = getComputedStyle(arguments[0]); return [s.textOverflow, s.marginRight]"
    assert browser.execute_script(style, box) == ["ellipsis", "24px"]


def test_only_menus_of_operators_that_the_algorithm_heeds_are_shown(browser, address):
    reader = Reader(browser, address)
    until(lambda: reader.one("button.label-wrap").click() or True)
    reader.says("How two candidates mix", "body")
    box = until(lambda: reader.one("input[aria-label='Search algorithm']"))
    box.click()
    until(lambda: [one for one in reader.all("[role=option]") if "eaRandom" in one.text])[0].click()
    until(lambda: "How two candidates mix" not in reader.page(), reader.page)
    assert "How the first candidates are made" in reader.page()


def test_a_search_can_be_stopped(browser, address):
    reader = Reader(browser, address)
    reader.take_example(1)
    reader.search_long()
    assert reader.one("#front img").is_displayed()
    reader.one("#halt").click()
    assert "interrupted" in reader.says("It was asked")
    until(lambda: reader.one("#go").is_displayed())


def test_a_number_that_is_refused_brings_the_button_back(browser, address):
    reader = Reader(browser, address)
    reader.take_example(1)
    reader.one("#calls input").clear()
    reader.one("#calls input").send_keys("9999")
    # By script, as a reader's click takes the cursor out of the box, which mends the number.
    browser.execute_script("document.querySelector('#go').click()")
    assert "within its range" in reader.says("This didn't work")
    until(lambda: reader.one("#go").is_displayed() and reader.one("#go").is_enabled())


def test_two_visitors_wait_for_each_other_and_keep_their_own(browser, address):
    first = Reader(browser, address)
    first.explain()  # somebody who tries pieces while others search
    tried, one = browser.current_window_handle, first.says("pieces shown", "#says")
    browser.switch_to.new_window("tab")
    second = Reader(browser, address)
    second.take_example(1)
    second.search_long()
    searching = browser.current_window_handle
    browser.switch_to.new_window("tab")
    third = Reader(browser, address)
    third.take_example(0)
    third.one("#go").click()
    waiting = browser.current_window_handle
    try:
        browser.switch_to.window(tried)
        first.one("#everything").click()
        assert first.says("With 25 of 25", "#says") != one
        browser.switch_to.window(waiting)
        third.says("Another visitor's search is going on")
        browser.switch_to.window(searching)
        second.one("#halt").click()
        assert "interrupted" in second.says("It was asked")
        browser.switch_to.window(waiting)
        assert "interrupted" not in third.says("It was asked")
        assert "curlop" in third.text("#status")
        browser.switch_to.window(searching)
        second.search_long()
        browser.switch_to.window(waiting)
        third.one("#go").click()
        until(lambda: third.text("#halt") == "Leave the line", third.page)
        time.sleep(HASTE)
        third.one("#halt").click()
        third.says("Stopped before the classifier was asked")
        until(lambda: third.one("#go").is_displayed())
    finally:
        for window in (searching, waiting):
            browser.switch_to.window(window)
            browser.close()
        browser.switch_to.window(tried)


def test_the_box_for_a_file_and_the_rest_of_the_page_agree(browser, address, tmp_path):
    PIL.Image.fromarray(creature(10_001).image).save(tmp_path / "mine.png")
    reader = Reader(browser, address)
    reader.upload(tmp_path / "mine.png")
    reader.says("Now press Explain")
    reader.search_long()
    reader.one("#file button[aria-label=Clear]").click()
    reader.says("Still searching in the picture before", "body")
    reader.says("mine", "#file")
    reader.one("#halt").click()
    reader.says("It was asked")
    until(lambda: reader.one("#file button[aria-label=Clear]").click() or True)
    reader.says("Choose a picture to begin")
    assert not [one for one in reader.all("#board img") if one.is_displayed()]
    assert not reader.one("#go").is_enabled()
    reader.upload(tmp_path / "mine.png")
    reader.says("mine", "#file")
    reader.take_example(1)
    reader.says("Drop File Here", "#file")


def test_a_text_file_is_refused_kindly(browser, address, tmp_path):
    path = tmp_path / "<img src=x onerror=document.title=1>.jpg"
    path.write_text("no picture")
    reader = Reader(browser, address)
    reader.upload(path)
    assert "is not an image" in reader.says("expected JPEG")
    assert not reader.one("#go").is_enabled()
    assert browser.title == "deap_xai"
    reader.take_example(0)  # and the page goes on


def test_a_file_that_is_too_large_is_refused_kindly(browser, address, tmp_path):
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    reader = Reader(browser, address)
    assert "of 50 MB at most" in reader.page()
    reader.upload(path)
    assert (
        "50"
        in until(
            lambda: re.search(r"exceed the maximum allowed size.*", reader.page()), reader.page
        )[0]
    )
    assert not reader.one("#go").is_enabled()
