"""Pages as text: what stands in them, what is escaped, how large they get. No browser needed."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import shlex
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import CellModel, stand_in
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PILImage

from deap_xai import cli
from deap_xai.archive import Archive, front
from deap_xai.backends.classes import class_index
from deap_xai.certificates import Consensus, consensus
from deap_xai.demo import creature
from deap_xai.explainer import Explainer
from deap_xai.explanation import Checks, Explanation
from deap_xai.pages import command_line, gallery_page, thumbnail
from deap_xai.pages.honesty import model_rows, sentences
from deap_xai.pages.pictures import data_uri, label_runs
from deap_xai.pages.report import shown_points
from deap_xai.plotting import fit_labels

HOSTILE = (
    "</script><script>window.harmed = 1</script>"
    '<img src=x onerror="window.harmed = 2">\'&{{ 7 * 7 }}'
)


def facts_of(page: str) -> dict:
    return json.loads(re.search(r'id="facts">(.*?)</script>', page, re.DOTALL)[1])


def large(n_segments: int = 300, side: int = 1000) -> Explanation:
    """The worst case for size: a view of noise, many superpixels, a long front."""
    rng = np.random.default_rng(0)
    rows = (np.arange(side) * 20 // side)[:, None]
    segments = (rows * 15 + np.arange(side) * 15 // side).astype(np.int32)
    masks = np.tri(n_segments + 1, n_segments, -1, dtype=bool)
    return Explanation(
        mask=masks[100],
        segments=segments,
        view=rng.integers(0, 256, (side, side, 3)).astype(np.uint8),
        fill=np.zeros((side, side, 3), np.uint8),
        target=1,
        target_name="noise",
        probability=100 / n_segments,
        probability_full=1.0,
        probability_empty=0.0,
        attribution=rng.normal(size=n_segments),
        archive=Archive(masks, np.linspace(0, 1, n_segments + 1)),
        checks=Checks(0.5, {}, np.zeros(0), np.full(n_segments, np.nan)),
        model_calls=n_segments + 1,
        seconds=1.0,
        seed=0,
    )


def test_a_page_is_one_file_without_addresses(explanation, tmp_path):
    path = explanation.report(tmp_path / "frog.html", image="frog.jpg")
    assert path == tmp_path / "frog.html"
    assert [file.name for file in tmp_path.iterdir()] == ["frog.html"]
    text = path.read_text()
    assert text == explanation.report(image="frog.jpg")
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # of languages
    assert set(re.findall(r"https?://[^\"'\s<>]+", text)) <= names
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "frog.jpg" in text


def test_the_largest_page_stays_under_two_megabytes():
    page = large().report()
    assert len(page.encode()) < 2_000_000
    assert max(facts_of(page)["width"], facts_of(page)["height"]) <= 640


def test_the_front_is_what_the_slider_goes_along(explanation):
    facts = facts_of(explanation.report())
    points = explanation.front
    assert [point["size"] for point in facts["points"]] == [point.size for point in points]
    assert [point["probability"] for point in facts["points"]] == [p.probability for p in points]
    masks = [[int(bit) for bit in point["mask"]] for point in facts["points"]]
    assert masks == [point.mask.astype(int).tolist() for point in points]
    assert masks[facts["picked"]] == explanation.mask.astype(int).tolist()
    kept = np.sum([point.mask for point in points], axis=0)
    assert [one["kept"] for one in facts["superpixels"]] == kept.tolist()
    ranks = {one["rank"]: one["importance"] for one in facts["superpixels"]}
    assert [ranks[k + 1] for k in range(16)] == sorted(explanation.attribution, reverse=True)
    assert facts["points"][facts["picked"]]["rest"] == pytest.approx(explanation.probability_rest)


def test_next_to_nothing_has_no_minus(explanation):
    small = np.where(np.arange(16) < 3, -0.004, explanation.attribution)
    page = dataclasses.replace(explanation, attribution=small).report()
    assert "+0.00<" in page
    assert "-0.00<" not in page


def test_one_of_each_is_told_as_one(make_explainer, image):
    page = " ".join(make_explainer(budget=1).explain(image).report().split())
    assert "It has one mask, of size 16 (" in page
    assert "<p>1 model call, checks included," in page
    assert "The slider goes along" not in page


def test_a_mask_that_a_check_has_beaten_is_shown_too(explanation):
    archive = explanation.archive
    better = np.roll(explanation.mask, 1)
    archive.add(better[None], np.array([0.99], np.float32))
    assert not any((point.mask == explanation.mask).all() for point in front(archive))
    assert any((point.mask == explanation.mask).all() for point in shown_points(explanation))
    facts = facts_of(explanation.report())
    mask = facts["points"][facts["picked"]]["mask"]
    assert [int(bit) for bit in mask] == explanation.mask.astype(int).tolist()
    explanation.plot_front()  # which has no dot then


def test_what_comes_from_outside_is_escaped(explanation):
    hostile = dataclasses.replace(
        explanation,
        target_name=HOSTILE,
        warnings=(HOSTILE,),
        settings={HOSTILE: {HOSTILE: HOSTILE}},
    )
    page = hostile.report(image=f"{HOSTILE}.jpg")
    assert "<script>window" not in page
    assert "<img src=x" not in page
    assert "49" not in page.partition("<h1>")[2].partition("</h1>")[0]
    assert facts_of(page)["target"] == HOSTILE
    rows = [{"image": HOSTILE, "target_name": HOSTILE, "warnings": [HOSTILE], "saved": HOSTILE}]
    page = gallery_page(rows, HOSTILE, [(HOSTILE, HOSTILE)])
    assert "<script>window" not in page
    assert "<img src=x" not in page
    assert facts_of(page)["rows"][0]["image"] == HOSTILE


def test_a_failed_write_leaves_the_old_page(explanation, tmp_path, monkeypatch):
    path = explanation.report(tmp_path / "frog.html")
    before = path.read_bytes()

    def full(self, data):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="disk full"):
        explanation.report(path, image="other")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["frog.html"]


def test_the_command_repeats_the_explanation(make_explainer, image, tmp_path, monkeypatch):
    """Run it in the shell: the same mask, the same probabilities."""
    module = types.ModuleType("cell_models")
    module.classify = CellModel()
    monkeypatch.setitem(sys.modules, "cell_models", module)
    monkeypatch.chdir(tmp_path)
    PILImage.fromarray(image).save("-my frog's.png")
    explainer = Explainer(
        "cell_models:classify",
        segments="grid:n_segments=16",
        fill="color:rgb=(0, 0, 0)",
        algorithm="eaNSGA2:cxpb=0.8",
        operators={"mate": "cxUniform:indpb=0.3"},
        objectives=["probability", "size", "robustness:fills=grey+blur"],
        pick="smallest:p=0.8",
        population=9,
        budget=70,
        patience=60,
        seed=3,
    )
    first = explainer.explain("-my frog's.png")
    line = command_line(first, "-my frog's.png")
    words = shlex.split(line)
    assert words[:3] == ["deap-xai", "explain", "./-my frog's.png"]
    assert line in html_text(first.report(image="-my frog's.png"))
    result = CliRunner().invoke(cli.main, [*words[1:], "--out", "again"])
    assert result.exit_code == 0, result.output
    again = Explanation.load("again/-my frog's.npz")
    assert (again.archive.masks == first.archive.masks).all()
    assert (again.mask == first.mask).all()
    assert again.to_dict() == {**first.to_dict(), "seconds": again.seconds}


@pytest.mark.parametrize("target", [None, "1"])
@pytest.mark.parametrize("seed", [10_016, 10_017])
def test_the_command_repeats_what_a_stand_in_searched(tmp_path, monkeypatch, seed, target):
    """A target that is told costs no model call before the search, so it isn't told for nothing."""
    monkeypatch.chdir(tmp_path)
    PILImage.fromarray(creature(seed).image).save("d.png")
    options = ["--model", "demo", "--precision", "bf16", "--budget", "30", "--device", "cpu"]
    options += [] if target is None else ["--target", target]
    result = CliRunner().invoke(cli.main, ["explain", "d.png", *options, "--out", "first"])
    assert result.exit_code == 0, result.output
    first = Explanation.load("first/d.npz")
    words = shlex.split(command_line(first, "d.png"))
    assert ("--target" in words) == (target is not None)
    assert CliRunner().invoke(cli.main, [*words[1:], "--out", "again"]).exit_code == 0
    again = Explanation.load("again/d.npz")
    assert (again.archive.masks == first.archive.masks).all()


def test_names_of_classes_are_asked_for_where_their_file_is_not_known(make_explainer, image):
    settings = {"model": "demo", "python_only": [], "class_names": "2 names", "target": None}
    made = SimpleNamespace(settings=settings, target=3, seed=0, reference=None)
    line = "deap-xai explain IMAGE --model demo --classes CLASSES --seed 0"
    assert command_line(made) == line
    e = make_explainer(class_names=["cat", "dog"], budget=20).explain(image)
    assert e.settings["class_names"] == "2 names"


def html_text(page: str) -> str:
    import html

    return html.unescape(re.sub(r"</?span>", "", page))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"fill": (1, 2, 3)}, "fill"),
        ({"algorithm": lambda population, toolbox: None}, "algorithm"),
        ({"pick": lambda points, full: points[0]}, "pick"),
        ({"operators": {"mate": lambda a, b: (a, b)}}, "mate"),
        (
            {"objectives": ["probability", (lambda evaluator, masks: masks.sum(axis=1), -1.0)]},
            "lambda",
        ),
        ({"objectives": [("size", -2.0), "probability"]}, "objective size"),
        ({"size": (24, 24)}, "size"),
    ],
)
def test_what_only_python_can_name_is_said(make_explainer, image, changes, named):
    explanation = make_explainer(budget=40, **changes).explain(image)
    assert any(named in one for one in explanation.settings["python_only"])
    assert command_line(explanation) is None
    page = explanation.report()
    assert "Not from the shell alone: no text can name its model, segments" in page
    assert "deap-xai explain IMAGE" not in page


def test_the_command_names_no_class_by_a_number_that_is_anothers_name(
    make_explainer, image, monkeypatch
):
    module = types.ModuleType("cell_models")
    module.classify = CellModel()
    monkeypatch.setitem(sys.modules, "cell_models", module)
    made = Explainer("cell_models:classify", class_names=["1", "0"], budget=20,
                     segments="grid:n_segments=16").explain(image, target="1")  # fmt: skip
    words = shlex.split(command_line(made, "a.png"))
    given = words[words.index("--target") + 1]
    assert class_index(given, ["1", "0"]) == made.target == 0


def test_the_command_names_no_class_that_is_called_like_its_number():
    names = ["10", *map(str, range(1, 9)), "ace", "jack", "9"]
    made = SimpleNamespace(
        settings={"model": "m:f", "python_only": [], "target": "ace"},
        target=9, target_name="ace", seed=0, reference=None,
    )  # fmt: skip
    words = shlex.split(command_line(made))
    assert class_index(words[words.index("--target") + 1], names) == 9


@pytest.mark.parametrize("smaller", [True, False])
def test_smaller_masks_are_told_of_where_there_are_any(explanation, smaller):
    dropped = np.zeros(16)
    dropped[explanation.mask] = 1.0
    checks = dataclasses.replace(explanation.checks, dropped=dropped)
    size = explanation.size - smaller
    alone = Archive(np.arange(16)[None] < size, np.ones(1, np.float32))
    e = dataclasses.replace(explanation, checks=checks, archive=alone)
    words = dict(sentences(e, None))["Could anything be dropped?"]
    assert words.startswith("Yes.")
    assert ("smaller masks are on the front" in words) == smaller


def test_without_scripts_the_bars_tell_the_explanations_own_mask(explanation):
    page = explanation.report()
    for name, p in (("kept", explanation.probability), ("rest", explanation.probability_rest)):
        width = re.search(rf'id="bar-{name}" style="width: ([\d.]+)%"', page)[1]
        assert float(width) == pytest.approx(100 * p, abs=0.01)
        assert f'id="p-{name}">{p:.3f}<' in page


def test_without_settings_there_is_no_command():
    assert command_line(large()) is None
    assert "hold the settings that a command line needs" in large().report()


def test_a_stand_ins_engine_is_in_the_command():
    settings = {"model": "resnet50", "python_only": [], "engine": "openvino", "precision": "fp32"}
    settings["batch_size"] = 4
    made = SimpleNamespace(
        settings=settings, target=3, target_name="newt", seed=0, reference=object()
    )
    assert command_line(made).endswith(
        "--target 'class 3' --engine openvino --precision fp32 --batch-size 4 --seed 0"
    )
    made.settings = {**settings, "engine": "torch"}
    made.reference = None  # the model itself, which needs no naming
    assert command_line(made).endswith("--target 'class 3' --batch-size 4 --seed 0")


def test_the_slider_shows_the_models_own_numbers(image):
    explainer = Explainer(stand_in(), segments="grid:n_segments=4", fill="black", budget=60)
    explanation = explainer.explain(image, target=1)
    own = explainer.evaluator(image, target=1).reference
    points = facts_of(explanation.report())["points"]
    assert any(point["rest"] is not None for point in points)
    for point in points:
        mask = np.array([bit == "1" for bit in point["mask"]])
        if point["rest"] is not None:
            assert point["rest"] == pytest.approx(own.probabilities(~mask[None])[0], abs=1e-5)


@pytest.mark.parametrize(("most", "said"), [(1e-5, True), (0, True), (2, False)])
def test_a_heat_map_makes_nothing_of_noise(explanation, most, said):
    e = dataclasses.replace(explanation, attribution=np.linspace(-most, most, 16))
    page = e.report()
    assert ("No superpixel was found to matter" in page) == said
    assert ("speaks for: +0.05" in page) == said
    colours = facts_of(page)["colours"]
    assert all(min(rgb(colour)) > 230 for colour in colours) == said


def rgb(colour):
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def test_the_honesty_table(explanation):
    rows = {row.shown: row.probability for row in model_rows(explanation)}
    e = explanation
    assert rows["full view"] == pytest.approx(e.probability_full)
    assert rows["kept part"] == pytest.approx(e.probability)
    assert rows["the rest"] == pytest.approx(e.probability_rest)
    assert rows["nothing"] == pytest.approx(e.probability_empty)
    for name, p in e.checks.fills.items():
        assert rows[f"kept part, fill {name}"] == pytest.approx(p)
    n = len(e.checks.random)
    assert rows[f"{n} random masks of size {e.size}, mean"] == pytest.approx(e.checks.random.mean())


def test_one_explanation_stands_for_all_fills(explanation):
    meanings = [row.meaning for row in model_rows(explanation) if "part, fill" in row.shown]
    assert meanings == ["If low under another fill, the answer leans on black.", "", ""]


def test_where_all_is_kept_no_row_shows_the_full_view_again(explanation):
    everything = dataclasses.replace(explanation, mask=np.ones(16, bool))
    rows = [row.shown for row in model_rows(everything)]
    assert rows == ["full view", "kept part", "the rest", "nothing"]


def test_what_was_not_asked_is_called_so(explanation):
    nothing = Checks(float("nan"), {}, np.zeros(0), np.full(16, np.nan))
    blank = dataclasses.replace(explanation, checks=nothing, probability_empty=float("nan"))
    rows = {row.shown: row.probability for row in model_rows(blank)}
    assert rows["the rest"] is rows["nothing"] is None
    assert rows[f"any random masks of size {blank.size}, mean"] is None
    assert "not asked" in blank.report()
    answers = dict(sentences(blank, None))
    assert answers["Could anything be dropped?"].startswith(
        "Not known: when the budget ended, 0 of"
    )
    assert "--seeds 5" in answers["Do other seeds agree?"]


@pytest.mark.parametrize(("p", "answer"), [(0.0, "No. "), (1.0, "Yes. ")])
def test_minimality_in_words(explanation, p, answer):
    dropped = np.where(explanation.mask, p, np.nan)
    checks = Checks(0.1, {}, np.zeros(0), dropped)
    changed = dataclasses.replace(explanation, checks=checks)
    assert dict(sentences(changed, None))["Could anything be dropped?"].startswith(answer)


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ([3], "Superpixel 3 could"),
        ([3, 9], "Superpixel 3 or 9 could"),
        ([0, 1, 2, 3, 4], "Superpixel 0, 1, 2, 3 or 4 could"),
        (range(6), "Superpixel 0, 1, 2, 3, 4 or 5 could"),
        (range(7), "Superpixel 0, 1, 2, 3, 4 or any of 2 others could"),
    ],
)
def test_what_could_be_dropped_is_named(explanation, numbers, named):
    dropped = np.full(explanation.n_segments, np.nan)
    dropped[list(numbers)] = 1.0
    changed = dataclasses.replace(explanation, checks=Checks(0.1, {}, np.zeros(0), dropped))
    assert named in dict(sentences(changed, None))["Could anything be dropped?"]


def test_seeds_that_agree(make_explainer, image):
    agreed = consensus(make_explainer(budget=60), image, seeds=3)
    explanation = agreed.explanations[0]
    page = explanation.report(consensus=agreed)
    assert f"masks of 3 seeds overlap by {agreed.jaccard:.2f}" in page
    told = [one["seeds"] for one in facts_of(page)["superpixels"]]
    assert told == [f"{round(3 * share)} of 3" for share in agreed.kept]
    assert facts_of(explanation.report())["superpixels"][0]["seeds"] is None


def test_the_command_asks_for_as_many_seeds():
    agreed = consensus(Explainer("demo", budget=20, device="cpu"), creature(0).image, seeds=2)
    page = agreed.explanations[0].report(consensus=agreed)
    assert "--seed 0 --seeds 2" in html_text(page)
    assert "--seeds 2" not in html_text(agreed.explanations[0].report())


def test_agreement_counts(explanation):
    kept = np.array([1.0] * 2 + [0.5] * 3 + [0.0] * 11)
    agreed = Consensus([explanation] * 2, kept, kept, kept, 0.4)
    words = dict(sentences(explanation, agreed))["Do other seeds agree?"]
    assert "2 seeds overlap by 0.40" in words
    assert "Of 5 superpixels that any of them keeps, all of them keep 2." in words


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=6))
def test_runs_give_the_label_map_back(rows):
    segments = np.array(rows, np.int32)
    runs = label_runs(segments)
    again = np.repeat(runs[::2], runs[1::2])
    assert (again == segments.ravel()).all()
    assert (np.diff(runs[::2]) != 0).all()


def test_labels_are_reduced_to_the_nearest():
    segments = np.arange(12, dtype=np.int32).reshape(3, 4)
    assert (fit_labels(segments, (3, 4)) == segments).all()
    assert (fit_labels(segments, (6, 8)) == segments.repeat(2, 0).repeat(2, 1)).all()


@pytest.mark.parametrize(("side", "kind"), [(24, "png"), (500, "jpeg")])
def test_pictures_inside_a_page(side, kind):
    picture = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    head, _, data = data_uri(picture).partition(",")
    assert head == f"data:image/{kind};base64"
    with PILImage.open(io.BytesIO(base64.b64decode(data))) as again:
        assert again.size == (side, side)
        assert kind == "jpeg" or (np.asarray(again) == picture).all()


def test_thumbnails_are_small(explanation):
    data = thumbnail(explanation.view, explanation.segments, explanation.mask)
    with PILImage.open(io.BytesIO(data)) as picture:
        assert picture.size == (24, 24)
    big = large()
    with PILImage.open(io.BytesIO(thumbnail(big.view, big.segments, big.mask))) as picture:
        assert picture.size == (256, 256)


def test_charts_share_no_ids(explanation):
    ids = re.findall(r'\bid="([^"]+)"', explanation.report())
    assert len(ids) == len(set(ids))


def test_rows_of_a_gallery():
    rows = [{"image": "a.jpg", "probability": float("nan"), "size": 3, "saved": "my run/a.npz"}]
    fact = facts_of(gallery_page(rows, "run"))["rows"][0]
    assert (fact["probability"], fact["probability_full"], fact["size"]) == (None, None, 3)
    assert fact["command"] == "deap-xai report 'my run/a.npz'"
    assert "1 explanation<" in gallery_page(rows, "run")
    many = gallery_page(rows, "run", [(f"{n}.jpg", "damaged") for n in range(300)])
    assert "300 images failed" in many
    assert "199.jpg" in many
    assert "200.jpg" not in many
