"""Comparing variants: what runs, what is kept, what goes on, what fails and how that is told."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
import subprocess
import sys
import types
import unittest.mock
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import CELL, SIDE, CellModel
from PIL import Image as PILImage

import deap_xai as dx
from deap_xai.backends import FunctionBackend
from deap_xai.comparison import factorial
from deap_xai.errors import DeapXaiError, ImageError, MissingExtraError, SettingError
from deap_xai.identity import differences, identity
from deap_xai.images import image_name

pytest.importorskip("scikit_posthocs", reason="needs the extra compare")

FLIP = {"operators": {"mutate": "mutFlipBit"}}
STEP = {"operators": {"mutate": "mutStep"}}
PAIR = {"flip": FLIP, "step": STEP}
RUN = ["model", "image", "variant", "seed"]


def idle(individual):
    """A mutation that is switched off."""
    return (individual,)


@pytest.fixture
def base(segments):
    return {"segments": segments, "fill": "black", "algorithm": "eaElitist", "budget": 50,
            "population": 8}  # fmt: skip


@pytest.fixture
def compared(base, image, model):
    """Compare two variants on the cells, or what is given instead."""

    def run(variants=PAIR, images=image, models=model, seeds=3, **settings):
        given = {**base, **settings.pop("base", {})}
        return dx.compare(images, models, variants, base=given, seeds=seeds, **settings)

    return run


def without_seconds(frame):
    return frame.drop(columns="seconds")


def test_a_row_a_run_at_equal_calls_and_paired_seeds(compared, image, model):
    other = image[::-1].copy()
    found = compared(images={"frog": image, "toad": other}, seeds=[4, 7])
    table = found.table
    expected = [
        ("CellModel", name, variant, seed)
        for name in ("frog", "toad")
        for seed in (4, 7)
        for variant in ("flip", "step")
    ]
    assert list(table[RUN].itertuples(index=False, name=None)) == expected
    assert set(table["calls"]) == {50}
    assert model.images == 8 * 50 + 2  # and one call to set up each variant
    assert (table["target"] == 1).all()
    assert table["full"].to_numpy() == pytest.approx(0.05 + 0.9 * 0.6)
    assert table["empty"].to_numpy() == pytest.approx(0.05)
    assert (table["probability"] <= 0.95 + 1e-6).all()
    assert table["size"].tolist() == [mask.count("1") for mask in table["mask"]]
    ends = found.trajectories.groupby(RUN, sort=False).last().reset_index()
    assert ends["calls"].tolist() == table["calls"].tolist()
    assert ends["front_quality"].to_numpy() == pytest.approx(table["front_quality"].to_numpy())
    assert ends["probability"].to_numpy() == pytest.approx(table["probability"].to_numpy())
    starts = {
        (row[1], row[3], row[2]): part["front_quality"].to_numpy()[:10]
        for row, part in found.trajectories.groupby(RUN)
    }
    for name in ("frog", "toad"):  # the same first population, after the full and the empty view
        for seed in (4, 7):
            assert (starts[name, seed, "flip"] == starts[name, seed, "step"]).all()
        assert (starts[name, 4, "flip"] != starts[name, 7, "flip"]).any()


def test_a_run_is_what_the_explainer_searches(compared, base, image, model):
    table = compared(seeds=1).table
    explainer = dx.Explainer(model, **base, **STEP, seed=0)
    evaluator = explainer.evaluator(image)
    explainer.search(evaluator)
    row = table[table["variant"] == "step"].iloc[0]
    assert row["probability"] == pytest.approx(evaluator.archive.probabilities.max())
    within = [
        max(
            p
            for mask, p in zip(
                evaluator.archive.masks, evaluator.archive.probabilities, strict=True
            )
            if mask.sum() <= k
        )
        for k in range(1, 17)
    ]
    assert row["front_quality"] == pytest.approx(np.mean(within))
    shares = [row["within_10%"], row["within_25%"], row["within_50%"]]
    assert shares == pytest.approx([within[0], within[3], within[7]])


def test_two_names_for_the_same_come_out_alike_and_a_crippled_one_as_worse(compared):
    variants = {"flip": FLIP, "same": dict(FLIP), "idle": {"operators": {"mutate": idle}}}
    found = compared(variants, seeds=8, base={"budget": 80, "population": 10})
    pairs = found.pairs().set_index(["first", "second"])
    alike = pairs.loc["flip", "same"]
    assert (alike["difference"], alike["a12"], alike["p"]) == (0, 0.5, 1)
    assert alike["sentence"].startswith("No difference was shown between flip and same: ")
    for good in ("flip", "same"):
        worse = pairs.loc[good, "idle"]
        assert worse["shown"]
        assert worse["difference"] > 0.05
        assert worse["sentence"].startswith(f"{good} is better than idle: front quality +")
    assert found.friedman() < 0.05
    assert "8 runs ended before 80 model calls" in found.notes[0]
    assert found.summary()["rank"].to_dict() == {"flip": 1.5, "same": 1.5, "idle": 3}


def test_one_process_gives_what_two_give(compared, image):
    step = 2

    def mine(individual):  # a function that no module holds
        for index in range(0, len(individual), step):
            individual[index] = 1 - individual[index]
        return (individual,)

    variants = {**PAIR, "mine": {"operators": {"mutate": mine}}}
    one, two = (compared(variants, seeds=2, jobs=jobs) for jobs in (1, 2))
    pd.testing.assert_frame_equal(without_seconds(one.table), without_seconds(two.table))
    pd.testing.assert_frame_equal(one.trajectories, two.trajectories)


def test_what_cant_travel_to_another_process_is_told(compared, image):
    model = CellModel()
    model.tie = (_ for _ in ())  # generators can't be pickled
    with pytest.raises(SettingError, match=r"another process .TypeError: cannot pickle"):
        compared(models=model, jobs=2)


def test_more_seeds_run_only_what_is_missing(compared, model, tmp_path):
    first = compared(seeds=2, out=tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 4
    before = model.images
    second = compared(seeds=3, out=tmp_path)
    assert model.images - before == 2 * 50 + 2
    kept = second.table[second.table["seed"] < 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, first.table)
    fresh = compared(seeds=3)
    pd.testing.assert_frame_equal(without_seconds(second.table), without_seconds(fresh.table))
    pd.testing.assert_frame_equal(second.trajectories, fresh.trajectories)


class Interrupted(CellModel):
    """Ctrl-C comes after so many images."""

    def __init__(self, after):
        super().__init__()
        self.after = [after]

    def __call__(self, images):
        if self.images > self.after[0]:
            raise KeyboardInterrupt
        return super().__call__(images)


def test_an_interrupted_comparison_goes_on(compared, tmp_path):
    model = Interrupted(130)
    part = compared(models=model, out=tmp_path)
    assert part.notes == ("interrupted after 2 of 6 runs",)
    assert part.table["variant"].tolist() == ["flip", "step"]
    before, model.after = model.images, [10_000]
    whole = compared(models=model, out=tmp_path)
    assert len(whole.table) == 6
    assert model.images - before == 4 * 50 + 2
    with pytest.raises(KeyboardInterrupt):  # nothing to give back yet
        compared(models=Interrupted(20))


def test_other_settings_are_refused_where_runs_are_kept(compared, image, tmp_path):
    compared(seeds=1, out=tmp_path)
    with pytest.raises(SettingError, match="budget was 50, is now 40; name another folder"):
        compared(seeds=1, out=tmp_path, base={"budget": 40})
    with pytest.raises(SettingError, match=r"variant step.operators.mutate was 'mutStep', is now"):
        compared({**PAIR, "step": {"operators": {"mutate": idle}}}, seeds=1, out=tmp_path)
    with pytest.raises(SettingError, match="image image was 'array uint8"):
        compared(seeds=1, out=tmp_path, images=image // 2)
    more = compared({**PAIR, "idle": {"operators": {"mutate": idle}}}, seeds=1, out=tmp_path)
    assert len(more.table) == 3


def test_a_function_with_other_defaults_is_another(compared, tmp_path):
    def made(p):
        def mine(individual, *, rng, indpb=p):
            for index in range(len(individual)):
                if rng.random() < indpb:
                    individual[index] = 1 - individual[index]
            return (individual,)

        return {"flip": FLIP, "mine": {"operators": {"mutate": mine}}}

    compared(made(0.1), seeds=1, out=tmp_path)
    assert len(compared(made(0.1), seeds=1, out=tmp_path).table) == 2
    with pytest.raises(SettingError, match="runs under other settings: variant mine"):
        compared(made(0.9), seeds=1, out=tmp_path)


def test_a_damaged_file_is_run_again(compared, model, tmp_path):
    first = compared(seeds=1, out=tmp_path)
    path = sorted((tmp_path / "runs").iterdir())[0]
    path.write_bytes(path.read_bytes()[:100])
    before = model.images
    second = compared(seeds=1, out=tmp_path)
    assert model.images - before == 50 + 2
    pd.testing.assert_frame_equal(without_seconds(first.table), without_seconds(second.table))


def test_a_failing_run_is_an_entry_and_no_lost_comparison(compared):
    calls = [0, -1]  # how many there were, and from where on they fail

    def moody(individual):
        calls[0] += 1
        if calls[0] == calls[1]:
            raise ZeroDivisionError("out of sorts")
        return (individual,)

    variants = {**PAIR, "moody": {"operators": {"mutate": moody}}}
    assert len(compared(variants, seeds=1).failures) == 0
    calls[1] = calls[0] + 1  # the first call of the next comparison
    found = compared(variants)
    assert found.failures.to_dict("records") == [
        {"model": "CellModel", "image": "image", "variant": "moody", "seed": 0,
         "error": "ZeroDivisionError: out of sorts"}
    ]  # fmt: skip
    assert "1 run failed, of moody; the first: ZeroDivisionError: out of sorts" in found.notes[0]
    assert "Note: " in found.report()
    assert repr(found) == "Comparison(3 variants, 1 problem, 8 runs)"
    whole = found.table[found.table["seed"] > 0]
    means = whole.groupby("variant")["front_quality"].mean()
    summary = found.summary()
    assert (summary["runs"] == 2).all()
    assert summary["front_quality"].to_dict() == pytest.approx(means.to_dict())


def test_a_process_that_dies_leaves_what_was_finished(compared, tmp_path):
    here = os.getpid()

    def deadly(individual):
        assert os.getpid() != here
        os._exit(1)

    variants = {"flip": FLIP, "deadly": {"operators": {"mutate": deadly}}}
    with pytest.raises(DeapXaiError, match="a process died amid its run"):
        compared(variants, jobs=2, out=tmp_path)
    assert len(compared(PAIR, out=tmp_path).table) == 6


def test_a_variant_that_always_fails_is_left_out_of_the_tests(compared, tmp_path):
    def broken(individual):
        raise RuntimeError("broken")

    variants = {**PAIR, "broken": {"operators": {"mutate": broken}}}
    found = compared(variants)
    assert list(found.pairs()["sentence"].str.contains("broken")) == [False]
    assert (tmp_path / "failures.csv") in found.save(tmp_path)
    alone = compared({"flip": FLIP, "broken": variants["broken"]})
    assert "No problem and seed was run by two variants: nothing to compare." in alone.report()
    with pytest.raises(SettingError, match="nothing to rank"):
        alone.plot_ranks()
    names = {path.name for path in alone.save(tmp_path / "alone")}
    assert "ranks.png" not in names
    assert "pairs.csv" not in names
    assert "anytime.png" in names
    with pytest.raises(DeapXaiError, match="every run failed; the first: RuntimeError: broken"):
        compared({"one": variants["broken"], "two": variants["broken"]})


def test_an_operator_that_leaves_ends_its_own_runs_alone(compared):
    def leaves(individual):
        raise SystemExit("bye")

    found = compared({**PAIR, "leaves": {"operators": {"mutate": leaves}}})
    assert set(found.failures["variant"]) == {"leaves"}
    assert set(found.failures["error"]) == {"SystemExit: bye"}
    assert len(found.table) == 6


def test_what_every_variant_replaces_is_told(compared):
    told = "the mutate operator of the base has no part: every variant has its own"
    base = {"operators": {"mutate": "mutSwap", "mate": "cxOnePoint"}, "budget": 20}
    assert [note for note in compared(base=base, seeds=1).notes if "base" in note] == [told]
    found = compared({**PAIR, "swap": {}}, base=base, seeds=1)
    assert not [note for note in found.notes if "base" in note]


@pytest.mark.parametrize(
    ("variants", "settings", "message"),
    [
        ({"flip": FLIP}, {}, "variants must map two names at least"),
        ([FLIP, STEP], {}, "variants must map two names at least"),
        ({**PAIR, "x": {"fil": "mean"}}, {}, "variant 'x': .*'fil'.*did you mean 'fill'"),
        ({**PAIR, "x": {"budget": 3}}, {}, "variant 'x': all variants have the same budget"),
        ({**PAIR, "x": {"seed": 3}}, {}, "variant 'x': seeds are given to compare itself"),
        (PAIR, {"base": {"seconds": 3}}, "base: runs are compared at equal model calls"),
        (PAIR, {"base": {"budget": 0}}, "budget must be a finite number above 0"),
        (PAIR, {"seeds": 0}, "seeds must be a number above 0 or distinct seeds"),
        (PAIR, {"seeds": [1, 1]}, "seeds must be a number above 0 or distinct seeds"),
        (PAIR, {"seeds": [1.2, 1.7]}, r"distinct seeds, whole numbers.*got \[1.2, 1.7\]"),
        (PAIR, {"seeds": 1.5}, r"distinct seeds, .* below 2\*\*63; got 1.5"),
        (PAIR, {"seeds": "12"}, r"distinct seeds, .* below 2\*\*63; got '12'"),
        (PAIR, {"seeds": [0, -1]}, "distinct seeds, whole numbers of at least 0"),
        ({20: FLIP, "20": STEP}, {}, r"two variants have the same name as text; got \[20, '20'\]"),
        ({**PAIR, "x": None}, {}, "variant 'x' must map settings to values, .*; got None"),
        ({**PAIR, "x": {"operators": "cxUniform"}}, {}, "variant 'x': operators must map roles"),
        (PAIR, {"base": {"operators": ["cxUniform"]}}, "base: operators must map roles"),
        (PAIR, {"jobs": 0.5}, "jobs must be a number of processes, or -1 .*; got 0.5"),
        (PAIR, {"jobs": 0}, "jobs must be a number of processes, or -1"),
        (PAIR, {"images": []}, "no image was given"),
        (PAIR, {"models": {}}, "no model was given"),
        (PAIR, {"models": ["demo", "demo"]}, "the models 'demo' and 'demo-2' are the same"),
        (PAIR, {"models": {"a": "a.onnx", "b": Path("./a.onnx")}}, "'a' and 'b' are the same"),
        ({**PAIR, "x": {"operators": {"mat": "cxUniform"}}}, {}, "variant 'x': unknown role 'mat'"),
        ({**PAIR, "x": {"operators": {"mate": "cxUniformm"}}}, {}, "variant 'x': unknown operator"),
        ({**PAIR, "x": {"operators": {"mate": idle}}}, {}, "variant 'x': mate operator 'idle'"),
    ],
)
def test_mistakes_are_told_before_anything_runs(compared, model, variants, settings, message):
    with pytest.raises(SettingError, match=message):
        compared(variants, **settings)
    assert model.images <= 3  # one to set up each variant


def test_mistakes_with_images_folders_and_measures(compared, tmp_path):
    with pytest.raises(ImageError, match="no_such"):
        compared(images=["no_such.png"])
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"can't write to .*file"):
        compared(out=tmp_path / "file")
    with pytest.raises(SettingError, match="measure must be one of front_quality, probability"):
        compared(seeds=1).pairs("size")


def test_without_the_extra_the_error_names_it(compared, monkeypatch, model):
    monkeypatch.setitem(sys.modules, "scikit_posthocs", None)
    with pytest.raises(MissingExtraError, match=r'pip install "deap-xai\[compare\]"'):
        compared()
    assert model.images == 0


def test_names_of_problems(compared, image):
    class Twin(CellModel):
        pass

    found = compared(images=[image, image[::-1].copy()], models=(CellModel(), CellModel(), Twin()),
                     seeds=1)  # fmt: skip
    assert list(dict.fromkeys(found.table["image"])) == ["image", "image-2"]
    assert list(dict.fromkeys(found.table["model"])) == ["CellModel", "CellModel-2", "Twin"]


@pytest.mark.parametrize("seeds", [np.int64(2), np.arange(2), [np.int32(0), 1]])
def test_seeds_are_whole_numbers_of_any_kind(compared, seeds):
    assert compared(seeds=seeds).table["seed"].tolist() == [0, 0, 1, 1]


def test_names_of_variants_are_text(compared, tmp_path):
    found = compared({20: {"population": 20}, 40: {"population": 40}}, seeds=1)
    assert set(found.table["variant"]) == {"20", "40"}
    assert (tmp_path / "ranks.png") in found.save(tmp_path)


def test_seconds_leave_out_loading_the_model(compared, monkeypatch):
    from deap_xai.backends import FunctionBackend, backends

    now = [0]

    def cells(*, batch_size: int = 32):
        now[0] += 100
        return FunctionBackend(CellModel(), batch_size=batch_size)

    clock = types.SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("deap_xai.comparison.running.time", clock)
    monkeypatch.setitem(backends._functions, "cells", cells)
    assert compared(models="cells", seeds=1).table["seconds"].tolist() == [0, 0]


def test_a_named_model_is_loaded_once(compared, image, monkeypatch):
    from deap_xai.backends import FunctionBackend, backends

    loaded = []

    def cells(*, batch_size: int = 32, device=None):
        loaded.append(device)
        return FunctionBackend(CellModel(), batch_size=batch_size)

    monkeypatch.setitem(backends._functions, "cells", cells)
    found = compared(models="cells", base={"device": "cpu"})
    assert loaded == ["cpu", "cpu"]  # to look whether it can be, and for the runs
    assert set(found.table["model"]) == {"cells"}


def test_fills_as_variants_carry_a_note(compared):
    found = compared({"mean": {"fill": "mean"}, "black": {"fill": "black"}}, seeds=1)
    assert any(note.startswith("fill or segments vary") for note in found.notes)


def test_a_variant_lies_over_the_base_role_by_role(compared):
    shared = {"operators": {"mate": "cxRegion", "mutate": "mutSwap"}}
    found = compared(seeds=1, base=shared)
    meant = found.settings["variants"]["step"]["operators"]
    assert meant == {"mate": "cxRegion", "mutate": "mutStep"}


def test_factorial_says_what_it_doesnt_know():
    with pytest.raises(SettingError, match=r"'mutat'.*did you mean 'mutate'"):
        factorial({"mutat": ["mutFlipBit"]})
    with pytest.raises(SettingError, match="two variants would be called 'mutStep'"):
        factorial({"mutate": ["mutStep", "mutStep"]})
    levels = {"mutate": [idle], "objectives": [("probability", "size"), [(idle, 1.0)]]}
    plain, own = factorial(levels)
    assert plain == "idle + probability size"
    assert own.startswith("idle + objectives=[(<function idle")


class Flips:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, individual):
        return (individual,)


@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_an_operators_numbers_are_part_of_what_it_means(kind):
    assert identity(Flips(kind(0.01))) != identity(Flips(kind(0.9)))
    assert identity(Flips(kind(0.5))) == identity(Flips(kind(0.5)))


def test_arrays_of_objects_mean_what_they_hold():
    names = ["toad", "frog" * 2]
    first, again = (np.array([str(name) for name in names], object) for _ in range(2))
    assert identity(first) == identity(again) == names


def test_objectives_that_no_variant_heeds_are_told(compared):
    variants = {"a": {"objectives": ["pieces"]}, "b": {"objectives": ["probability", "size"]}}
    variants["c"] = {"operators": {"select": "selBest", "mate": "cxRegion"}}
    found = compared(variants, seeds=1, base={"budget": 30, "algorithm": "eaSurrogate"})
    assert [note for note in found.notes if note.startswith("a: eaSurrogate searches for")]
    assert not [note for note in found.notes if note.startswith("b:")]
    said = [note for note in found.notes if note.startswith("c:")]
    assert said == ["c: the select operator has no part in eaSurrogate"]


def test_variants_that_never_differed_are_told(compared):
    variants = {name: {"operators": {"mate": name}} for name in ("cxUniform", "cxRegion")}
    base = {"algorithm": "eaElitist", "population": 30}
    told = "all runs of cxUniform, cxRegion are the same, mask by mask"
    found = compared(variants, seeds=2, base={**base, "budget": 25})
    assert [note for note in found.notes if note.startswith(told)]
    found = compared(variants, seeds=2, base={**base, "budget": 90})
    assert not [note for note in found.notes if note.startswith("all runs of")]


def test_runs_that_their_algorithm_ended_are_told(compared):
    variants = {"a": {"population": 10}, "b": {"population": 12}}
    found = compared(variants, seeds=1, base={"budget": 300, "algorithm": "eaNSGA2:ngen=1"})
    told = [note for note in found.notes if "ended before 300 model calls" in note]
    assert "nothing new was left to ask or the algorithm was to end" in told[0]


def test_calls_under_other_fills_are_counted(compared, model):
    objectives = ["probability", "size", "robustness"]
    variants = {"plain": {}, "robust": {"objectives": objectives}}
    base = {"algorithm": "eaNSGA2", "budget": 60}
    found = compared(variants, seeds=2, base=base)
    assert set(found.table["calls"]) == {60}
    assert not any("ended before" in note for note in found.notes)
    long = found.trajectories.set_index(["variant", "seed"]).sort_index()
    robust = long.loc[("robust", 0), "calls"].to_numpy()
    assert len(robust) < robust[-1] <= 60
    assert (np.diff(robust) > 0).all()
    found.plot_anytime()
    found.plot_ecdf()


def test_a_transform_and_a_fills_picture_are_part_of_what_a_name_means(
    compared, image, base, tmp_path
):
    transforms = pytest.importorskip("torchvision").transforms

    def normalising(mean):
        steps = [transforms.ToTensor(), transforms.Normalize([mean] * 3, [1.0] * 3)]
        return transforms.Compose(steps)

    assert identity(normalising(0.1)) == identity(normalising(0.1)) != identity(normalising(0.2))
    assert identity(object()) == "builtins.object"
    PILImage.fromarray(image).save(tmp_path / "fill.png")
    fill = {"fill": f"image:path={tmp_path / 'fill.png'}"}
    compared(base=fill, seeds=1, out=tmp_path / "run")
    PILImage.fromarray(255 - image).save(tmp_path / "fill.png")
    with pytest.raises(SettingError, match=r"runs under other settings: .*picture was"):
        compared(base=fill, seeds=1, out=tmp_path / "run")


def test_an_image_whose_name_is_no_text(image):
    assert image_name(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9"


def test_identity_changes_with_what_a_setting_does(tmp_path):
    weights = tmp_path / "weights"
    weights.write_bytes(b"1")
    before = identity(weights)
    weights.write_bytes(b"2")
    assert identity(weights) != before
    assert identity(tmp_path / "none").endswith("absent")
    assert identity(np.zeros(2)) != identity(np.ones(2))
    assert identity(np.float32(2)) == 2
    assert identity(functools.partial(idle, 1)) != identity(functools.partial(idle, 2))

    def made(n):
        return lambda individual: n

    assert identity(made(1)) == identity(made(1)) != identity(made(2))
    assert identity(CellModel().__call__) == identity(CellModel().__call__)
    assert identity(len) == identity(len) != identity(max)
    assert identity(eval("lambda: [i for i in ()]")) == identity(eval("lambda: [i for i in ()]"))
    assert identity(object()) == "builtins.object"
    model = CellModel()
    model.side = 1
    assert identity(model)["side"] == 1
    assert list(differences([1], [2])) == [" was [1], is now [2]"]


def test_identity_of_a_network_is_that_of_its_weights():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    assert identity(one) == identity(one) != identity(other)


def test_a_picture_is_named_by_its_file(compared, image, tmp_path):
    from PIL import Image as PILImage

    paths = [tmp_path / "frog.png", tmp_path / "b" / "frog.png", tmp_path / "copy.png"]
    paths[1].parent.mkdir()
    for path, pixels in zip(paths, (image, image[::-1], image), strict=True):
        PILImage.fromarray(pixels).save(path)
    with pytest.raises(SettingError, match="the images 'frog' and 'copy' are the same; a copy"):
        compared(images=[paths[0], paths[2]])
    found = compared(images=paths[:2], seeds=1)
    assert list(dict.fromkeys(found.table["image"])) == ["frog", "frog-2"]
    assert image.shape == (SIDE * CELL, SIDE * CELL, 3)


def test_functions_that_call_themselves_have_an_identity(compared):
    def made(step):
        def flip(individual, depth=2):
            individual[0] = 1 - individual[0] if step else individual[0]
            return (individual,) if depth == 0 else flip(individual, depth - 1)

        def unset():
            return later

        if not step:
            later = 1
        return flip, unset

    (one, unset), (two, _) = made(1), made(0)
    assert identity(one) == identity(made(1)[0]) != identity(two)
    assert identity(unset) == identity(made(1)[1])
    found = compared({"one": {"operators": {"mutate": one}}, "two": {"operators": {"mutate": two}}})
    assert len(found.table) == 6
    assert found.settings["variants"]["one"]["operators"]["mutate"] == identity(one)


def test_weights_that_change_behind_their_name_are_others(image, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "model_compared.py").write_text("net = None\n")
    import model_compared

    variants = {"one": {}, "two": {"population": 6}}
    base = {"segments": "grid:n_segments=16", "budget": 20, "algorithm": "eaElitist"}
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        pool = torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
        model_compared.net = torch.nn.Sequential(*pool, torch.nn.Linear(12, 3)).bfloat16()
        run = functools.partial(
            dx.compare, image, "model_compared:net", variants,
            base={**base, "device": "cpu", "batch_size": 4}, seeds=np.arange(2), out=tmp_path,
        )  # fmt: skip
        if seed == 0:
            assert len(run().table) == 4
    with pytest.raises(SettingError, match="holds runs under other settings: model "):
        run()


def test_what_an_object_or_a_function_holds_is_not_written_down():
    @dataclasses.dataclass
    class Client:
        key: str
        address: str = "example.org"

        def __call__(self, views):
            return np.full((len(views), 2), 0.5)

    def asking(key, *, headers):
        return lambda views: (key, headers, views)

    for one, same, other in [
        (Client("s3cret"), Client("s3cret"), Client("t0ken")),
        (
            asking("s3cret", headers={"Authorization": ["s3cret"]}),
            asking("s3cret", headers={"Authorization": ["s3cret"]}),
            asking("s3cret", headers={"Authorization": ["t0ken"]}),
        ),
        (*(functools.partial(asking, key, headers="s3cret") for key in ("a", "a", "b")),),
    ]:
        assert identity(one) == identity(same) != identity(other)
        assert "s3cret" not in json.dumps(identity(one))
    assert identity({"fill": "mean"}) == {"fill": "mean"}


class Odd:
    """An object of the user's that answers to everything wrongly."""

    def __init__(self, number):
        self.number, self.kind = number, pytest.fail
        self.layer = type("Layer", (), {"state_dict": lambda self: {}})
        self.__dict__[7] = 1

    @property
    def state_dict(self):
        raise ValueError("none")

    def __repr__(self):
        raise RuntimeError("no repr")


def test_odd_objects_have_an_identity_too():
    assert identity(Odd(1)) == identity(Odd(1)) != identity(Odd(2))
    assert identity(Odd).startswith(f"{__name__}.Odd ")
    assert identity(PILImage.Image) == "PIL.Image.Image"  # no class of the user's
    assert identity({"b", "a", "c"}) == ["a", "b", "c"]
    assert isinstance(identity(unittest.mock.Mock()), (str, dict))


def test_a_set_in_a_function_is_the_same_in_every_process():
    code = (
        "from deap_xai.identity import identity\n"
        "found = lambda mode, known={'RGB', 'L', 'P'}: mode in {'RGB', 'L', 'CMYK'} or known\n"
        "print(identity(found))"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(told) == 1


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_with_the_comparison(compared, tmp_path):
    """They keep models by name: what is behind it may be another model the next time."""

    def mutNoted(individual):
        (tmp_path / str(os.getpid())).touch()
        return (individual,)

    noted = {"operators": {"mutate": mutNoted}}
    compared({"noted": noted, "flip": FLIP}, seeds=4, jobs=2)
    pids = [path.name for path in tmp_path.iterdir()]
    assert pids
    assert str(os.getpid()) not in pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_batch_size_is_measured_once_for_all_runs(base, image, tmp_path, monkeypatch, jobs):
    torch = pytest.importorskip("torch")
    measured, answered = [], tmp_path / "answered"
    answered.mkdir()

    def best(*_):
        measured.append(os.getpid())
        return 3

    class Noting(torch.nn.Module):
        def forward(self, pictures):
            (answered / str(len(pictures))).touch()
            p = pictures.mean(dim=(1, 2, 3))
            return torch.stack([p, 1 - p], dim=1)

    monkeypatch.setattr("deap_xai.backends.measuring._best", best)
    monkeypatch.setattr("deap_xai.backends.measuring.remember", lambda *_: None)
    options = {**base, "device": "cpu", "size": 24}
    dx.compare(image, Noting(), PAIR, base=options, seeds=2, jobs=jobs, quiet=True)
    assert measured == [os.getpid()]
    assert max(int(path.name) for path in answered.iterdir()) == 3


def test_class_names_may_be_an_array(compared, base, image, tmp_path, monkeypatch):
    module = types.ModuleType("named_models")
    module.classify = CellModel()
    monkeypatch.setitem(sys.modules, "named_models", module)
    names = np.array(["no", "yes"])
    found = compared(models="named_models:classify", base={"class_names": names}, seeds=1)
    assert len(found.failures) == 0
    assert len(found.table) == 2


def test_one_model_under_two_names_is_refused(compared, image):
    creature = np.kron(image, np.ones((3, 3, 1), np.uint8))
    with pytest.raises(SettingError, match="models 'demo' and 'demo:name=resnet' are the same"):
        compared(images=creature, models=["demo", "demo:name=resnet"], seeds=1,
                 base={"segments": "grid:n_segments=4"})  # fmt: skip


def test_levels_are_no_text():
    with pytest.raises(SettingError, match="levels of 'mate' must be a list; got 'cxUniform'"):
        factorial({"mate": "cxUniform"})


def test_a_model_that_names_a_ready_backend(compared, monkeypatch):
    """Its batch size is settled too, which is no option that it would take."""
    module = types.ModuleType("ready_models")
    module.classify = FunctionBackend(CellModel())
    monkeypatch.setitem(sys.modules, "ready_models", module)
    assert len(compared(models="ready_models:classify", seeds=1).table) == 2


class Counting:
    """A mutation that remembers how often it was called, and does less and less."""

    def __init__(self):
        self.calls = 0

    def __call__(self, individual):
        self.calls += 1
        if self.calls < 30:
            individual[self.calls % len(individual)] ^= 1
        return (individual,)


def test_what_an_operator_remembers_ends_with_its_run(compared, image):
    """Or the second run would depend on the first, and on how many processes there are."""
    given = Counting()
    variants = {"counting": {"operators": {"mutate": given}}, "flip": FLIP}
    images = {"frog": image, "toad": image[::-1].copy()}
    one, two = (compared(variants, images=images, seeds=2, jobs=jobs) for jobs in (1, 2))
    pd.testing.assert_frame_equal(without_seconds(one.table), without_seconds(two.table))
    assert given.calls == 0


BEFORE = "class Mine:\n    share = 1\n    def __call__(self, one):\n        return (one,)\n"


@pytest.mark.parametrize("given", ["module.Mine()", "module.Mine().__call__", "module.Mine"])
@pytest.mark.parametrize("change", [("share = 1", "share = 2"), ("(one,)", "(one, )[:1]")])
def test_a_class_that_was_edited_is_another_setting(tmp_path, given, change):
    found = []
    for text in (BEFORE, f"# moved by a line\n{BEFORE}", BEFORE.replace(*change)):
        (tmp_path / f"mine{len(found)}.py").write_text(text)
        spec = importlib.util.spec_from_file_location("mine", tmp_path / f"mine{len(found)}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["mine"] = module
        try:
            spec.loader.exec_module(module)
            found.append(identity(eval(given, {"module": module})))  # of this test
        finally:
            del sys.modules["mine"]
    assert found[0] == found[1]
    assert found[0] != found[2]
    json.dumps(found)
