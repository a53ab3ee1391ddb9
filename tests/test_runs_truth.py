"""A run's table says what its files hold, whatever ended or disturbed it."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import CellModel
from PIL import Image as PILImage

import deap_xai as dx
from deap_xai.errors import RunError, SettingError
from deap_xai.files import part_of, write_whole
from deap_xai.runs import run as running
from deap_xai.runs.folder import Failure, RunFolder
from deap_xai.runs.items import list_items

SMALL = {"segments": "grid:n_segments=16", "fill": "black", "budget": 30, "workers": 1}


@pytest.fixture
def frames(tmp_path, image):
    """A folder of two pictures whose files have the same size, whatever they show."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, name in enumerate(("a.bmp", "b.bmp")):
        PILImage.fromarray(np.roll(image, number, axis=0)).save(folder / name)
    return folder


def explain(frames, out):
    return dx.batch(frames, CellModel(), out, **SMALL)


def rows(out):
    return {row["image"]: row for row in pq.read_table(out / "results.parquet").to_pylist()}


def test_a_changed_pictures_row_goes_before_its_file(frames, tmp_path, image, monkeypatch):
    out = tmp_path / "run"
    explain(frames, out)
    PILImage.fromarray(255 - image).save(frames / "a.bmp")
    items = list_items(frames, out)[1]

    def killed(self, missing_ok=False):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        running._todo(RunFolder(out), items)
    monkeypatch.undo()
    assert list(rows(out)) == ["b.bmp"]
    assert explain(frames, out).earlier == 1
    digest = hashlib.sha256((frames / "a.bmp").read_bytes()).hexdigest()
    assert rows(out)["a.bmp"]["sha256"] == digest


def test_a_folder_that_takes_anothers_name_is_looked_into(frames, tmp_path, image):
    other, out = tmp_path / "other", tmp_path / "run"
    other.mkdir()
    for name in ("a.bmp", "b.bmp"):
        PILImage.fromarray(255 - image).save(other / name)
    explain(frames, out)
    before = rows(out)
    frames.rename(tmp_path / "old")
    time.sleep(0.02)
    other.rename(frames)
    assert explain(frames, out).earlier == 0
    assert all(rows(out)[name]["sha256"] != before[name]["sha256"] for name in before)
    assert explain(frames, out).earlier == 2


def test_paths_mean_something_else_from_another_folder(frames, tmp_path, monkeypatch):
    monkeypatch.chdir(frames)
    explain(["a.bmp"], tmp_path / "run")
    (tmp_path / "old").mkdir()
    monkeypatch.chdir(tmp_path / "old")
    with pytest.raises(RunError, match=r"images: there 'paths from .*frames', now 'paths from"):
        explain(["a.bmp"], tmp_path / "run")


@pytest.mark.parametrize("content", [b"", b"half a file"])
def test_a_damaged_explanation_is_made_again(frames, tmp_path, content):
    out = tmp_path / "run"
    explain(frames, out)
    file = next((out / "explanations").glob("a-*.npz"))
    good = file.read_bytes()
    file.write_bytes(content)
    assert explain(frames, out).earlier == 1
    assert len(file.read_bytes()) > len(good) / 2


def test_only_explanations_count_as_explanations(frames, tmp_path):
    out = tmp_path / "run"
    explain(frames, out)
    file = next((out / "explanations").glob("a-*.npz"))
    file.with_suffix(".html").write_text("its page")
    file.unlink()
    assert RunFolder(out).table()["image"].to_pylist() == ["b.bmp"]
    assert explain(frames, out).earlier == 1


def test_what_another_process_may_be_writing_is_left_alone(frames, tmp_path):
    out = tmp_path / "run"
    explain(frames, out)
    fresh, old = (out / "explanations" / f".{name}.1.part" for name in "ab")
    for part in (fresh, old):
        part.write_text("half")
    os.utime(old, (0, 0))
    explain(frames, out)
    assert fresh.exists()
    assert not old.exists()


def test_a_name_with_a_carriage_return_fails_in_one_row(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.opened({}, ""):
        pass
    failure = Failure("x-1", "odd\rname.png", "ImageError", "why")
    for _ in range(2):
        folder.fail(failure)
        assert folder.failures() == {"x-1": failure}
        folder.tidy_failures({"x-1"})


def test_a_summary_of_a_folder_without_explanations(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with folder.opened({}, ""):
        pass
    folder.explanations.rmdir()
    with pytest.raises(SettingError, match="has no explanation yet"):
        dx.summary(folder.path)


@pytest.mark.parametrize(
    ("label", "names", "right"),  # of a model that always says its first class
    [
        ("frog", ["frog", "toad"], True),
        ("Tree_Frog", ["tree frog", "toad"], True),
        ("0", ["frog", "toad"], True),
        ("00", ["frog", "toad"], True),
        ("1", ["frog", "toad"], False),
        ("0", ["10", "0"], False),  # classes called by numbers: it is the other's name
        ("cardigan", ["Cardigan", "cardigan"], False),  # the garment, the dog
        ("Cardigan", ["Cardigan", "cardigan"], True),
        ("1", ["Cardigan", "cardigan"], False),
        ("class 1", ["class 1", "class 0"], True),
        ("class 0", ["class 1", "class 0"], False),
        ("0", ["crane", "crane"], True),
        ("1", ["crane", "crane"], False),
        ("0", None, True),
        ("1", None, False),
    ],
)
def test_what_label_is_what_class(tmp_path, image, label, names, right):
    PILImage.fromarray(image).save(tmp_path / "a.png")
    (tmp_path / "all.csv").write_text(f"path,label\na.png,{label}\n")
    always = lambda views: np.full((len(views), 2), [0.9, 0.1])  # noqa: E731
    how = {"segments": "grid:n_segments=4", "budget": 12, "workers": 1, "class_names": names}
    dx.batch(tmp_path / "all.csv", always, tmp_path / "run", **how)
    assert dx.summary(tmp_path / "run").classes[0].right == right


def test_classes_of_one_name_are_told_apart(tmp_path, image):
    for name, picture in (("a", image), ("b", image // 9), ("c", image // 9)):
        PILImage.fromarray(picture).save(tmp_path / f"{name}.png")

    def bright(views):
        p = views.max(axis=(1, 2, 3)) / 255
        return np.stack([p, 1 - p], axis=1)

    how = {"segments": "grid:n_segments=4", "budget": 12, "workers": 1}
    dx.batch(tmp_path, bright, tmp_path / "run", class_names=["crane", "crane"], **how)
    found = [(c.name, c.pictures) for c in dx.summary(tmp_path / "run").classes]
    assert found == [("all", 3), ("crane (1)", 2), ("crane (0)", 1)]


def test_a_name_as_long_as_the_disk_allows(tmp_path):
    longest = Path(tmp_path / ("x" * 251 + ".npz"))
    assert write_whole(longest, b"1").read_bytes() == b"1"
    assert [path.name for path in tmp_path.iterdir()] == [longest.name]
    assert len(part_of(longest).name) < 60


def test_what_is_no_path_is_said(tmp_path, image):
    pandas = pytest.importorskip("pandas")
    with pytest.raises(SettingError, match="images is a table; give its file"):
        explain(pandas.DataFrame({"path": ["a.png"]}), tmp_path / "run")
    with pytest.raises(SettingError, match=r"is ndarray; expected its path.* Explainer.explain"):
        explain([image], tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", [list, tuple, np.array, pd.Index, pd.Series])
def test_names_of_classes_are_part_of_what_a_run_is(tmp_path, image, kind):
    PILImage.fromarray(image).save(tmp_path / "a.png")
    how = {"segments": "grid:n_segments=4", "budget": 12, "workers": 1}
    for _ in range(2):
        names = kind([str(name) for name in ("cat", "dog")])
        dx.batch(tmp_path, CellModel(), tmp_path / "run", class_names=names, **how)
    with pytest.raises(RunError, match="holds a run with other settings"):
        dx.batch(tmp_path, CellModel(), tmp_path / "run", class_names=kind(["dog", "cat"]), **how)
