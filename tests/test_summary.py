"""Summaries of runs: each figure against a literal count, and the shortcut that must stand out."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from conftest import CellModel
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage

import deap_xai as dx
from deap_xai import cli
from deap_xai.demo import creature
from deap_xai.errors import SettingError
from deap_xai.runs import overview
from deap_xai.runs.folder import RunFolder
from deap_xai.runs.groups import groups
from deap_xai.runs.places import LEVEL, cell_names, standing_out
from deap_xai.runs.rows import SCHEMA
from deap_xai.runs.words import _where, large_groups

RUN = "--model demo --budget 30 --device cpu --workers 1 --quiet".split()


def run_of(tmp_path_factory, network):
    folder = tmp_path_factory.mktemp(network)
    for seed in range(24):
        picture = creature(30_000 + seed, watermark="true")
        PILImage.fromarray(picture.image).save(folder / f"{picture.name}-{seed}.png")
    model = f"demo:name={network}"
    dx.batch(folder, model, folder / "run", workers=1, budget=40, device="cpu")
    return folder / "run"


@pytest.fixture(scope="module")
def cheater(tmp_path_factory):
    return run_of(tmp_path_factory, "cheater")


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return run_of(tmp_path_factory, "resnet")


def test_the_cheaters_corner_stands_out(cheater):
    found = dx.summary(cheater)
    assert {place.where for place in found.places} == {"lower right corner"}
    assert found.places[-1].target_name is None
    assert found.groups[0].pictures > 18
    assert len(found.odd["corner"]) > 18
    text = found.table()
    assert "LOOK HERE" in text
    assert "lower right corner, all classes (24 pictures)" in text


def test_nothing_stands_out_of_the_honest_networks_run(honest):
    """On the same pictures, badges and all."""
    found = dx.summary(honest)
    assert found.places == []
    assert repr(found).startswith(f"Summary(24 explanations, {len(found.classes) - 1} classes, 0 p")
    assert found.groups[0].pictures < 12
    assert "No corner or edge of the frame stands out." in found.table()


def test_each_figure_is_what_its_definition_says(honest):
    found = dx.summary(honest)
    rows = RunFolder(honest).table().to_pylist()
    assert [c.name for c in found.classes[:1]] == ["all"]
    assert sum(c.pictures for c in found.classes[1:]) == found.classes[0].pictures == 24
    for c in found.classes:
        mine = [row for row in rows if c.name in ("all", row["target_name"])]
        assert c.pictures == len(mine)
        passes = [row["probability_empty"] >= 0.9 * row["probability_full"] for row in mine]
        few = [row["enough"] / row["n_segments"] <= 0.2 for row in mine]
        assert c.empty == np.mean(passes)
        assert c.few == np.mean([f and not p for f, p in zip(few, passes, strict=True)])
        gains = [row["probability"] - row["probability_full"] for row in mine]
        assert c.gained == pytest.approx(np.mean(gains))
        assert c.kept == pytest.approx(np.mean([row["size"] / row["n_segments"] for row in mine]))
        np.testing.assert_allclose(c.map.ravel(), np.mean([row["map"] for row in mine], axis=0))
        assert c.right is None
    assert set(found.odd["tiny"]) == {row["image"] for row in rows if row["area"] < 0.02}


def test_classes_that_are_not_drawn_are_counted(honest, monkeypatch):
    found = dx.summary(honest)
    classes = len(found.classes) - 1
    assert found.plot_maps().get_supxlabel() == ""
    monkeypatch.setattr("deap_xai.runs.figures.MAPS", 1 + 2)
    told = found.plot_maps().get_supxlabel()
    assert told == f"not shown: {classes - 2} of {classes} classes, those of fewest pictures"


def made_table(**columns):
    """Rows of a table with plain values but for the columns given."""
    n = len(next(iter(columns.values())))
    plain = {"image": [f"{i}.png" for i in range(n)], "target": [0] * n, "area": [0.5] * n,
             "probability_empty": [0.0] * n, "probability_full": [1.0] * n}  # fmt: skip
    data = {**plain, **columns}
    rows = [{name: data[name][i] for name in data} for i in range(n)]
    return pa.Table.from_pylist(rows, SCHEMA)


def test_a_place_must_hold_a_quarter_and_pass_for_every_class_looked_at():
    maps = np.zeros((30, 8, 8))
    maps[:, 6:, 6:] = 1
    names, kept = np.array(["a"] * 30), np.full(30, 0.6)
    p = math.exp(-2 * 30 * 0.4**2)
    assert p < LEVEL / (12 * 2)  # all, and one class
    assert [place.p for place in standing_out(maps, kept, names)] == pytest.approx([p, p])
    many = np.array([f"c{i % 15}" for i in range(30)])
    assert LEVEL / 12 > p > LEVEL / (12 * 16)
    assert standing_out(maps, kept, many) == []
    maps[:, :4, :4] = maps[:, 4:6, :4] = 1  # it holds 4 of 28 cells kept
    assert standing_out(maps, kept, names) == []


def test_few_are_a_fifth_at_most_where_the_empty_view_does_not_pass():
    table = made_table(
        enough=[2, 2, 3, 10], n_segments=[10] * 4, size=[5] * 4, probability=[0.9] * 4,
        probability_empty=[0.0, 0.95, 0.0, 0.0], target_name=["a"] * 4,
    )  # fmt: skip
    figures = overview._figures(table)
    assert figures["few"].tolist() == [True, False, False, False]
    assert figures["empty"].tolist() == [False, True, False, False]
    assert np.isnan(figures["right"]).all()


@pytest.mark.parametrize(
    ("rows", "columns", "where"),
    [
        ((0, 2), (0, 2), "upper left"),
        ((6, 8), (0, 2), "lower left"),
        ((6, 8), (2, 4), "lower"),
        ((2, 4), (6, 8), "right"),
        ((3, 5), (3, 5), "in the middle"),
        ((0, 8), (0, 8), "all over"),
    ],
)
def test_where_a_group_looks(rows, columns, where):
    maps = np.zeros((3, 8, 8))
    maps[:, slice(*rows), slice(*columns)] = 1
    [group] = groups(maps, np.zeros((3, 3)), np.array(["a"] * 3))
    assert _where(group) == where


def test_odd_pictures():
    maps = np.zeros((4, 8, 8))
    maps[0, :, 0] = 1  # a border
    maps[1, 6:, :2], maps[1, 3, 3] = 1, 1  # a corner
    maps[2, 3:5, 3:5] = 1
    table = made_table(
        area=[0.1, 0.1, 0.01, 0.1], probability_empty=[0, 0.89, 0.5, 0.9],
        size=[9, 44, 45, 46], n_segments=[50, 50, 50, 51],
    )  # fmt: skip
    assert overview._odd(table, maps) == {
        "border": ["0.png"],
        "corner": ["1.png"],
        "tiny": ["2.png"],
        "everything": ["2.png", "3.png"],
        "empty": ["3.png"],
    }


def test_predictions_are_held_against_labels():
    table = made_table(
        label=["frog", "frog (3)", "toad", None, "frog", "tree frog"],
        target=[3, 3, 3, 3, 3, 4],
        target_name=["frog", "frog (3)", *["frog"] * 3, "tree frog"],
        asked=[None, None, None, None, "frog", None],
    )
    np.testing.assert_array_equal(overview._right(table), [1, 1, 0, np.nan, np.nan, 1])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 60))
def test_masks_at_random_never_stand_out(seed, n):
    rng = np.random.default_rng(seed)
    kept = rng.integers(1, 16, n) / 16
    cells = rng.permuted(np.arange(16)[None] < (kept * 16)[:, None], axis=1).reshape(n, 4, 4)
    maps = cells.repeat(2, axis=1).repeat(2, axis=2).astype(float)
    assert standing_out(maps, kept, rng.choice(["a", "b"], n)) == []


def test_a_place_by_the_literal_bound():
    maps = np.zeros((50, 8, 8))
    maps[:40, :2, :2] = 1
    maps[40:, 3:5, 3:5] = 1
    kept = np.full(50, 0.1)
    [place] = standing_out(maps, kept, np.array(["a"] * 50))[:1]
    assert (place.where, place.row, place.column) == ("upper left corner", 0, 0)
    assert (place.coverage, place.share, place.pictures) == (0.8, 0.8, 50)
    assert place.p == pytest.approx(math.exp(-2 * 50 * (0.8 - 0.1) ** 2))
    assert standing_out(maps[:3], kept[:3], np.array(["a"] * 3)) == []  # too few to tell
    assert len(cell_names()) == 12


def test_groups_of_more_than_the_sample(monkeypatch):
    maps = np.zeros((90, 8, 8))
    for start, corner in ((0, np.s_[:2, :3]), (50, np.s_[6:, 5:]), (80, np.s_[:2, 5:])):
        maps[start : start + 50][:, corner[0], corner[1]] = 1
        maps[start + 50 :][:, corner[0], corner[1]] = 0
        maps[:start][:, corner[0], corner[1]] = 0
    maps[50:80, :2, :3] = maps[80:, 6:, 5:] = 0
    names = np.array(["a"] * 60 + ["b"] * 30)
    colours = np.full((90, 3), 51.0)
    whole = groups(maps, colours, names)
    monkeypatch.setattr("deap_xai.runs.groups.SAMPLE", 12)
    sampled = groups(maps, colours, names)
    assert [group.pictures for group in whole] == [50, 30, 10]
    assert [group.pictures for group in sampled] == [50, 30, 10]
    assert whole[1].classes == {"b": 20, "a": 10}
    assert whole[0].colour == (51, 51, 51)
    assert len(groups(maps[:1], colours[:1], names[:1])) == 1


def test_a_run_of_one_picture_and_one_half_done(tmp_path, image, monkeypatch):
    PILImage.fromarray(image).save(tmp_path / "frog.png")
    (tmp_path / "toad.png").write_bytes(b"no picture")
    model = CellModel()
    how = {"segments": "grid:n_segments=16", "fill": "black", "budget": 30, "workers": 1}
    dx.batch(tmp_path, model, tmp_path / "run", **how)
    (tmp_path / "run" / "results.parquet").unlink()  # as if it had been killed before
    found = dx.summary(tmp_path / "run")
    assert (len(found.ids), found.failed) == (1, 1)
    assert not (tmp_path / "run" / "results.parquet").exists()
    assert "1 picture explained, 1 more failed; model CellModel" in found.table()
    assert found.plot_maps().get_supxlabel() == ""
    with pytest.raises(SettingError, match="no 3 of these explanations are alike"):
        found.plot_groups()


def all_of_bright_ones_one_corner_of_dark_ones(views):
    red = views[..., 0]
    p = np.where(red.max(axis=(1, 2)) > 150, red.mean(axis=(1, 2)) / 255, 0.9 * (red[:, 0, 0] > 0))
    return np.stack([p, 1 - p], axis=1)


def test_what_keeps_everything_is_in_no_group(tmp_path):
    for i, red in enumerate([250, 9, 9, 9, 9, 250]):
        picture = np.full((24, 24, 3), (red, i, 0), np.uint8)
        PILImage.fromarray(picture).save(tmp_path / f"{i}.png")
    dx.batch(
        tmp_path, all_of_bright_ones_one_corner_of_dark_ones, tmp_path / "run", workers=1,
        segments="grid:n_segments=16", fill="black", budget=200,
    )  # fmt: skip
    found = dx.summary(tmp_path / "run")
    assert found.odd["everything"] == ["0.png", "5.png"]
    assert sum(group.pictures for group in found.groups) == 4
    typical = {found.images[i] for group in found.groups for i in group.typical}
    assert typical == {f"{i}.png" for i in range(1, 5)}
    text = found.table()
    assert (
        "keeps nearly everything, is in no group below (try --pick smallest:p=0.9): 2: 0.png, 5"
        in text
    )
    assert "4 (67%), mostly upper left" in text
    assert "in small" not in text
    (tmp_path / "out").mkdir()
    for image in ("2.png", "3.png"):
        [row] = [i for i, name in enumerate(found.images) if name == image]
        RunFolder(tmp_path / "run").file(found.ids[row]).unlink()
    (tmp_path / "run" / "results.parquet").unlink()
    done = CliRunner().invoke(
        cli.main, ["summary", str(tmp_path / "run"), "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0, done.output
    assert "2 (50%) in small groups" in done.output
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["maps.png", "summary.json"]


def test_only_pictures_of_which_everything_is_kept(tmp_path):
    PILImage.fromarray(np.full((24, 24, 3), 250, np.uint8)).save(tmp_path / "a.png")
    dx.batch(
        tmp_path, all_of_bright_ones_one_corner_of_dark_ones, tmp_path / "run", workers=1,
        segments="grid:n_segments=16", fill="black", budget=40,
    )  # fmt: skip
    found = dx.summary(tmp_path / "run")
    assert (found.odd["everything"], found.groups) == (["a.png"], [])
    assert found.table().splitlines()[-1] == "  none"


def test_nothing_to_sum_up(tmp_path):
    with pytest.raises(SettingError, match=r"is no run: there is no settings\.json in it"):
        dx.summary(tmp_path)
    with pytest.raises(SettingError, match="is no run: there is no such folder"):
        dx.summary(tmp_path / "nowhere")
    with RunFolder(tmp_path / "run").opened({}, ""):
        pass
    with pytest.raises(SettingError, match=r"has no explanation yet$"):
        dx.summary(tmp_path / "run")


def shell(*args):
    return CliRunner().invoke(cli.main, [str(arg) for arg in args])


def test_the_groups_maps_have_a_scale(cheater):
    labels = [axes.get_ylabel() for axes in dx.summary(cheater).plot_groups().axes]
    assert labels.count("mean share kept") == 1


def test_the_summary_command(cheater, tmp_path):
    result = shell("summary", cheater, "--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "LOOK HERE" in result.stdout
    for name in ("maps.png", "groups.png"):
        with PILImage.open(tmp_path / "new" / name) as picture:
            assert picture.size[0] > 700
    facts = json.loads((tmp_path / "new" / "summary.json").read_text())
    assert facts["places"][0]["where"] == "lower right corner"
    printed = shell("summary", cheater, "--json")
    assert json.loads(printed.stdout) == facts
    (tmp_path / "file" / "maps.png").mkdir(parents=True)
    result = shell("summary", cheater, "--out", tmp_path / "file")
    assert result.exit_code == 1
    assert "Error: can't write to" in result.stderr
    result = shell("summary", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")


def test_the_batch_command(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "bad.png").write_bytes(b"no picture")
    result = shell("batch", folder, "--out", tmp_path / "run", *RUN)
    assert result.exit_code == 1  # nothing could be explained
    assert "1 failed: " in result.stderr
    assert "\n  1 x ImageError, such as bad.png: '" in result.stderr
    (folder / "bad.png").rename(folder / f"{'x' * 210}.png")
    result = shell("batch", folder, "--out", tmp_path / "long", *RUN)
    assert f"\n  1 x ImageError, such as {'x' * 80}: '" in result.stderr
    (folder / f"{'x' * 210}.png").rename(folder / "bad.png")
    PILImage.fromarray(creature(3).image).save(folder / "good.png")
    result = shell("batch", folder, "--out", tmp_path / "run", *RUN)
    assert result.exit_code == 0
    assert result.stdout.startswith("1 of 2 images explained: ")
    assert "Next: deap-xai summary" in result.stdout
    result = shell("batch", folder, "--out", tmp_path / "run", *RUN)
    assert result.stdout.startswith("1 of 2 images explained, 1 of them before: ")
    result = shell("batch", folder, "--out", tmp_path / "run", *RUN, "--seed", "7")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "other settings (seed: there 0, now 7)" in result.stderr
    result = shell("batch", folder, *RUN)
    assert result.exit_code == 2
    assert "Missing option '--out'" in result.stderr


def test_the_batch_command_says_which_engine_auto_took(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    (tmp_path / "linears.py").write_text(
        "import torch\n"
        "pool = torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()\n"
        "net = torch.nn.Sequential(*pool, torch.nn.Linear(12, 3))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    torch.manual_seed(0)
    (tmp_path / "pictures").mkdir()
    PILImage.fromarray(creature(3).image).save(tmp_path / "pictures" / "one.png")
    options = ["--model", "linears:net", "--engine", "torch", "--precision", "auto"]
    options += ["--workers", "1", "--budget", "20", "--device", "cpu"]
    result = shell("batch", tmp_path / "pictures", "--out", tmp_path / "run", *options)
    assert result.exit_code == 0
    chosen = json.loads((tmp_path / "run" / "settings.json").read_text())["settings"]
    said = f"auto took {chosen['engine']} in {chosen['precision']} for this run\n"
    assert chosen["engine"] == "torch"
    assert said in result.stderr


def test_the_bar(monkeypatch, capsys, tmp_path):
    import sys

    from deap_xai.cli.progress import batch_progress
    from deap_xai.runs import Tally

    with batch_progress(quiet=True) as report:
        assert report is None
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with batch_progress(quiet=False) as report:
        for done in range(40, 51):
            report(Tally(tmp_path, 100, done, 2, 40))
    drawn = capsys.readouterr().err
    assert "52/100 images" in drawn
    assert "2 failed" in drawn
    assert "an hour" in drawn


def test_a_line_a_minute_in_a_log(monkeypatch, capsys, tmp_path):
    from deap_xai.cli.progress import batch_progress
    from deap_xai.runs import Tally

    clock = [1000.0]
    monkeypatch.setattr("deap_xai.cli.progress.time.monotonic", lambda: clock[0])
    with batch_progress(quiet=False) as report:
        for second in range(0, 181, 10):
            clock[0] = 1000.0 + second
            report(Tally(tmp_path, 1000, 400 + second, 0, 400))
        clock[0] += 60
        report(Tally(tmp_path, 1000, 580, 2, 400))
        clock[0] += 60
        report(Tally(tmp_path, 10_000, 580, 2, 400))
    assert capsys.readouterr().err.splitlines() == [
        "460/1000 images, 3600 an hour, 0 failed, 9 minutes left",
        "520/1000 images, 3600 an hour, 0 failed, 8 minutes left",
        "580/1000 images, 3600 an hour, 0 failed, 7 minutes left",
        "582/1000 images, 2730 an hour, 2 failed, 9 minutes left",
        "582/10000 images, 2184 an hour, 2 failed, 4.3 hours left",
    ]


def test_one_damaged_explanation_costs_only_its_own_picture(cheater, tmp_path):
    run = tmp_path / "a run"
    shutil.copytree(cheater, run)
    found = dx.summary(run)
    typical = found.ids[large_groups(found)[0].typical[0]]
    (run / "explanations" / f"{typical}.npz").write_bytes(b"damaged")
    result = shell("summary", run, "--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "maps.png", "groups.png", "summary.json",
    }  # fmt: skip


def test_a_class_called_all_is_not_all_classes(cheater):
    found = dx.summary(cheater)
    assert any(place.target_name is None for place in found.places)
    renamed = dataclasses.replace(
        found,
        classes=[found.classes[0], found.classes[1]._replace(name="all"), found.classes[2]],
        places=[place for place in found.places if place.target_name is None],
    )
    total, same, *_ = renamed.plot_maps().axes
    assert len(total.patches) == len(renamed.places)
    assert not same.patches


def test_what_comes_next_is_quoted(tmp_path):
    (tmp_path / "photos").mkdir()
    PILImage.fromarray(creature(3).image).save(tmp_path / "photos" / "a.png")
    result = shell("batch", tmp_path / "photos", "--out", tmp_path / "my run", *RUN)
    assert f"Next: deap-xai summary '{tmp_path / 'my run'}'" in result.stdout


def test_what_passes_on_the_empty_view_is_in_no_group(cheater, monkeypatch):
    """Such explanations say nothing: alike they may be by chance."""
    before = dx.summary(cheater).groups
    assert before
    monkeypatch.setattr(overview, "_empty_passes", lambda table: np.ones(len(table), bool))
    found = dx.summary(cheater)
    assert len(found.odd["empty"]) == 24
    assert found.groups == []
