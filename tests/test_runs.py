"""Runs in one process: what is explained, the run's folder, going on, failures, errors."""

from __future__ import annotations

import _thread
import csv
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import CellModel, cell_probability
from PIL import Image as PILImage

import deap_xai as dx
from deap_xai.backends.function import FunctionBackend
from deap_xai.backends.torch_module import TorchBackend
from deap_xai.errors import BackendError, ImageError, RunError, SettingError
from deap_xai.explanation import Explanation
from deap_xai.files import part_of
from deap_xai.runs import Tally
from deap_xai.runs import run as running
from deap_xai.runs.folder import Failure, RunFolder
from deap_xai.runs.items import list_items
from deap_xai.runs.rows import SCHEMA
from deap_xai.runs.settings import run_settings, settings_hash
from deap_xai.runs.worker import image_seed, packed

SMALL = {"segments": "grid:n_segments=16", "fill": "black", "budget": 30, "workers": 1}


@pytest.fixture
def pictures(tmp_path, image):
    """Four pictures, one in a sub-folder and two of one name; a broken one and a text."""
    folder = tmp_path / "pictures"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(["b.png", "a.png", "sub/a.png", "c.PNG"]):
        PILImage.fromarray(np.roll(image, number, axis=0)).save(folder / name, format="PNG")
    (folder / "bad.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("b.png\n\n# all of them\nsub/a.png\nb.png\n")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def table(run, *without):
    return pq.read_table(Path(run) / "results.parquet").drop_columns(["seconds", *without])


def names(run):
    return table(run)["image"].to_pylist()


def state(folder):
    """Every file of a folder with its content's hash and when it was written."""
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in Path(folder).glob("*.npz")
    }


def test_a_folder_with_its_sub_folders(pictures, tmp_path):
    tally = dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)
    assert tally == Tally(tmp_path / "run", total=5, explained=4, failed=1, earlier=0)
    assert names(tmp_path / "run") == ["a.png", "b.png", "c.PNG", "sub/a.png"]
    with (tmp_path / "run" / "failures.csv").open(newline="") as file:
        [failure] = csv.DictReader(file)
    assert (failure["image"], failure["error"]) == ("bad.jpg", "ImageError")
    assert "is not an image that Pillow knows" in failure["reason"]


def test_each_row_is_its_files_explanation(pictures, tmp_path):
    dx.batch(pictures, CellModel(), tmp_path / "run", class_names=["other", "frog"], **SMALL)
    rows = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    for row in rows:
        e = Explanation.load(tmp_path / "run" / "explanations" / f"{row['id']}.npz")
        for key in "probability probability_full size n_segments seed model_calls minimal".split():
            assert row[key] == getattr(e, key)
        keep = e.mask[e.segments]
        assert row["area"] == keep.mean()
        cells = keep.reshape(8, 3, 8, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(np.reshape(row["map"], (8, 8)), cells, atol=1e-6)
        np.testing.assert_allclose(row["colour"], e.view[keep].mean(axis=0), rtol=1e-5)
        enough = [p.size for p in e.front if p.probability >= 0.9 * e.probability_full]
        assert row["enough"] == min(enough)
        data = (pictures / row["image"]).read_bytes()
        assert (row["bytes"], row["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert row["seed"] == e.seed == image_seed(0, row["sha256"])
        assert row["target_name"] == ["other", "frog"][row["target"]]
        assert e.settings["image"]["image"] == row["image"]


def test_an_image_of_a_run_is_that_of_explain_with_its_seed(pictures, tmp_path):
    dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)
    row = table(tmp_path / "run").to_pylist()[0]
    settings = {key: value for key, value in SMALL.items() if key != "workers"}
    alone = dx.Explainer(CellModel(), seed=row["seed"], **settings).explain(pictures / row["image"])
    saved = Explanation.load(tmp_path / "run" / "explanations" / f"{row['id']}.npz")
    assert (alone.mask == saved.mask).all()
    assert (alone.archive.masks == saved.archive.masks).all()


def test_a_list_and_a_table(pictures, tmp_path):
    source, items = list_items(pictures / "notes.txt", tmp_path)
    assert source == str(pictures / "notes.txt")
    assert [item.image for item in items] == ["b.png", "sub/a.png"]  # each once, sorted
    (pictures / "all.csv").write_text(
        "\ufeffPath, label ,TARGET,more\nb.png,frog,1,x\nb.png,frog,0,y\na.png,toad,,z\n,,,\n"
    )
    settings = {**SMALL, "class_names": ["toad", "frog"]}
    dx.batch(pictures / "all.csv", CellModel(), tmp_path / "run", **settings)
    rows = table(tmp_path / "run").to_pylist()
    facts = [(row["image"], row["label"], row["asked"], row["target"]) for row in rows]
    assert facts == [
        ("a.png", "toad", None, 1),
        ("b.png", "frog", "0", 0),
        ("b.png", "frog", "1", 1),
    ]


def test_paths_one_by_one_may_be_outside(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(pictures)
    source, items = list_items(["a.png", pictures / "sub" / "a.png", "/else/x.png"], tmp_path)
    assert source == f"paths from {Path.cwd()}"
    assert [item.image for item in items] == ["/else/x.png", "a.png", "sub/a.png"]
    assert len({item.id for item in items}) == 3


def test_the_same_bytes_twice_are_two_rows_of_one_result(pictures, tmp_path):
    (pictures / "twin.png").write_bytes((pictures / "a.png").read_bytes())
    dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)
    rows = {row["image"]: row for row in table(tmp_path / "run", "id").to_pylist()}
    one, two = rows["a.png"], rows["twin.png"]
    assert {**one, "image": ""} == {**two, "image": ""}
    assert one["seed"] != rows["b.png"]["seed"]


def test_the_runs_own_folder_is_no_image(pictures):
    run = pictures / "run"
    dx.batch(pictures, CellModel(), run, **SMALL)
    PILImage.new("RGB", (9, 9)).save(run / "maps.png")
    assert dx.batch(pictures, CellModel(), run, **SMALL).total == 5


def test_another_run_below_the_folder_is_no_image(pictures):
    first, second = pictures / "sub" / "first", pictures / "second"
    dx.batch(pictures, CellModel(), first, **SMALL)
    (first / "report").mkdir()
    PILImage.new("RGB", (9, 9)).save(first / "report" / "p0.png")
    (pictures / "settings.json").write_text("{}")  # no run by itself
    assert dx.batch(pictures, CellModel(), second, **SMALL, seed=1).total == 5


def test_failures_that_a_spreadsheet_has_saved_anew(pictures, tmp_path):
    (pictures / "bad.jpg").rename(pictures / "n\u00e9.jpg")
    dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)
    file = tmp_path / "run" / "failures.csv"
    file.write_bytes(file.read_text(encoding="utf-8").encode("latin-1"))
    assert [one.image for one in RunFolder(tmp_path / "run").failures().values()] == ["n\ufffd.jpg"]
    assert dx.summary(tmp_path / "run").failed == 1
    assert dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL).failed == 1
    assert "n\u00e9.jpg" in file.read_text(encoding="utf-8")


def test_started_again_it_does_only_what_is_left(pictures, tmp_path):
    dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)
    before = state(tmp_path / "run" / "explanations")
    PILImage.new("RGB", (24, 24), "white").save(pictures / "bad.jpg")
    model = CellModel()
    tallies = []
    tally = dx.batch(pictures, model, tmp_path / "run", progress=tallies.append, **SMALL)
    assert (tally.explained, tally.failed, tally.earlier) == (5, 0, 4)
    assert [one.explained for one in tallies] == [4, 5]
    assert model.images <= 30
    after = state(tmp_path / "run" / "explanations")
    assert before.items() < after.items()
    assert not (tmp_path / "run" / "failures.csv").exists()  # what failed is explained by now


def test_one_core_means_this_very_process(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    model = CellModel()  # a worker would get a copy, and this one be asked nothing
    settings = {name: value for name, value in SMALL.items() if name != "workers"}
    assert dx.batch(pictures, model, tmp_path / "run", **settings).explained == 4
    assert model.images > 60


def test_an_image_that_changed_is_explained_anew(pictures, tmp_path, image):
    dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)
    PILImage.fromarray(image[:, ::-1] // 2).save(pictures / "a.png", compress_level=0)
    model = CellModel()
    assert dx.batch(pictures, model, tmp_path / "run", **SMALL).earlier == 3
    assert model.images > 0
    digest = hashlib.sha256((pictures / "a.png").read_bytes()).hexdigest()
    assert table(tmp_path / "run").to_pylist()[0]["sha256"] == digest
    assert names(tmp_path / "run") == ["a.png", "b.png", "c.PNG", "sub/a.png"]


def test_images_out_of_reach_keep_what_was_explained(pictures, tmp_path):
    """On a disk that isn't mounted just now, say."""
    dx.batch(pictures / "notes.txt", CellModel(), tmp_path / "run", **SMALL)
    before = state(tmp_path / "run" / "explanations")
    for name in ("b.png", "sub/a.png"):
        (pictures / name).rename(pictures / f"{name}.away")
    tally = dx.batch(pictures / "notes.txt", CellModel(), tmp_path / "run", **SMALL)
    assert (tally.explained, tally.failed, tally.earlier) == (2, 0, 2)
    assert state(tmp_path / "run" / "explanations") == before


def test_labels_are_those_given_last(pictures, tmp_path):
    for label in ("toad", "frog"):
        (pictures / "all.csv").write_text(f"path,label\na.png,{label}\n")
        model = CellModel()
        settings = {**SMALL, "class_names": ["toad", "frog"]}
        dx.batch(pictures / "all.csv", model, tmp_path / "run", **settings)
        assert table(tmp_path / "run")["label"].to_pylist() == [label]
    assert model.images == 0


@pytest.mark.parametrize(
    ("label", "names", "message"),
    [
        (
            "frg",
            ["toad", "frog"],
            r"^b\.png: label 'frg' is no class.*mean 'frog'\? \(leave the label",
        ),
        (
            "2",
            ["toad", "frog"],
            r"^b\.png: label '2' is no class of this model, which has 2 \(leave",
        ),
        ("frog", None, r"^b\.png: label 'frog': this model has no class names; give an index \("),
    ],
)
def test_a_label_that_is_no_class_is_told_before_anything_runs(
    pictures, tmp_path, label, names, message
):
    (pictures / "all.csv").write_text(f"path,label\na.png,1\nb.png,{label}\na.png,\n")
    model = CellModel()
    with pytest.raises(SettingError, match=message):
        dx.batch(pictures / "all.csv", model, tmp_path / "run", **{**SMALL, "class_names": names})
    assert model.images == 0
    assert not (tmp_path / "run").exists()


def test_what_a_process_died_over_comes_last(pictures, tmp_path):
    explained = []

    def look(tally):
        explained.append(set(state(tmp_path / "run" / "explanations")))

    dx.batch(pictures / "notes.txt", CellModel(), tmp_path / "run", **SMALL)
    whole = table(tmp_path / "run")
    first = whole["id"][0].as_py()
    for file in (tmp_path / "run" / "explanations").iterdir():
        file.unlink()
    (tmp_path / "run" / "running" / first).write_bytes(b"x")
    dx.batch(pictures / "notes.txt", CellModel(), tmp_path / "run", progress=look, **SMALL)
    assert [f"{first}.npz" in files for files in explained] == [False, False, True]
    assert table(tmp_path / "run").equals(whole)


def test_a_gpu_that_is_lost_ends_the_run_and_costs_no_image(pictures, tmp_path):
    lost = []

    def model(images):
        if lost or images[0, 0, 0].sum() == first:
            lost.append(True)
            raise RuntimeError("CUDA error: device-side assert triggered\nCompile with …")
        return CellModel()(images)

    with PILImage.open(pictures / "a.png") as picture:
        first = int(np.asarray(picture)[0, 0].sum())
    run = tmp_path / "run"
    with pytest.raises(RunError, match=r"GPU failed at a.png .*assert triggered.*with this image"):
        dx.batch(pictures, model, run, **SMALL)
    assert names(run) == []
    lost.clear()
    with pytest.raises(RunError, match=r"GPU failed at a.png"):
        dx.batch(pictures, model, run, **SMALL)
    assert names(run) == ["b.png", "c.PNG", "sub/a.png"]
    assert list(RunFolder(run).failures()) == [
        item.id for item in list_items(pictures, run)[1] if item.image == "bad.jpg"
    ]


def test_links_to_folders_are_followed_but_not_in_circles(pictures, tmp_path):
    (tmp_path / "other").mkdir()
    (pictures / "b.png").rename(tmp_path / "other" / "b.png")
    (pictures / "more").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(pictures)
    (pictures / "sub" / "here").symlink_to(".")
    _, items = list_items(pictures, tmp_path / "run")
    assert [i.image for i in items] == ["a.png", "bad.jpg", "c.PNG", "more/b.png", "sub/a.png"]


def test_a_folder_that_can_not_be_listed_is_told(pictures, tmp_path, monkeypatch):
    list_it = os.scandir

    def scandir(folder):
        if os.fspath(folder).endswith("sub"):
            raise PermissionError(13, "Permission denied", folder)
        return list_it(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(SettingError, match=r"can't look into the folder '.*sub': Permission"):
        list_items(pictures, tmp_path / "run")


def test_names_in_a_list_may_hold_any_letter(pictures, tmp_path):
    odd = "a\u2028b\x85.png"
    (pictures / "odd.txt").write_text(f"{odd}\r\nb.png\r\n", newline="")
    (pictures / "odd.csv").write_text(f"path\n{odd}\nb.png\n")
    for file in ("odd.txt", "odd.csv"):
        assert {i.image for i in list_items(pictures / file, tmp_path)[1]} == {odd, "b.png"}


@pytest.mark.parametrize("damage", ["no table", "a bad table", "an old table", "a bad file"])
def test_the_files_are_the_truth(pictures, tmp_path, damage):
    run = tmp_path / "run"
    dx.batch(pictures, CellModel(), run, **SMALL)
    whole = table(run)
    file = run / "explanations" / f"{whole['id'][0].as_py()}.npz"
    if damage == "no table":
        (run / "results.parquet").unlink()
    elif damage == "a bad table":
        (run / "results.parquet").write_bytes(b"PAR1")
    elif damage == "an old table":
        pq.write_table(pq.read_table(run / "results.parquet").slice(2), run / "results.parquet")
    else:
        (run / "results.parquet").unlink()
        file.write_bytes(file.read_bytes()[:99])
    model = CellModel()
    dx.batch(pictures, model, run, **SMALL)
    assert table(run).equals(whole)
    assert (model.images > 0) == (damage == "a bad file")


def test_a_deleted_explanation_is_made_again(pictures, tmp_path):
    run = tmp_path / "run"
    dx.batch(pictures, CellModel(), run, **SMALL)
    whole = table(run)
    (run / "explanations" / f"{whole['id'][1].as_py()}.npz").unlink()
    assert dx.batch(pictures, CellModel(), run, **SMALL).earlier == 3
    assert table(run).equals(whole)


def test_other_settings_are_refused_and_named(pictures, tmp_path):
    run = tmp_path / "run"
    dx.batch(pictures, CellModel(), run, **SMALL)
    before = state(run / "explanations")
    changed = {**SMALL, "budget": 31, "fill": "blur"}
    with pytest.raises(
        RunError, match=r"other settings .budget: there 30, now 31; fill: there 'black', now 'blur'"
    ):
        dx.batch(pictures, CellModel(), run, **changed)
    with pytest.raises(RunError, match="images: there "):
        dx.batch(pictures / "sub", CellModel(), run, **SMALL)
    with pytest.raises(RunError, match="seed: there 0, now 1"):
        dx.batch(pictures, CellModel(), run, seed=1, **SMALL)
    assert state(run / "explanations") == before


def test_settings_tell_contents_apart(tmp_path, segments):
    torch = pytest.importorskip("torch")

    def first(evaluator, masks):
        return masks[:, 0]

    def facts(model, **given):
        return run_settings(dx.Explainer(model, **given), "paths", model, given)

    one, two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert facts(one)["model"] == facts(two)["model"]
    assert facts(one) == facts(one) != facts(two)
    model = CellModel()
    assert facts(model, segments=segments) != facts(model, segments=segments.T.copy())
    assert facts(model, class_names=["a", "b"]) != facts(model, class_names=["b", "a"])
    by_weight = [facts(model, objectives=["probability", (first, w)]) for w in (-1.0, 1.0)]
    assert by_weight[0] != by_weight[1]
    transforms = pytest.importorskip("torchvision").transforms
    to_tensor = transforms.ToTensor()
    two = [transforms.Compose([transforms.Resize(s), to_tensor]) for s in (8, 9)]
    assert (
        facts(one, transform=two[0]) == facts(one, transform=two[0]) != facts(one, transform=two[1])
    )
    grounds = []
    for colour in ("red", "blue"):
        PILImage.new("RGB", (9, 9), colour).save(tmp_path / "ground.png")
        grounds.append(facts(model, fill=f"image:path={tmp_path / 'ground.png'}"))
    assert grounds[0] != grounds[1]
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"1")
    explainer = dx.Explainer(model)
    before = run_settings(explainer, "paths", model, {"weights": weights})
    weights.write_bytes(b"2")
    assert before != run_settings(explainer, "paths", model, {"weights": weights})


def test_a_folder_with_other_things_is_left_alone(pictures, tmp_path):
    with pytest.raises(RunError, match="holds other things, no run"):
        dx.batch(pictures, CellModel(), pictures / "sub", **SMALL)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.json").write_text(json.dumps({"format": 99, "settings": {}}))
    with pytest.raises(SettingError, match="another version"):
        dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)
    (tmp_path / "run" / "settings.json").write_text("{")
    with pytest.raises(SettingError, match=r"is no run: its settings.json can't be read"):
        dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"workers": 0}, SettingError, "workers must be a whole number of at least 1; got 0"),
        ({"model": "resnet_18"}, SettingError, "did you mean 'resnet18'"),
        ({"model": "nowhere:model"}, BackendError, "can't import nowhere:model"),
        ({"fill": "blurr"}, SettingError, "did you mean 'blur'"),
        ({"images": "nowhere"}, ImageError, "there is nothing at 'nowhere'"),
        ({"images": []}, ImageError, "no image in the paths given"),
        ({"cluster": "slurm", "workers": None}, SettingError, "unknown cluster 'slurm'"),
        ({"cluster": "dask"}, SettingError, "workers=1 and a cluster"),
        ({"address": "tcp://x"}, SettingError, "without a cluster; name dask or ray"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_written(
    pictures, tmp_path, change, error, message
):
    given = {"images": pictures, "model": CellModel(), "out": tmp_path / "run", **SMALL, **change}
    with pytest.raises(error, match=message):
        dx.batch(**given)
    assert not (tmp_path / "run").exists()


def test_lists_that_can_not_be_read(tmp_path):
    (tmp_path / "x.csv").write_text("file,label\na.png,b\n")
    with pytest.raises(SettingError, match="has the columns file, label; expected one"):
        list_items(tmp_path / "x.csv", tmp_path)
    for twice in ("label, label", "Label, LABEL"):
        (tmp_path / "x.csv").write_text(f"path,{twice}\na.png,b,c\n")
        with pytest.raises(SettingError, match=f"has the columns {twice}; expected one 'label'"):
            list_items(tmp_path / "x.csv", tmp_path)
    (tmp_path / "x.csv").write_text("path,Label,label\na.png,b,c\n")
    assert list_items(tmp_path / "x.csv", tmp_path)[1][0].label == "c"
    (tmp_path / "x.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(
        SettingError, match=r"can't read the list of images '.*x.png': it isn't text;"
    ):
        list_items(tmp_path / "x.png", tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "no rows.csv").write_text("path,label\n")
    with pytest.raises(ImageError, match=r"no image in .*no rows.csv; it names none$"):
        list_items(tmp_path / "no rows.csv", tmp_path / "run")
    with pytest.raises(ImageError, match=r"no image in .*empty; in a folder, files count"):
        list_items(tmp_path / "empty", tmp_path)


def test_whatever_a_model_raises_costs_one_image(pictures, tmp_path):
    def moody(images):
        if images[0, 0, 0].sum() == dark:
            raise ZeroDivisionError
        return CellModel()(images)

    with PILImage.open(pictures / "c.PNG") as picture:
        dark = int(np.asarray(picture)[0, 0].sum())
    tally = dx.batch(pictures, moody, tmp_path / "run", **SMALL)
    assert (tally.explained, tally.failed) == (3, 2)
    failures = RunFolder(tmp_path / "run").failures().values()
    assert sorted((one.error, one.image) for one in failures) == [
        ("ImageError", "bad.jpg"),
        ("ZeroDivisionError", "c.PNG"),
    ]


def test_missing_files_and_wrong_targets_are_failures(pictures, tmp_path):
    (pictures / "all.csv").write_text("path,target\na.png,cow\ngone.png,\nb.png,1\n")
    tally = dx.batch(pictures / "all.csv", CellModel(), tmp_path / "run", **SMALL)
    assert (tally.explained, tally.failed) == (1, 2)
    reasons = {f.image: f.reason for f in RunFolder(tmp_path / "run").failures().values()}
    assert "has no class names" in reasons["a.png"]
    assert "there is no image file" in reasons["gone.png"]


def test_a_long_reason_is_cut_so_that_it_can_be_read_back(pictures, tmp_path):
    def model(views):
        raise RuntimeError("the server said " + "<p>x</p>" * 20_000)

    tally = dx.batch(pictures / "notes.txt", model, tmp_path / "run", **SMALL)
    assert tally.failed == 2
    reasons = [f.reason for f in RunFolder(tmp_path / "run").failures().values()]
    assert {(len(reason), reason[:15], reason[-1]) for reason in reasons} == {
        (2000, "the server said", "…")
    }


def test_a_model_that_leaves_is_a_failure(pictures, tmp_path):
    def model(views):
        raise SystemExit("bye")

    tally = dx.batch(pictures / "notes.txt", model, tmp_path / "run", **SMALL)
    failures = RunFolder(tmp_path / "run").failures().values()
    assert (tally.failed, {(f.error, f.reason) for f in failures}) == (2, {("SystemExit", "bye")})


def test_a_reason_that_no_file_can_hold_stands_there_in_escapes(pictures, tmp_path):
    def model(views):
        raise ValueError("caf\udce9")

    tally = dx.batch(pictures / "notes.txt", model, tmp_path / "run", **SMALL)
    failures = RunFolder(tmp_path / "run").failures().values()
    assert (tally.failed, {f.reason for f in failures}) == (2, {"caf\\udce9"})


def test_two_starts_at_once_are_told(pictures, tmp_path):
    """One would take the other's work for that of a process that died."""

    def again(tally):
        if tally.explained == 1:
            with pytest.raises(RunError, match=r"another command is at the run in .*; wait"):
                dx.batch(pictures / "notes.txt", CellModel(), tmp_path / "run", **SMALL)
            tried.append(tally)

    tried = []
    given = {**SMALL, "progress": again}
    tally = dx.batch(pictures / "notes.txt", CellModel(), tmp_path / "run", **given)
    assert (tally.explained, tally.failed, len(tried)) == (2, 0, 1)
    assert dx.batch(pictures / "notes.txt", CellModel(), tmp_path / "run", **SMALL).earlier == 2


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError()])
def test_a_disk_without_locks_is_written_all_the_same(pictures, tmp_path, monkeypatch, error):
    def unknown(self, **options):
        raise error

    monkeypatch.setattr("deap_xai.runs.folder.FileLock.acquire", unknown)
    tally = dx.batch(pictures / "notes.txt", CellModel(), tmp_path / "run", **SMALL)
    assert tally.explained == 2


def test_what_another_has_just_finished_stays(pictures, tmp_path, monkeypatch):
    """A file that came after the table was read isn't one of an image that has changed."""
    out = tmp_path / "run"
    dx.batch(pictures / "notes.txt", CellModel(), out, **SMALL)
    files = {file: file.read_bytes() for file in out.glob("explanations/*.npz")}
    monkeypatch.setattr(RunFolder, "table", lambda self: running.pa.Table.from_pylist([], SCHEMA))
    todo = running._todo(RunFolder(out), list_items(pictures / "notes.txt", out)[1])
    assert len(todo) == 2
    assert {file: file.read_bytes() for file in out.glob("explanations/*.npz")} == files


@pytest.mark.parametrize("array", [True, False])
@pytest.mark.parametrize("what", ["segments", "fill", "mutate", "objectives", "model"])
def test_what_is_bound_to_a_function_is_a_setting(pictures, tmp_path, what, array):
    def bound(table, *given, **more):
        kinds = {
            "segments": lambda view: np.indices(view.shape[:2])[0] // 6,
            "fill": lambda view, *_: view // 2,
            "mutate": lambda individual: (individual,),
            "objectives": lambda evaluator, masks: masks.sum(axis=1),
            "model": CellModel(),
        }
        return kinds[what](*given)

    def run(number):
        values = np.arange(2000) == number if array else {"n": [np.int64(number)]}
        one = functools.partial(bound, values)
        chosen = {
            "segments": {"segments": one},
            "fill": {"fill": one},
            "mutate": {"operators": {"mutate": one}},
            "objectives": {"objectives": ["probability", (one, -1.0)], "algorithm": "eaNSGA2"},
            "model": {},
        }[what]
        model = one if what == "model" else CellModel()
        return dx.batch(pictures / "notes.txt", model, tmp_path / "run", **{**SMALL, **chosen})

    assert run(1000).failed == 0
    assert run(1000).earlier == 2
    with pytest.raises(RunError, match="bound to "):
        run(1001)


def test_a_quote_that_is_not_closed_is_told(pictures, tmp_path):
    fine = ["path,caption", 'a.png,"Big" dog', 'sub/a.png,"two\nlines"']
    rows = [*fine, 'a.png,"12 inch', *("b.png,x" for _ in range(20_000))]
    for n in (4, 5, len(rows)):
        (pictures / "all.csv").write_text("\n".join(rows[:n]))
        with pytest.raises(SettingError, match=r"all.csv': a quote that opens in line 5 isn't"):
            list_items(pictures / "all.csv", tmp_path)
    (pictures / "all.csv").write_text("\n".join([*fine, ""]))
    assert len(list_items(pictures / "all.csv", tmp_path)[1]) == 2


def test_a_fills_picture_that_is_not_there_is_told_for_each_image(pictures, tmp_path):
    settings = {**SMALL, "fill": "image:path=nowhere.png"}
    tally = dx.batch(pictures / "notes.txt", CellModel(), tmp_path / "run", **settings)
    assert (tally.explained, tally.failed) == (0, 2)
    reasons = [f.reason for f in RunFolder(tmp_path / "run").failures().values()]
    assert all("nowhere.png" in reason for reason in reasons)


def test_a_failure_line_that_was_cut_off_is_passed_over(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.opened({}, ""):
        pass
    folder.fail(Failure("a-1", "a.png", "ImageError", 'a "reason",\nof two lines'))
    with folder.failures_file.open("a") as file:
        file.write("b-2,b.pn")
    assert [failure.image for failure in folder.failures().values()] == ["a.png"]
    folder.tidy_failures({"a-1"})
    assert folder.failures_file.read_text().count("\n") == 3


def test_the_table_is_refreshed_on_the_way(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "REFRESH", 0.0)
    rows = []

    def look(tally):
        path = tally.folder / "results.parquet"
        rows.append(len(pq.read_table(path)))

    dx.batch(pictures, CellModel(), tmp_path / "run", progress=look, **SMALL)
    assert rows == [0, 0, 1, 2, 2, 3]  # bad.jpg is the third


def test_ctrl_c_keeps_what_is_done(pictures, tmp_path):
    class Impatient(CellModel):
        def __call__(self, images):
            if self.images > 65:
                _thread.interrupt_main()  # as Ctrl-C does
            return super().__call__(images)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        dx.batch(pictures, Impatient(), tmp_path / "run", **SMALL)
    assert signal.getsignal(signal.SIGINT) is before
    assert names(tmp_path / "run") == ["a.png", "b.png"]  # nothing half-searched among them
    assert (
        dx.batch(pictures, Impatient(), tmp_path / "other", **SMALL | {"budget": 8}).explained == 4
    )


def test_it_runs_in_another_thread(pictures, tmp_path):
    work = threading.Thread(
        target=dx.batch, args=(pictures, CellModel(), tmp_path / "run"), kwargs=SMALL
    )
    work.start()
    work.join()
    assert len(names(tmp_path / "run")) == 4


def test_a_model_on_a_gpu_gets_one_process(pictures, tmp_path):
    class Device:
        type = "cuda"

    class OnGpu(dx.Backend):
        device = Device()
        lock = threading.Lock()  # so that it couldn't travel

        def predict(self, images):
            assert os.getpid() == here
            return np.full((len(images), 2), 0.5)

    here = os.getpid()
    settings = {key: value for key, value in SMALL.items() if key != "workers"}
    assert dx.batch(pictures, OnGpu(), tmp_path / "run", **settings).explained == 4


ON_GPU = """
import torch
from deap_xai.backends.function import FunctionBackend
from deap_xai.backends.torch_module import TorchBackend

class Device(str):
    type = "{kind}"

net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24 * 24 * 3, 2))
backend = TorchBackend(net, size=24, device="cpu", batch_size=40)
backend.device = Device("cpu")
"""


@pytest.mark.parametrize(
    ("kind", "free", "processes"),
    [("cuda", 10e9, 4), ("cuda", 1e9, 1), ("cuda", 80e9, 6), ("mps", 80e9, 1), ("cpu", 0, 6)],
)
def test_a_gpu_gets_as_many_processes_as_its_memory_holds(
    pictures, tmp_path, monkeypatch, kind, free, processes
):
    """One a core at most. A made-up GPU: a view takes 30 MB, and a process 1 GB beside that."""
    (tmp_path / f"on_{kind}.py").write_text(ON_GPU.format(kind=kind))
    monkeypatch.chdir(tmp_path)
    views, predict = [0], TorchBackend.predict_masked

    def counted(self, masked_view, masks):
        views.append(len(masks))
        return predict(self, masked_view, masks)

    monkeypatch.setattr(TorchBackend, "predict_masked", counted)
    monkeypatch.setattr("torch.Tensor.pin_memory", lambda self: self)
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: None)
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda device: views.clear())
    monkeypatch.setattr("torch.cuda.max_memory_reserved", lambda device: max(views) * 30e6)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (free, 90e9))
    monkeypatch.setattr("joblib.cpu_count", lambda: 6)
    came, spreading = [], running.spreading
    monkeypatch.setattr(
        running, "spreading", lambda n, *where: came.append(n) or spreading(1, *where)
    )
    settings = {key: value for key, value in SMALL.items() if key != "workers"}
    model = f"on_{kind}:backend"
    assert dx.batch(pictures, model, tmp_path / "run", **settings).explained == 4
    assert came == [processes]


def test_another_ones_backend_on_a_gpu_gets_one_process(pictures, tmp_path, monkeypatch):
    (tmp_path / "others.py").write_text(
        "import deap_xai as dx\n"
        "class Others(dx.Backend):\n"
        "    device = type('Device', (), {'type': 'cuda'})\n"
        "    def predict(self, images):\n"
        "        return [[0.5, 0.5]] * len(images)\n"
        "backend = Others()\n"
    )
    monkeypatch.chdir(tmp_path)
    came, spreading = [], running.spreading
    monkeypatch.setattr(
        running, "spreading", lambda n, *where: came.append(n) or spreading(1, *where)
    )
    settings = {key: value for key, value in SMALL.items() if key != "workers"}
    assert dx.batch(pictures, "others:backend", tmp_path / "run", **settings).explained == 4
    assert came == [1]


def test_what_can_not_travel_is_said(pictures, tmp_path):
    lock = threading.Lock()
    with pytest.raises(RunError, match=r"can't travel to other processes .*or use workers=1"):
        packed({"model": lambda images: lock})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("what", ["explanation", "table"])
def test_a_full_disk(pictures, tmp_path, what):
    """The operating system's own answer, which /dev/full gives to whoever writes to it."""
    run = tmp_path / "run"
    dx.batch(pictures / "notes.txt", CellModel(), run, **SMALL)
    before = state(run / "explanations")
    (pictures / "notes.txt").write_text("a.png\nb.png\nsub/a.png\n")
    [item] = [one for one in list_items(pictures / "notes.txt", run)[1] if one.image == "a.png"]
    file = run / "results.parquet" if what == "table" else RunFolder(run).file(item.id)

    def fill(tally):
        part = part_of(file)
        if not part.is_symlink():
            part.symlink_to("/dev/full")

    done = 3 if what == "table" else 2
    with pytest.raises(RunError, match=rf"No space left on device; {done} finished .* goes on"):
        dx.batch(pictures / "notes.txt", CellModel(), run, progress=fill, **SMALL)
    assert before.items() <= state(run / "explanations").items()
    assert names(run) == ["b.png", "sub/a.png"]
    assert dx.batch(pictures / "notes.txt", CellModel(), run, **SMALL).earlier == done
    assert names(run) == ["a.png", "b.png", "sub/a.png"]


LIMITED = """
import resource, signal, sys
import deap_xai as dx
from deap_xai.errors import RunError
import numpy as np
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
try:
    dx.batch(sys.argv[1], lambda x: np.full((len(x), 2), 0.5), sys.argv[2], workers=1,
             segments="grid:n_segments=16", fill="black", budget=30)
except RunError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_a_file_that_does_not_fit(pictures, tmp_path):
    """A real limit of the operating system, in the middle of a run."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3)).astype(np.uint8)
    PILImage.fromarray(noise).save(pictures / "bb.png")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), str(pictures), str(tmp_path / "run")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "File too large; 2 finished explanations in it are whole" in done.stdout
    assert names(tmp_path / "run") == ["a.png", "b.png"]
    assert not list((tmp_path / "run" / "explanations").glob(".*"))  # nothing half-written


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system to read only")
def test_where_nothing_can_be_written(pictures, tmp_path):
    with pytest.raises(RunError, match="can't write to /proc/self/run: "):
        dx.batch(pictures, CellModel(), "/proc/self/run", **SMALL)
    with pytest.raises(RunError, match=r"can't write to .*/a.png/run: Not a directory"):
        dx.batch(pictures, CellModel(), pictures / "a.png" / "run", **SMALL)


@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write anywhere")
def test_a_read_only_folder(pictures, tmp_path):
    run = tmp_path / "run"
    dx.batch(pictures / "notes.txt", CellModel(), run, **SMALL)
    for folder in (run, run / "explanations", run / "running"):
        folder.chmod(0o555)
    with pytest.raises(RunError, match="Permission denied; 2 finished"):
        dx.batch(pictures / "notes.txt", CellModel(), run, **SMALL)
    run.chmod(0o755)


def test_no_rows_is_a_table_too(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.opened({}, ""):
        pass
    folder.write(folder.table())
    assert isinstance(folder.table(), pa.Table)
    assert len(folder.table()) == 0


def test_the_model_of_these_tests():
    assert cell_probability(np.ones((1, 16), bool)).shape == (1,)


# What changes without its name, and names that are no text


def test_file_names_that_are_no_text(tmp_path, image, model):
    folder = tmp_path / "pictures"
    folder.mkdir()
    PILImage.fromarray(image).save(folder / "a.png")
    PILImage.fromarray(image).save(os.fsencode(folder) + b"/fr\xf6g.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/b\xe4d.png")).write_bytes(b"no picture")
    tally = dx.batch(folder, model, tmp_path / "run", **SMALL)
    assert (tally.explained, tally.failed) == (2, 1)
    assert names(tmp_path / "run") == ["a.png", r"fr\xf6g.png"]
    assert [f.image for f in RunFolder(tmp_path / "run").failures().values()] == [r"b\xe4d.png"]
    assert dx.batch(folder, model, tmp_path / "run", **SMALL).earlier == 2
    assert dx.summary(tmp_path / "run").images == ["a.png", r"fr\xf6g.png"]


def test_another_picture_of_the_same_size_in_bytes_is_explained_anew(tmp_path, image, model):
    folder = tmp_path / "pictures"
    folder.mkdir()
    PILImage.fromarray(image).save(folder / "a.bmp")
    PILImage.fromarray(image).save(folder / "b.bmp")
    dx.batch(folder, model, tmp_path / "run", **SMALL)
    before = table(tmp_path / "run")["sha256"].to_pylist()
    PILImage.fromarray(image[::-1]).save(folder / "a.bmp")
    (folder / "b.bmp").touch()  # a newer time is no other content
    tally = dx.batch(folder, model, tmp_path / "run", **SMALL)
    assert (tally.explained, tally.earlier) == (2, 1)
    after = table(tmp_path / "run")["sha256"].to_pylist()
    assert after[0] == hashlib.sha256((folder / "a.bmp").read_bytes()).hexdigest() != before[0]
    assert after[1] == before[1]


def test_a_model_that_changes_behind_its_name_is_another(pictures, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_of_a_run.py").write_text("net = None\n")
    monkeypatch.syspath_prepend(tmp_path)
    import model_of_a_run

    def made(seed):
        torch.manual_seed(seed)
        pool = torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
        return torch.nn.Sequential(*pool, torch.nn.Linear(12, 3)).to(torch.bfloat16)

    settings = {**SMALL, "device": "cpu", "size": 24, "batch_size": 4}
    model_of_a_run.net = made(0)
    (tmp_path / "list.txt").write_text(str(pictures / "a.png"))
    run = functools.partial(
        dx.batch, tmp_path / "list.txt", "model_of_a_run:net", tmp_path / "run", **settings
    )
    assert run().explained == 1
    model_of_a_run.net = made(0)
    assert run().earlier == 1
    model_of_a_run.net = made(1)
    with pytest.raises(RunError, match=r"other settings \(contents: there"):
        run()
    with pytest.raises(RunError, match=r"other settings \(seed: there 0, now 1; contents: there"):
        run(seed=1)  # what can be read stands first


class Cut:
    """A transform whose ``repr`` tells nothing."""

    def __init__(self, side):
        self.side = side

    def __call__(self, picture):
        pixels = np.asarray(picture.resize((self.side, self.side)), np.float32) / 255
        return torch.tensor(pixels).permute(2, 0, 1)


LINEAR = torch.nn.Linear(3, 2)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"model": FunctionBackend(CellModel.__call__, size=32)},
            {"model": FunctionBackend(CellModel.__call__, size=64)},
        ),
        (
            {"model": FunctionBackend(CellModel.__call__, class_names=["a", "b"])},
            {"model": FunctionBackend(CellModel.__call__, class_names=["b", "a"])},
        ),
        ({"model": LINEAR, "transform": Cut(8)}, {"model": LINEAR, "transform": Cut(16)}),
        (
            {"model": TorchBackend(LINEAR, transform=Cut(8), device="cpu")},
            {"model": TorchBackend(LINEAR, transform=Cut(16), device="cpu")},
        ),
    ],
)
def test_another_preparation_is_another_run(one, other):
    def hash_of(model, **given):
        explainer = dx.Explainer(model, **given)
        return settings_hash(run_settings(explainer, "folder", model, given))

    assert hash_of(**one) == hash_of(**one) != hash_of(**other)


def test_failures_of_images_that_are_gone_go(pictures, tmp_path):
    dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)
    (pictures / "bad.jpg").rename(pictures / "worse.jpg")
    dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL)
    found = RunFolder(tmp_path / "run").failures().values()
    assert [failure.image for failure in found] == ["worse.jpg"]
    (pictures / "worse.jpg").unlink()
    assert dx.batch(pictures, CellModel(), tmp_path / "run", **SMALL).failed == 0
    assert not (tmp_path / "run" / "failures.csv").exists()


def test_an_image_has_one_label(pictures, tmp_path):
    listed = pictures / "all.csv"
    listed.write_text("path,label\na.png,frog\nb.png,\na.png,FROG\nb.png,toad\n")
    items = list_items(listed, tmp_path)[1]
    assert {item.image: item.label for item in items} == {"a.png": "frog", "b.png": "toad"}
    listed.write_text("path,label\na.png,frog\na.png,toad\n")
    with pytest.raises(SettingError, match=r"a\.png stands in .* label 'frog' and with 'toad'"):
        list_items(listed, tmp_path)
