"""Pages from files and from the shell: what is written where, and what is refused."""

from __future__ import annotations

import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image as PILImage
from test_cli import folder, only_line, run  # noqa: F401  # folder is a fixture
from test_pages import facts_of

from deap_xai import cli
from deap_xai.errors import SettingError
from deap_xai.explanation import Explanation
from deap_xai.report import report_file, report_run


def report(*args):
    return CliRunner().invoke(cli.main, ["report", *map(str, args)])


@pytest.fixture
def finished(tmp_path, make_explainer, image):
    """A run's folder, as ``deap-xai batch`` leaves it, with three images of which one failed."""
    made = tmp_path / "my run"
    (made / "explanations").mkdir(parents=True)
    rows = []
    for number in range(2):
        explanation = make_explainer(budget=40, seed=number).explain(image)
        explanation.save(made / "explanations" / f"id{number}.npz")
        facts = explanation.to_dict()
        row = {key: facts[key] for key in ("target_name", "probability", "size", "warnings")}
        rows.append({"id": f"id{number}", "image": f"photos/frog {number}.jpg", **row})
    pq.write_table(pa.Table.from_pylist(rows), made / "results.parquet")
    failed = "id,image,error,reason\nid9,photos/bad.jpg,ImageError,it seems damaged\n"
    (made / "failures.csv").write_text(failed)
    return made


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
    assert "masks of 3 seeds overlap" in (folder / "frog.html").read_text()
    facts = json.loads(run("frog.png", "--seeds", "2", "--json").stdout)
    assert facts["consensus"]["seeds"] == 2
    assert len(facts["consensus"]["kept"]) == 16
    assert "1 is not in the range" in only_line(run("frog.png", "--seeds", "1"), 2)
    assert "consensus" not in json.loads(run("frog.png", "--json").stdout)


def test_a_saved_explanation_gives_its_page(explanation, tmp_path):
    saved = explanation.save(tmp_path / "frog.npz")
    result = report(saved)
    assert (result.exit_code, result.stdout) == (0, f"wrote {tmp_path / 'frog.html'}\n")
    assert (tmp_path / "frog.html").read_text() == explanation.report()
    assert report(saved, "--out", tmp_path / "new" / "page.html").exit_code == 0
    assert (tmp_path / "new" / "page.html").exists()


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
        (["."], 1, "expected a folder that deap-xai batch wrote"),
        (["frog.npz", "--out", "frog.png/x.html"], 1, "can't write to frog.png"),
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
    assert [row["image"] for row in rows] == ["photos/frog 0.jpg", "photos/frog 1.jpg"]
    assert all("None" not in str(row["probability"]) for row in rows)
    assert "1 image failed" in text
    assert "it seems damaged" in text
    assert "my run" in text
    for row in rows:
        with PILImage.open(page.parent / row["thumbnail"]) as picture:
            assert picture.size == (24, 24)
    command = rows[0]["command"]
    assert command == f"deap-xai report '{finished / 'explanations' / 'id0.npz'}'"


def test_pictures_are_drawn_once(finished, tmp_path):
    page = report_run(finished, tmp_path / "page.html")
    picture = tmp_path / "page-pictures" / "id0.jpg"
    drawn = picture.stat().st_mtime_ns
    report_run(finished, page)
    assert picture.stat().st_mtime_ns == drawn
    saved = finished / "explanations" / "id0.npz"
    os.utime(saved, ns=(drawn + 10, drawn + 10))  # explained anew
    report_run(finished, page)
    assert picture.stat().st_mtime_ns > drawn


def test_one_lost_explanation_costs_one_picture(finished, tmp_path):
    (finished / "explanations" / "id0.npz").write_bytes(b"damaged")
    (finished / "failures.csv").unlink()
    text = report_run(finished, tmp_path / "page.html").read_text()
    lost, there = facts_of(text)["rows"]
    assert lost["thumbnail"] is None
    assert "can't read an explanation from" in lost["warnings"][0]
    assert there["thumbnail"] == "page-pictures/id1.jpg"
    assert "failed" not in text.partition("<style>")[0] + text.partition("</style>")[2]


def test_ids_stay_in_their_folder(tmp_path):
    (tmp_path / "run").mkdir()
    rows = [{"id": "../../secret", "image": "a.jpg"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "run" / "results.parquet")
    text = report_run(tmp_path / "run", tmp_path / "page.html").read_text()
    command = facts_of(text)["rows"][0]["command"]
    assert command.endswith("run/explanations/secret.npz")


def test_tables_of_something_else(tmp_path):
    pq.write_table(pa.Table.from_pylist([{"a": 1}]), tmp_path / "results.parquet")
    with pytest.raises(SettingError, match="has the columns a; expected id and image"):
        report_run(tmp_path, tmp_path / "page.html")
    (tmp_path / "results.parquet").write_bytes(b"no table")
    with pytest.raises(SettingError, match=r"can't read .*results\.parquet: "):
        report_run(tmp_path, tmp_path / "page.html")
    (tmp_path / "results.parquet").unlink()
    with pytest.raises(SettingError, match=r"there is no .*results\.parquet; expected a folder"):
        report_run(tmp_path, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_no_explanation_is_needed_twice(finished):
    """What a card's command makes is the explanation's own page."""
    saved = finished / "explanations" / "id1.npz"
    assert report(saved).exit_code == 0
    assert saved.with_suffix(".html").read_text() == Explanation.load(saved).report()
