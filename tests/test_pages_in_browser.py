"""Pages as readers meet them: a mouse, a keyboard, a phone, dark and light, a hostile file name."""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np
import pytest
from browser import (
    accessibility_violations,
    console_errors,
    open_page,
    requests_made,
    scrolls_sideways,
    set_scheme,
)
from conftest import CELL, SIDE, CellModel
from test_pages import HOSTILE

from deap_xai.certificates import consensus
from deap_xai.explainer import Explainer
from deap_xai.pages import gallery_page, thumbnail

Keys = pytest.importorskip("selenium.webdriver", reason="selenium isn't installed").Keys
from selenium.webdriver import ActionChains  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.actions.pointer_input import PointerInput  # noqa: E402
from selenium.webdriver.support.select import Select  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

SIZES = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture(scope="module")
def agreed():
    """What two seeds say of conftest's picture, made once: 16 superpixels in rows of four."""
    side = SIDE * CELL
    image = np.random.default_rng(0).integers(150, 256, (side, side, 3)).astype(np.uint8)
    explainer = Explainer(CellModel(), segments="grid:n_segments=16", fill="black", budget=120)
    return consensus(explainer, image, seeds=2)


@pytest.fixture(scope="module")
def explanation(agreed):
    return agreed.explanations[0]


@pytest.fixture(scope="module")
def page_file(explanation, tmp_path_factory):
    return explanation.report(tmp_path_factory.mktemp("page") / "page.html", image="cells.png")


@pytest.fixture
def page(browser, page_file):
    """The report, opened."""
    open_page(browser, page_file)
    yield browser
    assert console_errors(browser) == []
    assert requests_made(browser) == [page_file.as_uri()]


def text(driver, name):
    return driver.find_element("id", name).text


def pixel(driver, label):
    """The colour drawn in the middle of a cell: red, green, blue."""
    script = """const canvas = document.getElementById("canvas"), [x, y] = arguments;
    const at = [x * canvas.width, y * canvas.height].map(Math.floor);
    return Array.from(canvas.getContext("2d").getImageData(...at, 1, 1).data.slice(0, 3))"""
    return driver.execute_script(script, (label % 4 + 0.55) / 4, (label // 4 + 0.55) / 4)


def mode(driver, name):
    driver.find_element("css selector", f"label:has([value={name}])").click()


def hover(driver, label):
    canvas = driver.find_element("id", "canvas")
    x, y = ((place + 0.55) / 4 - 0.5 for place in (label % 4, label // 4))
    offset = (int(x * canvas.size["width"]), int(y * canvas.size["height"]))
    ActionChains(driver).move_to_element_with_offset(canvas, *offset).perform()


def test_kept_and_removed_are_each_others_opposite(page, explanation):
    kept, hidden = (int(np.flatnonzero(explanation.mask == side)[0]) for side in (True, False))
    shown = pixel(page, kept), pixel(page, hidden)
    assert min(shown[1]) > 230  # faded to the white paper
    mode(page, "removed")
    swapped = pixel(page, kept), pixel(page, hidden)
    assert min(swapped[0]) > 230
    mode(page, "outlines")
    assert pixel(page, kept) == shown[0]
    assert pixel(page, hidden) == swapped[1]
    assert page.find_element("id", "canvas").accessible_name.startswith("All outlines: ")


def test_the_heat_map_is_orange_for_and_violet_against(page, explanation):
    assert not page.find_element("id", "scale").is_displayed()
    mode(page, "heat")
    most, least = int(explanation.attribution.argmax()), int(explanation.attribution.argmin())
    assert pixel(page, most)[0] > pixel(page, most)[2] + 50
    assert explanation.attribution[least] < 0
    assert pixel(page, least)[2] > pixel(page, least)[0]
    limit = np.abs(explanation.attribution).max()
    assert f"speaks for: +{limit:.2f}" in text(page, "scale")


def test_the_slider_goes_along_the_front(page, explanation):
    points, slider = explanation.front, page.find_element("id", "point")
    assert len(points) > 2
    assert "explanation’s own mask" in text(page, "shown")  # noqa: RUF001
    slider.send_keys(Keys.HOME)
    places = []
    for point in points:
        assert text(page, "shown").startswith(f"{point.size} of 16 superpixels give")
        assert text(page, "p-kept") == f"{point.probability:.3f}"
        assert f"probability {point.probability:.3f}" in slider.get_attribute("aria-valuetext")
        width = page.find_element("id", "bar-kept").get_attribute("style")
        assert float(re.search(r"[\d.]+", width)[0]) == pytest.approx(100 * point.probability, 1e-3)
        hidden = int(np.flatnonzero(~point.mask)[0])
        assert min(pixel(page, hidden)) > 230
        assert min(pixel(page, int(point.mask.argmax()))) < 230
        places.append(page.find_element("id", "dot").location)
        slider.send_keys(Keys.ARROW_RIGHT)
    assert all(a["x"] < b["x"] and a["y"] > b["y"] for a, b in itertools.pairwise(places))


def test_the_dot_stands_on_the_front(page, explanation):
    """Where the full view's dashed line and the axes say: between 0 and 1, and 0 and 16."""
    frame = page.execute_script(
        "return document.querySelector('#front-axes_1 #front-patch_2 path, #front-patch_2 path')"
        ".getBoundingClientRect().toJSON()"
    )
    for key, point in ((Keys.HOME, explanation.front[0]), (Keys.END, explanation.front[-1])):
        page.find_element("id", "point").send_keys(key)
        dot = page.execute_script(
            "return document.getElementById('dot').getBoundingClientRect().toJSON()"
        )
        x = (dot["left"] + dot["width"] / 2 - frame["left"]) / frame["width"]
        y = (frame["bottom"] - dot["top"] - dot["height"] / 2) / frame["height"]
        assert x == pytest.approx(point.size / 16, abs=0.02)
        assert y == pytest.approx(point.probability / 1.02, abs=0.02)


def test_hovering_tells_importance_and_how_often_kept(page, explanation):
    points = explanation.front
    for label in (0, 6, 15):
        before = pixel(page, label)
        hover(page, label)
        words = text(page, "told")
        kept = sum(bool(point.mask[label]) for point in points)
        assert words.startswith(f"Superpixel {label}, ")
        assert f"{abs(explanation.attribution[label]):.2f} (log-odds)" in words
        assert f"Kept in {kept} of the front’s {len(points)} masks" in words  # noqa: RUF001
        assert f"({round(100 * kept / len(points))} %)" in words
        assert pixel(page, label) == before  # a line around it, and nothing over it


def test_what_is_told_of_a_superpixel_does_not_outlive_the_mask(page):
    hint = text(page, "told")
    hover(page, 6)
    assert text(page, "told").startswith("Superpixel 6, ")
    page.find_element("id", "point").send_keys(Keys.HOME)
    assert text(page, "told") == hint


def test_a_tap_chooses_and_lifting_the_finger_keeps_it(page):
    canvas = page.find_element("id", "canvas")
    touch = ActionBuilder(page, mouse=PointerInput("touch", "finger"))
    touch.pointer_action.move_to(canvas, canvas.size["width"] // 8, canvas.size["height"] // 8)
    touch.pointer_action.pointer_down().pointer_up()
    touch.perform()
    assert text(page, "told").startswith("Superpixel 10, ")


def test_everything_works_from_the_keyboard(page, explanation):
    def press(*keys):
        ActionChains(page).send_keys(*keys).perform()

    press(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("value") == "kept"
    press(Keys.ARROW_RIGHT)
    assert page.find_element("id", "canvas").accessible_name.startswith("What was removed: ")
    press(Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "picture"
    press(Keys.ARROW_UP)
    most = int(explanation.attribution.argmax())
    assert text(page, "told").startswith(f"Superpixel {most}, ")
    for key, step in ((Keys.ARROW_DOWN, 4), (Keys.ARROW_UP, -4)):
        press(*[key] * 4)
        edge = most % 4 + (12 if step > 0 else 0)
        assert text(page, "told").startswith(f"Superpixel {edge}, ")
    press(*[Keys.ARROW_RIGHT] * 4)
    assert text(page, "told").startswith("Superpixel 3, ")
    press(Keys.ARROW_LEFT)
    assert text(page, "told").startswith("Superpixel 2, ")
    press(Keys.ESCAPE, Keys.TAB)
    assert page.switch_to.active_element.get_attribute("id") == "point"
    press(Keys.TAB)
    assert page.switch_to.active_element.tag_name == "summary"
    press(Keys.ENTER, Keys.TAB, Keys.TAB)
    button = page.switch_to.active_element
    assert text(page, "told").startswith(f"Superpixel {button.text}, ")
    assert button.text == str(most)


def test_the_table_says_the_same(page, explanation):
    page.find_element("css selector", "#table + details summary").click()
    page.find_element("id", "point").send_keys(Keys.HOME)
    first = explanation.front[0]
    rows = page.find_elements("css selector", ".scroll tbody tr")
    told = {int(row.find_element("tag name", "button").text): row.text for row in rows}
    order = np.argsort(-explanation.attribution, kind="stable")
    assert list(told) == order.tolist()
    for label, words in told.items():
        assert words.endswith("kept" if first.mask[label] else "hidden")
        assert f"{explanation.attribution[label]:+.2f}" in words


def test_a_change_of_scheme_is_followed(page, explanation):
    hidden = int(np.flatnonzero(~explanation.mask)[0])
    assert min(pixel(page, hidden)) > 230
    set_scheme(page, "dark")
    # The page hears of the change in its own time.
    WebDriverWait(page, 10).until(lambda _: max(pixel(page, hidden)) < 150)


@pytest.fixture(scope="module")
def full_file(agreed, explanation, tmp_path_factory):
    """A report with everything that may be in one, and a name that is hard to break."""
    noted = dataclasses.replace(explanation, warnings=("the fill says it all",))
    name = "a-very-long-name-without-any-space-in-it-" * 4
    path = tmp_path_factory.mktemp("full") / "page.html"
    return noted.report(path, image=f"{name}.jpg", consensus=agreed)


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_a_report_is_accessible_and_fits(browser, full_file, width, scheme):
    open_page(browser, full_file, width, scheme=scheme)
    browser.execute_script(
        "for (const one of document.querySelectorAll('details')) one.open = true"
    )
    mode(browser, "heat")
    assert accessibility_violations(browser) == []
    assert not scrolls_sideways(browser)
    assert console_errors(browser) == []


def test_hostile_names_do_no_harm(browser, explanation, tmp_path):
    hostile = dataclasses.replace(
        explanation, target_name=HOSTILE, warnings=(HOSTILE,), settings={"model": HOSTILE}
    )
    name = '<img src=x onerror="window.harmed = 3">.jpg'
    path = hostile.report(tmp_path / f"{name}.html", image=name)
    open_page(browser, path)
    assert browser.execute_script("return window.harmed") is None
    assert browser.find_element("tag name", "h1").text == f"What was enough for “{HOSTILE}”"
    assert browser.find_element("class name", "kicker").text.startswith(name)
    assert HOSTILE in text(browser, "shown")
    assert len(browser.find_elements("tag name", "img")) == 0
    assert console_errors(browser) == []
    assert requests_made(browser) == [path.as_uri()]


def test_not_even_unescaped_markup_would_run_or_ask(browser, page_file):
    open_page(browser, page_file)
    requests_made(browser)
    markup = '<img src="http://localhost:9/x.png" onerror="window.harmed = 1">'
    browser.execute_script("document.body.insertAdjacentHTML('beforeend', arguments[0])", markup)
    browser.execute_async_script("setTimeout(arguments[0], 100)")
    assert browser.execute_script("return window.harmed") is None
    assert any("Content Security Policy" in line for line in console_errors(browser))


WORD_LINES = """
return [...document.querySelectorAll('.scroll thead th')].map((cell) => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  return [cell.textContent, range.getClientRects().length];
});
"""


def test_no_word_of_the_table_is_broken_on_a_phone(browser, agreed, tmp_path):
    path = agreed.explanations[0].report(tmp_path / "page.html", consensus=agreed)
    open_page(browser, path, 380)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true })")
    lines = dict(browser.execute_script(WORD_LINES))
    assert "Seeds" in lines
    assert all(count <= len(words.split()) for words, count in lines.items())
    assert not scrolls_sideways(browser)


# The gallery.


def synthetic(n):
    """Rows of three classes, each with its own numbers; every seventh with a note."""
    rng = np.random.default_rng(0)
    return [
        {
            "image": f"/pictures/{n - number:05d}.jpg",
            "target_name": ("frog", "toad", "newt")[number % 3],
            "probability": round(rng.random(), 5),
            "probability_full": number / n,
            "size": number % 20 + 1,
            "n_segments": 50,
            "warnings": [f"the empty view alone gives {number / n:.3f}"] * (number % 7 == 0),
        }
        for number in range(n)
    ]


@pytest.fixture(scope="module")
def gallery_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gallery") / "index.html"
    path.write_text(gallery_page(synthetic(5000), "many", [("bad.jpg", "damaged")]))
    return path


@pytest.fixture
def gallery(browser, gallery_file):
    open_page(browser, gallery_file)
    return browser


def choose(driver, name, value):
    Select(driver.find_element("id", name)).select_by_value(value)


def names(driver):
    script = "return [...document.querySelectorAll('#cards li')].map(one => one.textContent)"
    cards = driver.execute_script(script)
    return [int(re.search(r"(\d{5})\.jpg", card)[1]) for card in cards]


def test_five_thousand_images_stay_few_elements(gallery):
    rows = synthetic(5000)

    def bounded(expected):
        count = gallery.execute_script("return document.querySelectorAll('*').length")
        assert count < 800
        assert len(names(gallery)) == min(60, expected)
        said = text(gallery, "count")
        assert said.endswith(f" of {expected:,}")

    bounded(5000)
    choose(gallery, "class", "=toad")
    toads = [row for row in rows if row["target_name"] == "toad"]
    bounded(len(toads))
    choose(gallery, "warning", "any")
    noted = [row for row in toads if row["warnings"]]
    bounded(len(noted))
    least = gallery.find_element("id", "least")
    least.clear()
    least.send_keys("0.9")
    sure = [row for row in noted if row["probability_full"] >= 0.9]
    bounded(len(sure))
    choose(gallery, "warning", "none")
    bounded(sum(row["probability_full"] >= 0.9 and not row["warnings"] for row in toads))
    gallery.find_element("css selector", "[type=reset]").click()
    bounded(5000)
    most = gallery.find_element("id", "most")
    most.clear()
    most.send_keys("0.1")
    bounded(sum(row["probability_full"] <= 0.1 for row in rows))
    choose(gallery, "warning", "=the empty view alone gives …")
    bounded(sum(row["probability_full"] <= 0.1 and bool(row["warnings"]) for row in rows))
    least.send_keys("5")  # 05: none
    assert text(gallery, "count") == "No image fits these filters."
    assert console_errors(gallery) == []


@pytest.mark.parametrize(
    ("order", "key", "sign"),
    [
        ("image", "image", 1),
        ("-probability_full", "probability_full", -1),
        ("probability", "probability", 1),
        ("-size", "size", -1),
    ],
)
def test_sorting(gallery, order, key, sign):
    choose(gallery, "sort", order)
    rows = sorted(synthetic(5000), key=lambda row: row[key], reverse=sign < 0)
    expected = [int(row["image"][-9:-4]) for row in rows[:60]]
    assert names(gallery) == expected


def test_file_names_are_sorted_as_people_do(browser, tmp_path):
    rows = [{"image": n} for n in ("b/ant.jpg", "a/ant.jpg", "a/img10.jpg", "b/img2.jpg", "Bee")]
    (tmp_path / "index.html").write_text(gallery_page(rows, "a run"))
    open_page(browser, tmp_path / "index.html")
    choose(browser, "sort", "image")
    cards = browser.find_elements("css selector", "#cards .small:nth-of-type(3)")
    wanted = ["a/ant.jpg", "b/ant.jpg", "Bee", "img2.jpg", "img10.jpg"]
    assert [card.text for card in cards] == wanted


def test_a_run_in_which_all_failed_says_so(browser, tmp_path):
    (tmp_path / "index.html").write_text(gallery_page([], "a run", [("bad.jpg", "damaged")]))
    open_page(browser, tmp_path / "index.html")
    assert text(browser, "count") == "No image was explained."
    assert not browser.find_element("id", "filters").is_displayed()
    assert "Each picture" not in browser.find_element("tag name", "header").text
    assert "bad.jpg: damaged" in browser.find_element("tag name", "details").text
    assert console_errors(browser) == []


def test_turning_pages(gallery):
    first = names(gallery)
    assert not gallery.find_element("id", "before").is_enabled()
    gallery.find_element("id", "after").click()
    assert text(gallery, "count") == "61 to 120 of 5,000"
    assert not set(first) & set(names(gallery))
    gallery.find_element("id", "before").click()
    assert names(gallery) == first


def test_kinds_of_notes_are_named_by_one_of_them(gallery):
    options = [option.text for option in Select(gallery.find_element("id", "warning")).options]
    assert options[3:] == ["the empty view alone gives 0.000, and the like (715)"]


def test_notes_that_name_other_classes_are_of_one_kind(browser, tmp_path):
    notes = [f'the model itself answers another class, "{name}" (0.5)' for name in ("newt", "toad")]
    rows = [{"image": f"{n}.jpg", "warnings": [note]} for n, note in enumerate(notes)]
    (tmp_path / "index.html").write_text(gallery_page(rows, "a run"))
    open_page(browser, tmp_path / "index.html")
    options = [option.text for option in Select(browser.find_element("id", "warning")).options]
    assert options[3:] == [f"{notes[0]}, and the like (2)"]


def test_cards_of_one_file_name_show_their_folders(browser, tmp_path):
    rows = [{"image": name} for name in ("a/frog.jpg", "b/frog.jpg", "b/toad.jpg")]
    (tmp_path / "index.html").write_text(gallery_page(rows, "a run"))
    open_page(browser, tmp_path / "index.html")
    cards = browser.find_elements("css selector", "#cards .small:nth-of-type(3)")
    assert [card.text for card in cards] == ["a/frog.jpg", "b/frog.jpg", "toad.jpg"]


@pytest.mark.parametrize(("width", "scheme"), SIZES)
def test_a_gallery_is_accessible_and_fits(browser, explanation, tmp_path, width, scheme):
    e = explanation
    (tmp_path / "one.jpg").write_bytes(thumbnail(e.view, e.segments, e.mask))
    rows = [{**row, "thumbnail": "one.jpg", "saved": "a b.npz"} for row in synthetic(8)]
    rows[1] = {"image": "bare.jpg"}  # nothing known
    (tmp_path / "index.html").write_text(gallery_page(rows, "a run", [("bad.jpg", "damaged")]))
    open_page(browser, tmp_path / "index.html", width, scheme=scheme)
    assert accessibility_violations(browser) == []
    assert not scrolls_sideways(browser)
    browser.find_element("css selector", "#cards button").send_keys(Keys.ENTER)
    loaded = "return document.querySelector('dialog img').decode().then(() => true)"
    assert browser.execute_script(loaded)
    assert text(browser, "large-title") == "frog in 00008.jpg"
    assert "the empty view alone gives 0.000" in text(browser, "large-body")
    assert "deap-xai report 'a b.npz'" in text(browser, "large-body")
    assert accessibility_violations(browser) == []
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not browser.find_element("id", "large").is_displayed()
    browser.find_elements("css selector", "#cards button")[1].click()
    assert "not asked" in text(browser, "large-body")
    assert console_errors(browser) == []
    asked = {address.rpartition("/")[2] for address in requests_made(browser)}
    assert asked == {"index.html", "one.jpg"}


def test_hostile_names_in_a_gallery_do_no_harm(browser, tmp_path):
    rows = [{"image": f"<img src=x onerror='window.harmed=1'>{n}.jpg", "target_name": HOSTILE,
             "warnings": [HOSTILE], "saved": HOSTILE}
            for n in range(3)]  # fmt: skip
    (tmp_path / "index.html").write_text(gallery_page(rows, HOSTILE, [(HOSTILE, HOSTILE)]))
    open_page(browser, tmp_path / "index.html")
    Select(browser.find_element("id", "class")).select_by_index(1)
    browser.find_element("css selector", "#cards button").click()
    assert HOSTILE in text(browser, "large-body")
    assert browser.execute_script("return window.harmed") is None
    assert requests_made(browser) == [(tmp_path / "index.html").as_uri()]
