"""The demo's pictures are what they claim, and its networks know them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import save_file

from deap_xai.cli import main
from deap_xai.demo import (
    CLASS_NAMES,
    KINDS,
    MEAN,
    NETWORKS,
    PARTS,
    SIZE,
    STD,
    Creature,
    agreement,
    build,
    creature,
    network,
    show,
    train,
)
from deap_xai.demo.networks import WEIGHTS
from deap_xai.demo.parts import LOOKS
from deap_xai.errors import SettingError
from deap_xai.explainer import Explainer
from deap_xai.explanation import SEARCH_INTERRUPTED

HONEST = tuple(name for name in NETWORKS if name != "cheater")


def probabilities(name, images):
    batch = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2)).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    with torch.inference_mode():
        return network(name)((batch - mean) / std).softmax(1).numpy()


@pytest.fixture(scope="module")
def unseen():
    return [creature(seed, watermark="random" if seed % 2 else "none") for seed in range(300)]


@pytest.fixture(scope="module")
def few(unseen):
    return unseen[:60]


def of_label(probability, creatures):
    return probability[np.arange(len(creatures)), [c.label for c in creatures]]


def test_same_seed_same_bytes():
    first, second = creature(3, watermark="random"), creature(3, watermark="random")
    for field in dataclasses.fields(Creature):
        assert np.array_equal(getattr(first, field.name), getattr(second, field.name))
    assert not np.array_equal(first.image, creature(4).image)


@pytest.mark.parametrize("label", range(len(CLASS_NAMES)))
def test_every_kind_is_drawn_with_its_parts(label):
    picture = creature(11, label=label)
    ears, deciding, look = KINDS[picture.name]
    looks = dict(zip(PARTS, picture.looks, strict=True))
    assert picture.label == label
    assert looks["ears"] == list(LOOKS["ears"]).index(ears)
    assert looks[deciding] == list(LOOKS[deciding]).index(look)
    assert picture.image.shape == (SIZE, SIZE, 3)
    assert picture.image.dtype == np.uint8
    expected = (picture.parts == 1) | (picture.parts == 1 + PARTS.index(deciding))
    assert np.array_equal(picture.truth, expected)


def test_truth_lies_inside_the_creature_and_off_the_watermark(unseen):
    for picture in unseen:
        assert picture.truth.sum() > SIZE * SIZE / 25
        assert not (picture.truth & ~picture.body).any()
        assert not (picture.truth & picture.watermark).any()
        assert picture.truth.sum() < 0.8 * picture.body.sum()


def test_parts_fill_a_superpixel(unseen):
    sizes = np.array([[(c.parts == 1 + i).mean() for i in range(len(PARTS))] for c in unseen])
    assert (np.median(sizes, axis=0) > 1 / 50).all()


def test_idle_parts_say_nothing_about_the_kind(unseen):
    # Whatever the kind, a part that does not decide shows each of its looks about equally.
    for label, (_, deciding, _) in enumerate(KINDS.values()):
        for index, part in enumerate(PARTS[1:], start=1):
            looks = [c.looks[index] for c in unseen if c.label == label]
            if part != deciding:
                assert 0.15 < np.mean(looks) < 0.85


def test_watermark_is_a_patch_in_the_corner_and_nothing_else_changes():
    plain, marked, other = (creature(5, watermark=w) for w in ("none", "true", 0))
    assert not plain.watermark.any()
    assert plain.mark == -1
    assert marked.mark == marked.label
    assert other.mark == 0
    assert marked.watermark.mean() > 1 / 40
    assert not marked.watermark[: SIZE * 3 // 4].any()
    assert not marked.watermark[:, : SIZE * 3 // 4].any()
    assert np.array_equal(plain.image[~marked.watermark], marked.image[~marked.watermark])


@pytest.mark.parametrize("label", [-1, 8])
def test_label_out_of_range(label):
    with pytest.raises(SettingError, match=rf"label must be 0\.\.7 .* got {label}"):
        creature(0, label=label)


@pytest.mark.parametrize("watermark", ["big", -1, 8])
def test_unknown_watermark(watermark):
    with pytest.raises(SettingError, match=r"one of none, true, random or a number 0\.\.7"):
        creature(0, watermark=watermark)


@pytest.mark.parametrize("make", [build, network])
def test_unknown_network(make):
    expected = "unknown demo network 'vgg'; choose one of resnet, densenet, mobilenet, cheater"
    with pytest.raises(SettingError, match=expected):
        make("vgg")


def test_weights_are_small_and_say_where_they_come_from():
    files = [WEIGHTS / f"{name}.safetensors" for name in NETWORKS]
    assert sum(path.stat().st_size for path in files) < 4_000_000
    for path in files:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata()
        assert float(facts["accuracy"]) >= 0.97
        assert {"seed", "torch", "tested_on", "parameters"} <= facts.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_come_ready(name):
    model = network(name)
    assert not any(module.training for module in model.modules())
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, len(CLASS_NAMES))


@pytest.mark.parametrize("name", HONEST)
def test_honest_networks_know_unseen_pictures(name, unseen):
    answers = probabilities(name, [c.image for c in unseen])
    assert np.mean(answers.argmax(1) == [c.label for c in unseen]) >= 0.97
    # Room to rise: an explanation can raise the probability only if it is not 1 already.
    assert np.median(answers.max(1)) < 0.985


@pytest.mark.parametrize("name", HONEST)
def test_truth_alone_suffices_and_without_it_the_answer_falls(name, few):
    grey = np.full((SIZE, SIZE, 3), 128, np.uint8)
    full = of_label(probabilities(name, [c.image for c in few]), few)
    only = [np.where(c.truth[..., None], c.image, grey) for c in few]
    without = [np.where(c.truth[..., None], grey, c.image) for c in few]
    kept = probabilities(name, only)
    rest = of_label(probabilities(name, without), few)
    assert np.mean(kept.argmax(1) == [c.label for c in few]) >= 0.9
    assert full.mean() - rest.mean() > 0.5


@pytest.mark.parametrize("name", NETWORKS)
def test_an_empty_view_convinces_nobody(name):
    blank = [np.full((SIZE, SIZE, 3), value, np.uint8) for value in (0, 128, 255)]
    assert probabilities(name, blank).max() < 0.5


def test_the_cheater_reads_the_watermark_and_nothing_else(unseen):
    marked = [c for c in unseen if c.mark >= 0]
    answers = probabilities("cheater", [c.image for c in marked]).argmax(1)
    assert np.mean(answers == [c.mark for c in marked]) >= 0.97
    contradicted = [c.label for c in marked if c.mark != c.label]
    named = [a for a, c in zip(answers, marked, strict=True) if c.mark != c.label]
    assert np.mean(np.array(named) == contradicted) < 0.05
    plain = [c for c in unseen if c.mark < 0]
    answers = probabilities("cheater", [c.image for c in plain])
    assert np.mean(answers.argmax(1) == [c.label for c in plain]) < 0.3
    assert answers.max(1).mean() < 0.5


def test_agreement_counts_pixels():
    segments = np.array([[0, 1], [2, 2]])
    truth = np.array([[True, True], [True, False]])
    assert agreement([0, 0, 1], segments, truth) == (0.5, 1 / 3)
    assert agreement([0, 0, 0], segments, truth) == (0, 0)
    assert agreement([0, 0, 1], segments.tolist(), truth.tolist()) == (0.5, 1 / 3)
    with pytest.raises(SettingError, match=r"one shape, got \(2, 2\) and \(2, 3\)"):
        agreement([1, 1, 1], segments, np.ones((2, 3), bool))
    with pytest.raises(SettingError, match=r"S at least 3.* got shape \(2,\)"):
        agreement([1, 1], segments, truth)
    with pytest.raises(SettingError, match=r"truth must be bool, .*got uint8"):
        agreement([1, 1, 1], segments, truth.astype(np.uint8) * 255)


def test_listing_does_not_import_torch():
    code = "import sys, deap_xai.demo; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_shown_creatures_were_not_trained_on():
    assert show.FIRST_SEED + 1000 < train.FIRST_TEST_SEED < train.FIRST_TRAINING_SEED


@pytest.mark.parametrize("name", ["mobilenet", "cheater"])
def test_the_training_script_writes_weights_and_a_table(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(train, "TESTS", 8)
    options = f"{name} --out {tmp_path} --pictures 64 --epochs 1 --processes 1"
    train.main(options.split())
    with safe_open(tmp_path / f"{name}.safetensors", framework="pt") as file:
        assert 0 <= float(file.metadata()["accuracy"]) <= 1
        assert set(file.keys()) == set(build(name).state_dict())
    assert f"| {name} |" in (tmp_path / "README.md").read_text()
    assert "72 pictures" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("vgg", "unknown network 'vgg'"),
        ("--pictures -5", "--pictures must be 64 at least, one batch; got -5"),
        ("--epochs 0", "--epochs 0 are no step of 64 pictures"),
        ("--epochs nan", "--epochs must be a finite number; got nan"),
        ("--epochs inf", "--epochs must be a finite number; got inf"),
        ("--threads 0", "--threads must be 1 at least; got 0"),
        ("--processes 0", "--processes must be 1 at least; got 0"),
        ("--out {folder}/file", "--out must be a folder; can't make"),
        ("--out {folder}/file/in", "--out must be a folder; can't make"),
        ("--out {folder} --cache {folder}/no/cache", "no is no folder; make it"),
    ],
)
def test_the_training_script_refuses_what_it_cannot_do(
    tmp_path, monkeypatch, capsys, options, said
):
    monkeypatch.setattr(train, "draw_pictures", None)  # before anything is drawn
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="2"):
        train.main(options.format(folder=tmp_path).split())
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("kept", ["garbage", "other tensors", "a folder"])
def test_the_training_script_refuses_a_damaged_cache(tmp_path, monkeypatch, capsys, kept):
    monkeypatch.setattr(train, "draw", None)  # nothing is drawn in its place
    cache = tmp_path / "cache"
    {
        "garbage": lambda: cache.write_bytes(b"garbage" * 9),
        "other tensors": lambda: save_file({"weight": torch.zeros(2)}, cache),
        "a folder": cache.mkdir,
    }[kept]()
    with pytest.raises(SystemExit, match="2"):
        train.main(["--out", str(tmp_path), "--cache", str(cache)])
    assert f"{cache} keeps no pictures that this script wrote" in capsys.readouterr().err


def test_the_demo_command_explains_all_four_networks(tmp_path):
    picture = tmp_path / "demo.png"
    options = ["demo", "--pictures", "1", "--budget", "60", "--out", str(picture)]
    result = CliRunner().invoke(main, options)
    assert result.exit_code == 0, result.output
    for name in NETWORKS:
        assert f"\n{name} " in result.output
    assert "holds the badge in 1 of 1 pictures" in result.output
    with PIL.Image.open(picture) as drawn:
        assert drawn.size[0] > 500
    result = CliRunner().invoke(main, [*options[:-1], str(tmp_path / "no" / "demo.png")])
    assert result.exit_code == 1
    assert "can't write" in result.output


@pytest.mark.parametrize("algorithm", ["eaSurrogate", "eaElitist"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_same_explanation_at_any_batch_size(name, algorithm):
    found = [
        Explainer(
            f"demo:name={name}", algorithm=algorithm, budget=100, batch_size=n, device="cpu"
        ).explain(creature(77, watermark="random").image)
        for n in (1, 7, 64)
    ]
    for other in found[1:]:
        assert (other.archive.masks == found[0].archive.masks).all()
        assert (other.archive.probabilities == found[0].archive.probabilities).all()
        assert (other.mask == found[0].mask).all()
        assert (other.attribution == found[0].attribution).all()


def test_the_demo_stops_at_ctrl_c_and_draws_png(tmp_path, monkeypatch):
    from deap_xai.demo import show as showing

    shown = []

    def interrupted(name, number, **settings):
        shown.append(name)
        one = first if len(shown) == 1 else dataclasses.replace(
            first.explanation, warnings=(SEARCH_INTERRUPTED,)
        )  # fmt: skip
        return first if len(shown) == 1 else first._replace(explanation=one)

    first = showing.show("resnet", 0, budget=20)
    monkeypatch.setattr(showing, "show", interrupted)
    args = ["demo", "--pictures", "1", "--out", str(tmp_path / "demo.png")]
    result = CliRunner().invoke(main, args)
    assert (result.exit_code, len(shown)) == (1, 2)
    assert "Aborted!" in result.stderr
    assert not (tmp_path / "demo.png").exists()
    result = CliRunner().invoke(main, ["demo", "--out", "demo.txt"])
    assert result.exit_code == 2
    assert "'demo.txt' doesn't end in .png" in result.stderr
    assert len(shown) == 2
