"""``deap-xai compare``: what is printed, what is written, and mistakes told in one line."""

from __future__ import annotations

import sys
import types

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import CellModel
from PIL import Image as PILImage

from deap_xai import cli

pytest.importorskip("scikit_posthocs", reason="needs the extra compare")

SMALL = (
    "--model cell_models:classify --segments grid:n_segments=16 --fill black --budget 40 "
    "--algorithm eaElitist --population 8 --seeds 2"
).split()
VARY = "--vary mutate=mutFlipBit:indpb=0.1 --vary mutate=mutStep".split()


@pytest.fixture
def folder(tmp_path, monkeypatch, image):
    monkeypatch.chdir(tmp_path)
    PILImage.fromarray(image).save("frog.png")
    module = types.ModuleType("cell_models")
    module.classify, module.other = CellModel(), CellModel()
    monkeypatch.setitem(sys.modules, "cell_models", module)
    return tmp_path


def run(*args):
    return CliRunner().invoke(cli.main, ["compare", "frog.png", *SMALL, *args])


def test_it_prints_the_table_and_sentences_and_says_what_it_wrote(folder):
    result = run(*VARY, "--model", "cell_models:other", "--out", "new/out")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "Tested over 4 pairs of problem and seed on 2 problems" in lines[0]
    assert "front_quality" in lines[2]
    assert any(line.startswith("mutFlipBit:indpb=0.1 ") for line in lines)
    assert "4 runs each on 2 problems" in result.stdout
    assert result.stderr.startswith("wrote new/out: runs.parquet, runs.csv, ")
    table = pd.read_csv(folder / "new" / "out" / "runs.csv")
    assert set(table["model"]) == {"cell_models:classify", "cell_models:other"}
    assert set(table["calls"]) == {40}
    again = run(*VARY, "--model", "cell_models:other", "--out", "new/out")
    assert again.stdout == result.stdout  # every run was kept, seconds and all


def test_every_combination_is_a_variant(folder):
    result = run(*VARY, "--vary", "population=6", "--vary", "population=10", "--seeds", "1",
                 "--measure", "probability")  # fmt: skip
    assert result.exit_code == 0, result.output
    table = pd.read_csv(folder / "deap-xai-compare" / "runs.csv")
    assert table["variant"].tolist() == [
        "mutFlipBit:indpb=0.1 + population=6",
        "mutFlipBit:indpb=0.1 + population=10",
        "mutStep + population=6",
        "mutStep + population=10",
    ]
    assert "No difference in best probability was shown" in result.stdout


def test_several_objectives_are_a_level_too(folder):
    result = run("--algorithm", "eaNSGA2", "--vary", "objectives=probability size",
                 "--vary", "objectives=probability area", "--seeds", "1")  # fmt: skip
    assert result.exit_code == 0, result.output
    table = pd.read_csv(folder / "deap-xai-compare" / "runs.csv")
    assert table["variant"].tolist() == ["probability size", "probability area"]


def test_a_failing_run_is_told_and_exits_with_one(folder, monkeypatch):
    class Moody(CellModel):
        def __call__(self, images):
            if self.images > 60:
                raise ZeroDivisionError("out of sorts")
            return super().__call__(images)

    monkeypatch.setattr(sys.modules["cell_models"], "classify", Moody())
    result = run(*VARY)
    assert result.exit_code == 1
    note = (
        "Note: 3 runs failed, of mutStep, mutFlipBit:indpb=0.1; the first: ZeroDivisionError: out"
    )
    assert note in result.stdout
    assert "failures.csv" in result.stderr


def test_after_ctrl_c_the_part_that_is_done_is_told_and_the_same_command_goes_on(
    folder, monkeypatch
):
    class Stopped(CellModel):
        def __call__(self, images):
            if self.images > 100:
                raise KeyboardInterrupt
            return super().__call__(images)

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["cell_models"], "classify", Stopped())
        result = run(*VARY)
    assert result.exit_code == 130
    assert "Note: interrupted after 2 of 4 runs." in result.stdout
    assert result.stderr.splitlines()[-1] == "stopped; the same command goes on"
    sys.modules["cell_models"].classify = model = CellModel()
    assert run(*VARY).exit_code == 0
    assert model.images == 2 * 40 + 2  # and the full view's class, once for each


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "Missing option '--vary'"),
        (["--vary", "mate"], 2, "--vary: 'mate': expected ROLE=SPEC"),
        (["--vary", "population=many"], 2, "'population=many': expected a number"),
        (["--vary", "mat=cxUniform"], 1, "did you mean 'mate'"),
        (["--vary", "mate=cxUniform"], 2, "--vary mate=cxUniform --vary mate=…"),
        (["--vary", "fill=mean", "--vary", "fill=blurr"], 1, "variant 'blurr': unknown fill"),
        ([*VARY, "--seconds", "3"], 2, "No such option"),
        ([*VARY, "--engine", "auto"], 2, "No such option"),
    ],
)
def test_mistakes_are_one_line(folder, args, code, message):
    result = run(*args)
    assert result.exit_code == code
    assert message in result.stderr.strip().splitlines()[-1]
    assert "Traceback" not in result.output
    assert not (folder / "deap-xai-compare").exists()


def test_other_settings_in_the_same_folder_are_refused(folder):
    assert run(*VARY).exit_code == 0
    result = run(*VARY, "--budget", "30")
    assert result.exit_code == 1
    assert "deap-xai-compare/runs holds runs under other settings: budget was 40" in result.stderr


def test_a_folder_that_takes_no_file_is_told_after_the_report(folder):
    (folder / "deap-xai-compare" / "runs.csv").mkdir(parents=True)
    result = run(*VARY)
    assert result.exit_code == 1
    assert "Tested over" in result.stdout
    assert result.stderr == "Error: can't write to deap-xai-compare: Is a directory\n"


def test_without_the_extra_one_line_names_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    result = run(*VARY)
    assert result.exit_code == 1
    assert 'pip install "deap-xai[compare]"' in result.stderr
