"""The shell: what goes to standard output, what to the error stream, and exit codes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import CellModel
from PIL import Image as PILImage

import deap_xai
from deap_xai import cli
from deap_xai.cli.explain import stems as stems_of
from deap_xai.cli.progress import progress
from deap_xai.errors import SettingError
from deap_xai.explanation import Explanation


@pytest.fixture
def folder(tmp_path, monkeypatch, image):
    """A working directory with two pictures, a broken one, and the user's own model."""
    monkeypatch.chdir(tmp_path)
    PILImage.fromarray(image).save("frog.png")
    PILImage.fromarray(image[::-1]).save("toad.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "names.txt").write_text("other\n\ntree frog\n")
    module = types.ModuleType("cell_models")
    module.classify = CellModel()
    monkeypatch.setitem(sys.modules, "cell_models", module)
    return tmp_path


SMALL = (
    "--model cell_models:classify --segments grid:n_segments=16 --fill black --budget 40".split()
)


def run(*args, small=True):
    return CliRunner().invoke(cli.main, ["explain", *args, *(SMALL if small else [])])


def only_line(result, code):
    """The one line on the error stream; no traceback anywhere."""
    assert result.exit_code == code, result.output
    assert not isinstance(result.exception, (ValueError, TypeError, OSError))
    assert result.stdout == ""
    assert "Traceback" not in result.output
    lines = result.stderr.strip().splitlines()
    assert lines[-1].startswith("Error: ")
    assert code == 2 or len(lines) == 1
    return lines[-1]


def test_a_model_that_leaves_takes_nobody_with_it(folder, monkeypatch):
    class Leaves(CellModel):
        def __call__(self, images):
            if self.images == 0:
                self.batches.append(1)
                raise SystemExit(3)
            return super().__call__(images)

    monkeypatch.setattr(sys.modules["cell_models"], "classify", Leaves())
    result = run("frog.png", "toad.png")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: frog.png: SystemExit: 3 (")
    assert result.stdout.startswith("toad.png: class 1\n")


def test_explain_tells_what_was_enough(folder):
    result = run("frog.png")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.startswith("frog.png: class 1\n  full view     0.590\n  kept part ")
    assert "of 16 superpixels)" in result.stdout
    assert "  nothing       0.050\n  40 model calls in " in result.stdout
    assert "\n  1 model call in " in run("frog.png", *SMALL, "--budget", "1", small=False).stdout


def test_notes_are_printed(folder):
    assert "  Note: the empty view alone gives" in run("frog.png", "--target", "0").stdout


def test_json_is_one_object_a_line_and_nothing_else(folder):
    result = run("frog.png", "toad.png", "--json", "--out", "results")
    assert result.exit_code == 0
    facts = [json.loads(line, parse_constant=pytest.fail) for line in result.stdout.splitlines()]
    assert [fact["image"] for fact in facts] == ["frog.png", "toad.png"]
    assert all(fact["model_calls"] == 40 for fact in facts)
    assert "wrote" in result.stderr


def test_settings_arrive(folder):
    options = "--set mate=cxTwoPoint --set mutate=mutFlipBit:indpb=0.1 --objective probability "
    options += "--objective size --population 8 --seed 5 --batch-size 3 --classes names.txt "
    options += "--target TREE_FROG --algorithm eaNSGA2:cxpb=0.8 --patience 30 --seconds 9 --json"
    result = run("frog.png", *options.split())
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["target"], facts["target_name"], facts["seed"]) == (1, "tree frog", 5)
    settings = facts["settings"]
    assert settings["operators"]["mate"] == "cxTwoPoint"
    assert settings["operators"]["mutate"] == "mutFlipBit:indpb=0.1"
    assert settings["objectives"] == ["probability", "size"]
    assert settings["algorithm"] == "eaNSGA2:cxpb=0.8"
    keys = ("population", "batch_size", "patience", "seconds", "budget")
    assert [settings[key] for key in keys] == [8, 3, 30, 9.0, 40]


def test_out_writes_pictures_and_explanations(folder):
    result = run("frog.png", "toad.png", "--out", "new/results")
    assert result.exit_code == 0
    files = sorted(path.name for path in (folder / "new" / "results").iterdir())
    assert files == ["frog.npz", "frog.png", "toad.npz", "toad.png"]
    saved = Explanation.load(folder / "new" / "results" / "frog.npz")
    assert saved.model_calls == 40
    with PILImage.open(folder / "new" / "results" / "frog.png") as picture:
        assert picture.size[0] > 1000


def test_one_bad_image_of_several(folder):
    result = run("frog.png", "bad.png", "nowhere.png", "toad.png", "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["image"] for line in result.stdout.splitlines()] == [
        "frog.png",
        "toad.png",
    ]
    first, second = result.stderr.strip().splitlines()
    assert first.startswith("Error: bad.png: ")
    assert second.startswith("Error: nowhere.png: ")


def test_a_model_that_fails_on_one_image_does_not_end_the_others(folder, monkeypatch):
    def moody(images):
        if len(calls) < 2:
            calls.append(images)
            raise ZeroDivisionError("out of sorts")
        return CellModel()(images)

    calls = []
    monkeypatch.setattr(sys.modules["cell_models"], "classify", moody)
    result = run("frog.png", "toad.png", "frog.png", "--json")
    assert result.exit_code == 1
    assert [json.loads(line)["image"] for line in result.stdout.splitlines()] == ["frog.png"]
    for name, line in zip(("frog", "toad"), result.stderr.splitlines(), strict=True):
        assert line.startswith(f"Error: {name}.png: ZeroDivisionError: out of sorts (test_cli.py, ")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["bad.png"], 1, "bad.png"),
        (["frog.png", "--model", "resnet_18"], 1, "did you mean 'resnet18'"),
        (["frog.png", "--model", "no_such:thing"], 1, "can't import no_such:thing"),
        (["frog.png", "--model", "resnet18", "--weights", "x.pth"], 1, "no weights file at x.pth"),
        (["frog.png", "--fill", "blurr"], 1, "did you mean 'blur'"),
        (["frog.png", "--segments", "slic:n=5"], 1, "has no parameter 'n'"),
        (["frog.png", "--algorithm", "eaElitst"], 1, "did you mean 'eaElitist'"),
        (["frog.png", "--set", "mate=cxNothing"], 1, "unknown operator 'cxNothing'"),
        (["frog.png", "--set", "mutate=mutGaussian"], 1, "it also needs mu, sigma;"),
        (
            ["frog.png", "--set", "mate=cxMessyOnePoint", "--population", "8"],
            1,
            "changed an individual's length",
        ),
        (["frog.png", "--objective", "sizes"], 1, "did you mean 'size'"),
        (["frog.png", "--target", "cow"], 1, "has no class names"),
        (["frog.png", "--target", "2"], 1, "this model has no class 2; its 2 classes are 0..1"),
        (["frog.png", "--out", "frog.png/x"], 1, "can't write to frog.png/x"),
        (["frog.png", "--set", "mate"], 2, "expected ROLE=SPEC, such as mate=cxTwoPoint"),
        (
            ["frog.png", "--set", "mate=cxUniform", "--set", "mate=cxRegion"],
            2,
            "--set: 'mate' is given twice, cxUniform and cxRegion; a role has one operator",
        ),
        (["frog.png", "--budget", "0"], 2, "0 is not in the range"),
        (["frog.png", "--population", "1"], 2, "1 is not in the range"),
        (["frog.png", "--seed", "-1"], 2, "-1 is not in the range"),
        (["frog.png", "--classes", "nowhere.txt"], 2, "nowhere.txt"),
        (["frog.png", "--classes", "frog.png"], 2, "frog.png isn't text; expected class names"),
        (["frog.png", "--no-such-option"], 2, "No such option"),
        ([], 2, "Missing argument"),
    ],
)
def test_user_errors_are_one_line(folder, args, code, message):
    given = [pair for pair in zip(SMALL[::2], SMALL[1::2], strict=True) if pair[0] not in args]
    result = run(*args, *(word for pair in given for word in pair), small=False)
    assert message in only_line(result, code)


def test_a_role_that_nobody_plays_is_told_once(folder):
    result = run("frog.png", "toad.png", "--set", "mat=cxUniform", "--out", "out")
    assert "unknown role 'mat'" in only_line(result, 1)
    assert not (folder / "out").exists()


def test_what_is_refused_leaves_no_folder(folder):
    assert run("frog.png", "toad.png", "--report", "a.html", "--out", "out").exit_code == 2
    assert not (folder / "out").exists()


def test_a_models_own_broken_pipe_is_its_failure(folder, monkeypatch):
    def cut_off(images):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(sys.modules["cell_models"], "classify", cut_off)
    result = run("frog.png", "toad.png")
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert [line.split(":")[1] for line in lines] == [" frog.png", " toad.png"]
    assert all("raised BrokenPipeError" in line for line in lines)


def test_whoever_reads_this_may_stop_reading(folder, monkeypatch):
    def closed(*args, **settings):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("click.echo", closed)
    result = run("frog.png", "toad.png", "--json")
    assert (result.exit_code, result.output) == (1, "")


def test_names_may_begin_with_a_byte_order_mark(folder):
    (folder / "names.txt").write_text("other\ngrenouille verte é\n", encoding="utf-8-sig")
    result = run("frog.png", "--classes", "names.txt", "--target", "other")
    assert result.exit_code == 0, result.output
    assert "frog.png: other\n" in result.stdout


def test_a_name_that_the_terminal_can_not_show_loses_nothing(folder):
    (folder / "frog.png").rename("snow☃.png")
    args = ["explain", "snow☃.png", *SMALL, "--out", "out"]
    result = CliRunner(charset="latin-1").invoke(cli.main, args)
    assert result.exit_code == 0, result.output
    assert "snow\\u2603.png: class 1" in result.stdout
    assert sorted(path.name for path in Path("out").iterdir()) == ["snow☃.npz", "snow☃.png"]


def test_a_disk_that_is_full_is_no_mistake_of_ours(folder, monkeypatch):
    def full(*args, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("deap_xai.listing.listing", full)
    result = CliRunner().invoke(cli.main, ["list"])
    assert only_line(result, 1) == "Error: [Errno 28] No space left on device"


def test_a_file_that_can_not_be_written(folder):
    (folder / "out" / "frog.png").mkdir(parents=True)  # where the picture should go
    result = run("frog.png", "--out", "out")
    assert result.exit_code == 1
    assert "Is a directory: 'out/frog.png'" in result.stderr
    assert "16 superpixels" in result.stdout  # which no disk can take away


@pytest.mark.parametrize(
    ("images", "stems"),
    [
        (["frog.png"], ["frog"]),
        (
            ["a/frog.png", "toad.png", "b/frog.png", "frog.jpg"],
            ["frog", "toad", "frog-2", "frog-3"],
        ),
        (["frog.png", "b/frog.png", "frog-2.png"], ["frog", "frog-2", "frog-2-2"]),
        (["frog-2.png", "frog.png", "b/frog.png"], ["frog-2", "frog", "frog-3"]),
        (["frog.png", "FROG.png"], ["frog", "FROG-2"]),  # one file, where case doesn't count
    ],
)
def test_no_image_overwrites_anothers_files(images, stems):
    assert stems_of(images) == stems


def test_two_images_of_one_name(folder):
    (folder / "b").mkdir()
    PILImage.open("toad.png").save("b/frog.png")
    assert run("frog.png", "b/frog.png", "--out", "out").exit_code == 0
    files = sorted(path.name for path in (folder / "out").iterdir())
    assert files == ["frog-2.npz", "frog-2.png", "frog.npz", "frog.png"]
    one, two = (Explanation.load(folder / "out" / f"{stem}.npz") for stem in ("frog", "frog-2"))
    assert (one.view == two.view[::-1]).all()


def test_ctrl_c_before_anything_is_known(folder, monkeypatch):
    def interrupted(images):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["cell_models"], "classify", interrupted)
    result = run("frog.png")
    assert result.exit_code == 1
    assert "Aborted!" in result.stderr
    assert result.stdout == ""


def interrupted_at_the_fourth_call(monkeypatch):
    calls = []

    def interrupted(images):
        calls.append(len(images))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return CellModel()(images)

    monkeypatch.setattr(sys.modules["cell_models"], "classify", interrupted)
    return calls


def test_ctrl_c_amid_the_only_image_shows_the_best_so_far(folder, monkeypatch):
    interrupted_at_the_fourth_call(monkeypatch)
    result = run("frog.png", "--json")
    assert (result.exit_code, result.stderr) == (130, "")
    assert "the search was interrupted" in " ".join(json.loads(result.stdout)["warnings"])


def test_ctrl_c_amid_one_of_several_images_stops(folder, monkeypatch):
    calls = interrupted_at_the_fourth_call(monkeypatch)
    result = run("frog.png", "toad.png", "frog.png")
    assert result.exit_code == 130
    assert "frog.png: class 1" in result.stdout
    assert "Note: the search was interrupted" in result.stdout
    assert "toad.png" not in result.stdout
    assert result.stderr == "Stopped: 2 of 3 images weren't begun\n"
    assert len(calls) == 4


def test_what_was_not_asked_is_called_so(folder):
    result = run("frog.png", *SMALL, "--budget", "1", small=False)
    assert "  nothing       not asked\n" in result.stdout
    assert "nan" not in result.stdout


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["--algorithm", "eaElitist", "--set", "select=selTournament:tournsize=0"],
            "tournsize must be a whole number of at least 1; got 0",
        ),
        (["--algorithm", "eaSurrogate:batch=8.5"], "batch must be a whole number; got 8.5"),
        (
            ["--algorithm", "eaElitist", "--set", "mutate=mutFlipBit:indpb=abc"],
            "operator 'mutFlipBit': indpb must be within 0..1; got 'abc'",
        ),
        (["--algorithm", "eaNSGA2:cxpb=7"], "'eaNSGA2': cxpb must be within 0..1; got 7"),
        (["--algorithm", "eaElitist:mutpb=-0.1"], "mutpb must be within 0..1; got -0.1"),
        (["--pick", "smallest:p=high"], "p must be within 0..1; got 'high'"),
    ],
)
def test_values_of_the_wrong_kind_are_one_line(folder, args, message):
    result = run("frog.png", *SMALL, "--budget", "100", *args, small=False)
    assert result.exit_code == 1
    assert result.stdout == ""
    [line] = result.stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert message in line


def test_list_prints_everything_that_can_be_named():
    from deap_xai.registry import REGISTRIES

    result = CliRunner().invoke(cli.main, ["list", "fills", "objectives", "models"])
    assert result.exit_code == 0
    assert "\n  blur:sigma=None\n" in result.stdout
    assert "\n  resnet50\n" in result.stdout
    everything = CliRunner().invoke(cli.main, ["list"]).stdout
    for kind, known in REGISTRIES.items():
        assert f"{kind}s\n" in everything
        assert all(f"\n  {name}" in everything for name in known.names())
    assert "deap-xai list models" in everything
    result = CliRunner().invoke(cli.main, ["list", "fruits"])
    assert "unknown kind 'fruits'" in only_line(result, 1)


@pytest.mark.parametrize("args", [["--help"], ["explain", "-h"], ["list", "--help"]])
def test_help(args):
    result = CliRunner().invoke(cli.main, args)
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_help_has_examples():
    text = CliRunner().invoke(cli.main, ["explain", "--help"]).stdout
    assert "Examples:\n    deap-xai explain frog.jpg\n" in text
    assert "--set mate=cxTwoPoint" in text


def test_version():
    result = CliRunner().invoke(cli.main, ["--version"])
    assert deap_xai.__version__ in result.stdout


def test_the_progress_bar(monkeypatch, make_explainer, image, capsys):
    explainer = make_explainer(budget=40, pick="within:k=2")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress("frog.png", explainer.picked, quiet=False) as report:
        shown = explainer.explain(image, progress=report)
    drawn = capsys.readouterr().err
    assert f"kept {shown.mask.sum()}/16" in drawn.rsplit("frog.png", 1)[1]  # not the best one's
    assert shown.mask.sum() < shown.front[-1].size
    assert "frog.png" in drawn
    assert "/40 calls" in drawn
    assert "/32 calls" not in drawn  # what the search holds back for the checks counts too
    assert "probability 0." in drawn
    assert "/16" in drawn
    with progress("frog.png", explainer.picked, quiet=True) as report:
        assert report is None


def test_as_a_program(folder):
    """A fresh process, as users start it."""
    (folder / "users_models.py").write_text(
        "import numpy as np\n"
        "def bright(x):\n"
        "    p = x.mean(axis=(1, 2, 3)) / 255\n"
        "    return np.stack([p, 1 - p], axis=1)\n"
    )
    command = [sys.executable, "-c", "from deap_xai.cli import main; main()", "explain", "frog.png"]
    options = ["--model", "users_models:bright", "--budget", "20", "--segments", "grid", "--json"]
    done = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["model_calls"] <= 20
    assert np.isfinite(json.loads(done.stdout)["probability"])


@pytest.mark.parametrize(
    ("given", "spin"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_threads_spin_for_a_moment_unless_told_otherwise(given, spin):
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in names} | given
    code = f"import deap_xai, os; print([os.environ.get(name) for name in {names}])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{[spin, given.get('OMP_WAIT_POLICY')]}\n"


def test_nothing_of_the_users_is_written_over(folder):
    photograph = Path("frog.png").read_bytes()
    Path("note.txt").write_text("mine")
    result = run("frog.png", "--out", ".")
    assert "would write over frog.png, which is to be explained" in only_line(result, 2)
    for name in ("frog.png", "note.txt"):
        result = run("frog.png", "--report", name)
        assert f"a page is HTML; got {name}; name a file that ends in .html" in only_line(result, 1)
    assert Path("frog.png").read_bytes() == photograph
    assert Path("note.txt").read_text() == "mine"
    for _ in range(2):  # a page may be made anew
        assert run("frog.png", "--report", "page.html", "--out", "out").exit_code == 0
    explanation = Explanation.load("out/frog.npz")
    with pytest.raises(SettingError, match=r"a page is HTML; got frog\.png"):
        explanation.report("frog.png")
    Path("bare").write_text("mine")
    for name, message in (("rep.pdf", "a page is HTML; got rep"), ("bare", "may be no page")):
        with pytest.raises(SettingError, match=message):
            explanation.report(name)
    assert Path("bare").read_text() == "mine"
    assert only_line(run("frog.png", "--report", "new/rep.pdf"), 1)
    assert not Path("new").exists()
    assert explanation.report("other").read_text("utf-8").startswith("<!doctype html>")


def test_the_place_of_an_error_in_the_users_model_is_told(folder):
    Path("mistaken.py").write_text("def model(images):\n    return images.nothing\n")
    result = run("frog.png", "--model", "mistaken:model", small=False)
    assert "frog.png: AttributeError: " in only_line(result, 1)
    assert result.stderr.rstrip().endswith("(mistaken.py, line 2)")
