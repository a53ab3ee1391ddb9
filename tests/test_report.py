"""Pages from files and from the shell: what is written where, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage
from test_cli import folder, only_line, run  # noqa: F401  # folder is a fixture
from test_pages import facts_of

import deap_xai as dx
from deap_xai import cli
from deap_xai.errors import SettingError
from deap_xai.explanation import Explanation
from deap_xai.report import report_file, report_run
from deap_xai.runs.folder import Failure, RunFolder
from deap_xai.runs.rows import SCHEMA


def report(*args):
    return CliRunner().invoke(cli.main, ["report", *map(str, args)])


@pytest.fixture
def finished(tmp_path, image, model):
    """A run's folder, with three images of which one failed."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(2):
        PILImage.fromarray(image[:, ::-1] if number else image).save(photos / f"frog {number}.png")
    (photos / "bad.jpg").write_bytes(b"no picture")
    settings = {"segments": "grid:n_segments=16", "fill": "black", "budget": 40, "workers": 1}
    return dx.batch(photos, model, tmp_path / "my run", **settings).folder


def explanations(run):
    """Paths of a run's explanations, in the order of its images."""
    return [run / "explanations" / f"{key}.npz" for key in RunFolder(run).table()["id"].to_pylist()]


# One explanation, in the shell.


def test_explain_writes_a_page(folder):  # noqa: F811
    result = run("frog.png", "--report", "new/frog.html")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("frog.png: class 1\n")
    assert result.stderr == "wrote new/frog.html\n"
    text = (folder / "new" / "frog.html").read_text()
    assert "frog.png" in text
    # The model was named in the shell, so the shell can repeat it.
    assert "<span>cell_models:classify</span>" in text


def test_file_names_that_are_no_text(folder):  # noqa: F811
    name = os.fsdecode(b"fr\xf6g.png")
    (folder / "frog.png").rename(name)
    result = run(name, "--report", "frog.html", "--quiet")
    assert result.exit_code == 0, result.output
    assert "fr&#56566;g.png" in (folder / "frog.html").read_text()


def test_several_images_need_a_folder(folder):  # noqa: F811
    message = only_line(run("frog.png", "toad.png", "--report", "pages.html"), 2)
    assert "names one page for 2 images; name a folder, such as --report pages" in message
    assert run("frog.png", "toad.png", "--report", "pages").exit_code == 0
    assert sorted(path.name for path in (folder / "pages").iterdir()) == ["frog.html", "toad.html"]
    assert run("frog.png", "--report", "pages").exit_code == 0  # a folder that is there


def test_where_no_page_can_be_written_nothing_is_searched(folder):  # noqa: F811
    import sys

    assert "can't write to frog.png" in only_line(run("frog.png", "--report", "frog.png/x.html"), 1)
    assert sys.modules["cell_models"].classify.images == 0


def test_seeds_are_compared(folder):  # noqa: F811
    result = run("frog.png", "--seeds", "3", "--report", "frog.html", "--quiet")
    assert result.exit_code == 0, result.output
    assert "\n  3 seeds overlap by " in result.stdout
    one, every = re.findall(r"(\d+) model calls in", result.stdout)
    assert int(every) == 3 * int(one)  # no fewer masks than there are calls
    assert "masks of 3 seeds overlap" in (folder / "frog.html").read_text()
    facts = json.loads(run("frog.png", "--seeds", "2", "--json").stdout)
    assert facts["consensus"]["seeds"] == 2
    consensus = np.array([facts["consensus"][name] for name in ("low", "kept", "high")])
    assert consensus.shape == (3, 16)
    assert (np.diff(consensus, axis=0) >= 0).all()
    assert "1 is not in the range" in only_line(run("frog.png", "--seeds", "1"), 2)
    assert "consensus" not in json.loads(run("frog.png", "--json").stdout)


def test_a_saved_explanation_gives_its_page(explanation, tmp_path):
    saved = explanation.save(tmp_path / "frog.npz")
    result = report(saved)
    assert (result.exit_code, result.stdout) == (0, f"wrote {tmp_path / 'frog.html'}\n")
    assert (tmp_path / "frog.html").read_text() == explanation.report()
    assert report(saved, "--out", tmp_path / "new" / "page.html").exit_code == 0
    assert (tmp_path / "new" / "page.html").exists()
    other = report(saved, "--out", tmp_path / "fresh" / "page.txt")
    assert other.exit_code == 1
    assert "a page is HTML; got" in other.stderr
    assert not (tmp_path / "fresh").exists()


def test_an_explanation_of_a_run_knows_its_image(explanation, tmp_path):
    explanation.settings["image"] = {"image": "photos/frog.jpg", "id": "x"}
    saved = explanation.save(tmp_path / "x.npz")
    text = report_file(saved, tmp_path / "x.html").read_text()
    assert '<p class="kicker">frog.jpg, classified by' in text


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["nowhere.npz"], 2, "does not exist"),
        (["bad.png"], 1, "can't read an explanation from bad.png"),
        (["."], 1, "expected a folder that deap-xai batch made"),
        (["frog.npz", "--out", "frog.png/x.html"], 1, "can't write frog.png/x.html: "),
        (["frog.npz", "--out", "."], 2, "is a directory"),
        ([], 2, "Missing argument"),
    ],
)
def test_errors_are_one_line(folder, explanation, args, code, message):  # noqa: F811
    explanation.save("frog.npz")
    assert message in only_line(report(*args), code)


def test_a_full_disk_is_one_line(explanation, tmp_path, monkeypatch):
    saved = explanation.save(tmp_path / "frog.npz")

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    assert "frog.html: No space left on device" in only_line(report(saved), 1)


# A run.


def test_a_run_gives_a_gallery(finished):
    result = report(finished)
    page = finished / "report" / "index.html"
    assert (result.exit_code, result.stdout) == (0, f"wrote {page}\n")
    text = page.read_text()
    rows = facts_of(text)["rows"]
    assert [row["image"] for row in rows] == ["frog 0.png", "frog 1.png"]
    for row, saved in zip(rows, explanations(finished), strict=True):
        assert row["probability"] == pytest.approx(Explanation.load(saved).probability, abs=1e-5)
    assert "1 image failed" in text
    assert "bad.jpg" in text
    assert "my run" in text
    for row in rows:
        with PILImage.open(page.parent / row["thumbnail"]) as picture:
            assert picture.size == (24, 24)
    assert rows[0]["command"] == f"deap-xai report '{explanations(finished)[0]}'"


def test_a_page_may_have_a_name_that_is_no_utf8(finished, tmp_path):
    page = os.fsdecode(os.fsencode(tmp_path / "caf") + b"\xe9.html")
    result = report(finished, "--out", page)
    assert result.exit_code == 0, result.output
    row = facts_of(Path(page).read_text())["rows"][0]
    assert row["thumbnail"].startswith("caf%E9-pictures/")


def test_the_gallery_of_a_killed_run(finished, tmp_path):
    """Its table is older than its explanations, and what failed may be explained by now."""
    killed = RunFolder(finished)
    first = killed.table().to_pylist()[0]
    killed.table_file.unlink()
    killed.fail(Failure(first["id"], first["image"], "ImageError", "it seemed damaged"))
    for _ in range(2):
        killed.fail(Failure("gone", "gone.jpg", "ImageError", "nothing there"))
    text = report_run(finished, tmp_path / "page.html").read_text()
    assert [row["image"] for row in facts_of(text)["rows"]] == ["frog 0.png", "frog 1.png"]
    assert "it seemed damaged" not in text
    assert text.count("gone.jpg") == 1


def pictures(run, page):
    """The page's pictures, in the order of its images."""
    rows = facts_of(report_run(run, page).read_text())["rows"]
    return [page.parent / row["thumbnail"] for row in rows]


def test_pictures_are_drawn_once(finished, tmp_path):
    page = tmp_path / "page.html"
    first, second = pictures(finished, page)
    first.write_bytes(b"drawn")
    assert pictures(finished, page) == [first, second]
    assert first.read_bytes() == b"drawn"
    e, saved = Explanation.load(explanations(finished)[1]), explanations(finished)[0]
    time = saved.stat().st_mtime_ns
    e.save(saved)  # explained anew
    os.utime(saved, ns=(time + 10, time + 10))  # long before the picture was drawn
    anew, same = pictures(finished, page)
    assert anew.read_bytes() == same.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("moved", [False, True])
def test_a_gallery_shows_its_own_runs_pictures(finished, tmp_path, moved):
    """Where another run's of the same images was, newer than what this one explains."""
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    before = RunFolder(finished).table()["id"].to_pylist()
    for saved, twin in zip(explanations(other), explanations(finished)[::-1], strict=True):
        e = Explanation.load(twin)
        e.settings["image"]["id"] = saved.stem
        e.save(saved)
        os.utime(saved, (0, 0))
    own = [picture.read_bytes() for picture in pictures(other, tmp_path / "fresh" / "page.html")]
    page = tmp_path / "page.html"
    assert [picture.read_bytes() for picture in pictures(finished, page)] == own[::-1]
    if moved:
        shutil.rmtree(finished)
        other.rename(finished)
    run = finished if moved else other
    assert RunFolder(run).table()["id"].to_pylist() == before
    assert [picture.read_bytes() for picture in pictures(run, page)] == own


def test_one_lost_explanation_costs_one_picture(finished, tmp_path):
    first, second = explanations(finished)
    first.write_bytes(b"damaged")
    (finished / "failures.csv").unlink()
    text = report_run(finished, tmp_path / "page.html").read_text()
    lost, there = facts_of(text)["rows"]
    assert lost["thumbnail"] is None
    assert "can't read an explanation from" in lost["warnings"][0]
    assert there["thumbnail"].startswith(f"page-pictures/{second.stem}-")
    assert "failed" not in text.partition("<style>")[0] + text.partition("</style>")[2]


def test_ids_stay_in_their_folder(finished, tmp_path):
    """Neither a table nor an explanation of somebody else's leads out of the run."""
    run, (first, _) = RunFolder(finished), explanations(finished)
    rows = run.table().to_pylist()
    run.write(pa.Table.from_pylist([{**rows[1], "id": "../../secret"}], SCHEMA))
    e = Explanation.load(first)
    e.settings["image"]["id"] = "../../secret"
    e.save(first)
    page = report_run(finished, tmp_path / "page.html")
    commands = [row["command"] for row in facts_of(page.read_text())["rows"]]
    assert commands == [f"deap-xai report '{path}'" for path in explanations(finished)]
    assert not any("secret" in command for command in commands)


def test_no_run_no_page(tmp_path):
    with pytest.raises(SettingError, match="expected a folder that deap-xai batch made"):
        report_run(tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_a_gallery_is_no_other_kind_of_file(finished, tmp_path):
    result = report(finished, "--out", tmp_path / "x" / "a.txt")
    assert "a page is HTML; got" in only_line(result, 1)
    assert not (tmp_path / "x").exists()


def test_no_explanation_is_needed_twice(finished):
    """What a card's command makes is the explanation's own page."""
    saved = explanations(finished)[1]
    assert report(saved).exit_code == 0
    assert saved.with_suffix(".html").read_text() == Explanation.load(saved).report(
        image="frog 1.png"
    )


def test_classes_of_one_name_stay_apart(finished, model):
    photos = finished.parent / "photos"
    (photos / "two.csv").write_text("path,target\nfrog 0.png,0\nfrog 1.png,1\n")
    settings = {"segments": "grid:n_segments=16", "fill": "black", "budget": 20, "workers": 1}
    run = dx.batch(
        photos / "two.csv", model, photos / "run", class_names=["crane", "crane"], **settings
    ).folder
    assert report(run).exit_code == 0
    rows = facts_of((run / "report" / "index.html").read_text())["rows"]
    assert [row["target"] for row in rows] == ["crane (0)", "crane (1)"]
