"""What a comparison writes: tables, pictures, and runs that other programs read."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import CellModel
from matplotlib import pyplot as plt
from PIL import Image as PILImage

import deap_xai as dx
from deap_xai.archive import Archive
from deap_xai.comparison import Comparison, drawing, factorial
from deap_xai.comparison.curves import Curve
from deap_xai.comparison.design import Run
from deap_xai.errors import RunError, SettingError

pytest.importorskip("scikit_posthocs", reason="needs the extra compare")

from deap_xai.comparison.records import Record, RunFolder

LONG = "_a very long name of a variant, with $ and commas,and no end: eaElitist:cxpb=0.5,mutpb=0.3"


@pytest.fixture(scope="module")
def found() -> Comparison:
    """Three variants on two problems of different size, with three seeds."""
    rng = np.random.default_rng(0)
    image = rng.integers(150, 256, (24, 24, 3)).astype(np.uint8)
    variants = factorial({"mutate": ["mutFlipBit", "mutStep"]})
    variants[LONG] = {"algorithm": "eaRandom", "segments": "grid:n_segments=9"}
    base = {"fill": "black", "algorithm": "eaElitist", "segments": "grid:n_segments=16"}
    base |= {"budget": 40, "population": 8}
    images = {"frog": image, "toad": image[::-1].copy()}
    return dx.compare(images, CellModel(), variants, base=base, seeds=3)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_tables_are_read_back_as_they_were(found, tmp_path):
    written = found.save(tmp_path / "new")
    assert [path.name for path in written] == [
        "runs.parquet", "runs.csv", "trajectories.parquet", "trajectories.csv", "pairs.parquet",
        "pairs.csv", "report.txt", "anytime.png", "ecdf.png", "ranks.png", "ioh",
    ]  # fmt: skip
    assert all(path.exists() for path in written)
    folder = tmp_path / "new"
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "runs.parquet"), found.table)
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "trajectories.parquet"), found.trajectories
    )
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "pairs.parquet"), found.pairs())
    table = pd.read_csv(folder / "runs.csv", dtype={"mask": str})
    pd.testing.assert_frame_equal(table, found.table)
    assert (folder / "report.txt").read_text(encoding="utf-8") == found.report() + "\n"
    for name in ("anytime", "ecdf", "ranks"):
        with PILImage.open(folder / f"{name}.png") as picture:
            assert picture.size[0] > 1000


def test_the_report_says_what_was_tested(found):
    text = found.report("probability")
    assert "All variants together" in text
    assert text.count("best probability +") == 3
    assert "Tested over 6 pairs of problem and seed on 2 problems" in text
    assert "Note: fill or segments vary" in text


def many(found, best):
    """The first variant's runs under five names, the first of them so much better."""
    one = found.table.query("variant == 'mutFlipBit'")
    runs = [
        one.assign(variant=f"v{n}", image=one["image"] + str(i)) for n in range(5) for i in range(3)
    ]
    table = pd.concat(runs, ignore_index=True)
    noise = np.random.default_rng(0).uniform(0, 0.01, len(table))
    table["front_quality"] = noise + best * (table["variant"] == "v0")
    return Comparison(table, found.trajectories, found.failures, {})


def test_pairs_without_a_difference_share_a_sentence(found):
    alike = many(found, 0).report()
    assert alike.startswith("Tested over ")
    assert alike.count("No difference") == 1
    assert "in front quality was shown between any of 10 pairs of variants" in alike
    better = many(found, 0.5).report()
    assert better.count("v0 is better than v") == 4
    assert better.count("No difference") == 1
    assert "between the other 6 pairs of variants" in better


def test_that_there_are_too_few_runs_comes_first(found):
    table = found.table.query("image == 'frog'")
    few = Comparison(table, found.trajectories, found.failures, {}).report()
    assert "are too few to tell any pair apart" in few.splitlines()[0]


def test_anytime_and_ecdf_show_every_variant(found):
    for figure in (found.plot_anytime(), found.plot_ecdf("probability")):
        axes = figure.axes[0]
        names = [" ".join(text.get_text().split()) for text in axes.get_legend().get_texts()]
        assert names[:2] == ["mutFlipBit", "mutStep"]
        assert names[2].startswith("_a very long name of a variant, with \\$ and")
        assert len(axes.lines) == 3
        ends = found.table.groupby("variant", sort=False)["front_quality"].mean()
        if figure.axes[0].get_ylabel() == "mean front quality":
            drawn = [line.get_ydata()[-1] for line in axes.lines]
            assert drawn == pytest.approx(ends.tolist())


def test_curves_fill_the_plot_where_they_differ(found):
    axes = found.plot_anytime().axes[0]
    bottom, top = axes.get_ylim()
    ends = [line.get_ydata()[-1] for line in axes.lines]
    bands = [p.vertices[:, 1].max() for c in axes.collections for p in c.get_paths()]
    assert 0.2 * min(ends) < bottom < min(ends)
    assert max(ends) <= top <= max(bands) + 0.06 * (top - bottom) + 0.005


def drawn(figure):
    """The lines of a plot, by the name of their variant."""
    axes = figure.axes[0]
    return {line.get_label(): line.get_ydata() for line in axes.lines}


def test_curves_are_of_the_runs_that_all_variants_have(found):
    """A variant that fails on the harder problem doesn't look better for it."""
    lost = (found.table["image"] == "frog") & (found.table["variant"] == "mutStep")
    lost |= (found.table["image"] == "toad") & (found.table["seed"] == 1)
    left = found.table[~lost]
    key = ["model", "image", "variant", "seed"]
    kept = found.trajectories.set_index(key).index.isin(left.set_index(key).index)
    part = Comparison(left, found.trajectories[kept], found.failures, {})
    shared = found.trajectories.query("image == 'toad' and seed != 1")
    table = found.table.query("image == 'toad' and seed != 1")
    whole = Comparison(table, shared, found.failures, {})
    for one, other in (
        (part.plot_anytime(), whole.plot_anytime()),
        (part.plot_ecdf(), whole.plot_ecdf()),
    ):
        lines, expected = drawn(one), drawn(other)
        assert len(lines) == 3
        for name, line in lines.items():
            assert line == pytest.approx(expected[name])
    ends = part.summary()["front_quality"]
    assert drawn(part.plot_anytime())["mutStep"][-1] == pytest.approx(ends["mutStep"])
    assert drawn(part.plot_anytime())["mutFlipBit"][-1] == pytest.approx(ends["mutFlipBit"])


def test_curves_where_no_run_is_shared_are_of_all(found):
    table = found.table.query("(variant == 'mutStep') == (image == 'toad')")
    part = Comparison(table, found.trajectories, found.failures, {})
    assert len(drawn(part.plot_anytime())) == 3


def test_the_diagram_shows_mean_ranks(found):
    axes = found.plot_ranks().axes[0]
    ranks = found.summary()["rank"]
    assert ranks.sum() == pytest.approx(6)
    texts = " ".join(text.get_text() for text in axes.texts)
    for name in ("mutFlipBit", "mutStep"):
        assert name in texts
        assert f"({ranks[name]:.2f})" in texts
    assert axes.get_xlim() == (1, 3)


def test_the_diagram_joins_what_the_report_does(found):
    """Many small gains against two large losses: the means point to the other side."""
    table = found.table[found.table["variant"] != LONG].iloc[:2]
    gains = [0.01 + n / 2000 for n in range(18)] + [-0.3, -0.25]
    rows = [
        {**row, "image": str(n), "front_quality": 0.5 + gain * (row["variant"] == "mutStep")}
        for n, gain in enumerate(gains)
        for row in table.to_dict("records")
    ]
    torn = Comparison(pd.DataFrame(rows), found.trajectories, found.failures, {})
    [pair] = torn.pairs().to_dict("records")
    assert pair["p"] < 0.05
    assert not pair["shown"]
    bars = [line for line in torn.plot_ranks().axes[0].lines if len({*line.get_ydata()}) == 1]
    apart = torn.table.assign(front_quality=lambda t: 0.1 * (t["variant"] == "mutStep"))
    clear = Comparison(apart, found.trajectories, found.failures, {})
    none = [line for line in clear.plot_ranks().axes[0].lines if len({*line.get_ydata()}) == 1]
    assert len(bars) == len(none) + 1


def test_names_in_the_diagram_are_black(found):
    """Some colours are too pale for text, and there are fewer than variants may be."""
    assert {text.get_color() for text in found.plot_ranks().axes[0].texts} == {"black"}


def test_bands_only_where_they_can_be_told_apart(found):
    assert len(found.plot_anytime().axes[0].collections) == 3
    runs = found.trajectories.query("variant == 'mutFlipBit'")
    crowd = many(found, 0)
    curves = pd.concat([runs.assign(variant=f"v{n}", image=runs["image"] + str(i))
                        for n in range(5) for i in range(3)])  # fmt: skip
    axes = Comparison(crowd.table, curves, found.failures, {}).plot_anytime().axes[0]
    assert (len(axes.lines), len(axes.collections), axes.get_title(loc="left")) == (5, 0, "")


def test_two_equal_variants_can_be_drawn(found, tmp_path):
    same = found.table[found.table["variant"] != LONG].copy()
    same["front_quality"] = 0.5
    pair = Comparison(same, found.trajectories, found.failures, {})
    pair.plot_ranks().savefig(tmp_path / "ranks.png")


def read_dat(text):
    """Runs of a .dat file, as IOHanalyzer's page on its format describes it."""
    runs = []
    for line in text.splitlines():
        if line.startswith("evaluations"):
            names = line.split()
            runs.append([])
        else:
            runs[-1].append(dict(zip(names, map(float, line.split()), strict=True)))
    return runs


def test_iohprofiler_literally(found, tmp_path):
    files = found.to_iohprofiler(tmp_path)
    assert len(files) == 6  # three variants on two problems
    runs = {}
    for path in files:
        facts = json.loads(path.read_text())
        assert facts["version"] > "0.3.2"  # from there on readers expect this layout
        assert facts["maximization"] is True
        assert facts["attributes"] == ["evaluations", "raw_y", "probability"]
        assert path.name == f"IOHprofiler_f{facts['function_id']}_{facts['function_name']}.json"
        for scenario in facts["scenarios"]:
            data = path.parent / scenario["path"]
            assert data.parent.name == f"data_f{facts['function_id']}_{facts['function_name']}"
            assert (
                data.name == f"IOHprofiler_f{facts['function_id']}_DIM{scenario['dimension']}.dat"
            )
            blocks = read_dat(data.read_text())
            for run, block in zip(scenario["runs"], blocks, strict=True):
                assert len(run["best"]["x"]) == scenario["dimension"]
                key = facts["algorithm"]["name"], facts["function_name"], run["seed"]
                runs[key] = scenario["dimension"], run, block
    assert len(runs) == len(found.table)
    for row in found.table.itertuples():
        key = row.variant, f"CellModel-{row.image}", row.seed
        dimension, run, block = runs[key]
        assert (dimension, run["evals"]) == (row.n_segments, row.calls)
        assert run["best"]["y"] == pytest.approx(row.front_quality)
        assert "".join(map(str, run["best"]["x"])) == row.mask
        _check_block(found, row, run, block)


def test_an_export_replaces_the_one_before(found, tmp_path):
    found.to_iohprofiler(tmp_path)
    kept = found.table[found.table["variant"] != found.table["variant"].iloc[0]]
    other = tmp_path / "2024-05-sphere" / "IOHprofiler_f1_Sphere.json"
    other.parent.mkdir()
    other.write_text('{"suite": "BBOB"}')
    left = Comparison(kept, found.trajectories, found.failures, {}).to_iohprofiler(tmp_path)
    assert sorted(tmp_path.glob("*/*.json")) == sorted([*left, other])


def test_calls_under_other_fills_count_there_too(tmp_path):
    image = np.random.default_rng(0).integers(150, 256, (24, 24, 3)).astype(np.uint8)
    variants = {"robust": {"objectives": ["robustness:fills=grey+blur", "size"]}, "plain": {}}
    base = {"fill": "black", "algorithm": "eaNSGA2", "segments": "grid:n_segments=16"}
    base |= {"budget": 60, "population": 8}
    found = dx.compare({"frog": image}, CellModel(), variants, base=base, seeds=1)
    path, _ = found.to_iohprofiler(tmp_path)
    (scenario,) = json.loads(path.read_text())["scenarios"]
    ((run,), (block,)) = scenario["runs"], read_dat((path.parent / scenario["path"]).read_text())
    row = next(found.table.itertuples())
    mine = found.trajectories[found.trajectories["variant"] == "robust"]
    assert run["evals"] == row.calls > len(mine) + 20
    _check_block(found, row, run, block)


def _check_block(found, row, run, block):
    mine = found.trajectories.query(
        "image == @row.image and variant == @row.variant and seed == @row.seed"
    )
    assert block[0]["evaluations"] == 1
    assert block[-1]["evaluations"] == row.calls
    by_call = {line["evaluations"]: line for line in block}
    last = block[0]
    for calls, quality, p in mine[["calls", "front_quality", "probability"]].itertuples(
        index=False
    ):
        last = by_call.get(calls, last)
        assert last["raw_y"] == pytest.approx(quality, abs=1e-9)
        assert last["probability"] == pytest.approx(p, abs=1e-9)
    first = next(line for line in block if line["raw_y"] >= run["best"]["y"] - 1e-9)
    assert first["evaluations"] == run["best"]["evals"]


def test_saving_anew_leaves_nothing_of_before(found, tmp_path):
    failures = pd.DataFrame([{"variant": "x", "error": "ZeroDivisionError"}])
    Comparison(found.table, found.trajectories, failures, {}).save(tmp_path)
    assert (tmp_path / "failures.csv").exists()
    mine = [tmp_path / "notes.csv", tmp_path / "ioh" / "1-mutFlipBit" / "notes.txt"]
    mine += [tmp_path / "ioh" / "README", tmp_path / "runs" / "kept.npz"]
    (tmp_path / "runs").mkdir()
    for path in mine:
        path.touch()
    one = found.table.query("variant == 'mutStep'")
    runs = found.trajectories.query("variant == 'mutStep'")
    written = Comparison(one, runs, found.failures, {}).save(tmp_path)
    assert {path for path in tmp_path.iterdir() if path.is_file()} == {
        mine[0],
        *(path for path in written if path.is_file()),
    }
    assert not {"failures.csv", "pairs.csv", "ranks.png"} & {path.name for path in written}
    assert all(path.exists() for path in mine)
    export = tmp_path / "ioh"
    assert {path.parts[-2] for path in export.rglob("*.json")} == {"1-mutStep"}
    assert {path.parts[-3] for path in export.rglob("*.dat")} == {"1-mutStep"}
    assert {path.name for path in export.iterdir()} == {"1-mutFlipBit", "1-mutStep", "README"}


@pytest.mark.filterwarnings("ignore")  # of what polars deprecates in iohinspector
def test_iohinspector_reads_it(found, tmp_path):
    iohinspector = pytest.importorskip("iohinspector", reason="a reader of IOHprofiler's format")
    found.to_iohprofiler(tmp_path)
    manager = iohinspector.DataManager()
    manager.add_folder(str(tmp_path))
    overview = manager.overview.to_dicts()
    read = {(r["algorithm_name"], r["function_name"], r["run_id"] - 1): r for r in overview}
    for row in found.table.itertuples():
        one = read[row.variant, f"CellModel-{row.image}", row.seed]
        assert (one["evals"], one["dimension"]) == (row.calls, row.n_segments)
        assert one["best_y"] == pytest.approx(row.front_quality)
    ends = {}
    for line in manager.load(monotonic=False, include_meta_data=True).to_dicts():
        ends[line["algorithm_name"], line["function_name"], line["run_id"] - 1] = line
    assert len(ends) == len(found.table)
    for row in found.table.itertuples():
        end = ends[row.variant, f"CellModel-{row.image}", row.seed]
        assert (end["evaluations"], end["raw_y"]) == (row.calls, pytest.approx(row.front_quality))


ENDLESS = """
import os, sys, time
from pathlib import Path
import numpy as np

HERE = Path(__file__).parent


def classify(views):
    if os.environ["MAIN"] == str(os.getpid()):  # asks for the class before the runs begin
        return np.full((len(views), 2), 0.5)
    (HERE / f"worker-{os.getpid()}").touch()
    while True:
        time.sleep(0.1)


if __name__ == "__main__":
    import deap_xai as dx

    os.environ["MAIN"] = str(os.getpid())
    white = np.full((24, 24, 3), 255, np.uint8)
    variants = {"one": {"operators": {"mate": "cxUniform"}},
                "two": {"operators": {"mate": "cxTwoPoint"}}}
    dx.compare(white, "slow:classify", variants, base={"budget": 20}, jobs=2)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_with_a_comparison_that_is_killed(tmp_path):
    """Each holds a model: left behind, they would fill the memory."""
    (tmp_path / "slow.py").write_text(ENDLESS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    child = subprocess.Popen([sys.executable, str(tmp_path / "slow.py")], env=environment)
    try:
        workers = within(60, lambda: len(found := list(tmp_path.glob("worker-*"))) == 2 and found)
    finally:
        child.kill()
        child.wait()
    pids = [int(path.name.partition("-")[2]) for path in workers]
    assert child.pid not in pids
    assert within(20, lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def within(seconds, true):
    """What is true within so many seconds; else whatever it is then."""
    end = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def record_of(archive, calls):
    return Record(Run("m", "i", "v", 0), archive, np.array(calls), 99, 1, 0.5)


IDENTITIES = {
    "version": "1", "budget": 9, "model settings": {}, "models": {"m": 1}, "images": {"i": 1},
    "variants": {"v": 1},
}  # fmt: skip


def test_a_kept_run_comes_back_and_a_damaged_one_counts_as_none(tmp_path):
    rng = np.random.default_rng(0)
    archive = Archive(rng.random((20, 9)) < 0.5, rng.random(20).astype(np.float32))
    folder = RunFolder(tmp_path, IDENTITIES)
    record = record_of(archive, range(3, 43, 2))
    folder.write(record)
    again = folder.read(record.run)
    assert (again.archive.masks == archive.masks).all()
    assert (again.archive.probabilities == archive.probabilities).all()
    assert again.calls.tolist() == record.calls.tolist()
    assert (again.spent, again.target, again.seconds) == (99, 1, 0.5)
    [file] = tmp_path.iterdir()
    good, damaged = file.read_bytes(), 0
    for place in range(0, len(good), 7):
        file.write_bytes(good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :])
        try:
            damaged += folder.read(record.run) is None
        except SettingError:  # what differs is told
            damaged += 1
    assert damaged > 40


def test_a_run_that_can_not_be_kept_ends_the_comparison(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    record = record_of(Archive(np.ones((1, 2), bool), np.ones(1, np.float32)), [1])
    with pytest.raises(RunError, match=r"can't keep a run in .*: No space left .* goes on"):
        RunFolder(tmp_path, IDENTITIES).write(record)


def test_runs_of_a_former_format_are_not_written_over(tmp_path):
    folder = RunFolder(tmp_path, IDENTITIES)
    record = record_of(Archive(np.ones((1, 9), bool), np.ones(1, np.float32)), [1])
    folder.write(record)
    (file,) = tmp_path.glob("*.npz")
    with np.load(file) as saved:
        facts = {**json.loads(str(saved["json"])), "format": 1}
    np.savez(file, json=json.dumps(facts))
    with pytest.raises(SettingError, match="runs under other settings: format"):
        folder.read(record.run)


def test_curves_that_lie_on_each_other_are_all_seen():
    curve = Curve(np.arange(9), np.arange(9.0), np.arange(9.0), np.arange(9.0))
    figure = drawing.draw_anytime(dict.fromkeys("abcdefgh", curve), "x", "bands")
    (axes,) = figure.axes
    drawn = [(line.get_color(), line.get_linestyle()) for line in axes.lines]
    assert len(set(drawn)) == 8
    assert all(one[1] != other[1] for one, other in itertools.pairwise(drawn))
    few = drawing.draw_anytime(dict.fromkeys("ab", curve), "x", "bands")
    assert few.axes[0].get_title(loc="left") == ""  # there is nothing between low and high


def test_a_bar_passes_over_nobody_who_was_told_apart(monkeypatch):
    """Told apart are a and b alone, and b stands between a and c."""
    import scikit_posthocs

    drawn = []
    monkeypatch.setattr(
        scikit_posthocs, "critical_difference_diagram", lambda ranks, p, **_: drawn.append(p)
    )
    names = ["a", "b", "c"]
    p_values = pd.DataFrame(1.0, names, names)
    p_values.loc["a", "b"] = p_values.loc["b", "a"] = 0.01
    drawing.draw_ranks(pd.Series([1.2, 2.0, 2.8], names), p_values, "x")
    (joined,) = drawn
    assert joined.to_numpy().tolist() == [[1, 0.01, 0.01], [0.01, 1, 1], [0.01, 1, 1]]
