"""The search may run on another engine; what an explanation says is the user's own model's."""

from __future__ import annotations

import functools
import itertools
import json
import os
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import WANTED, CellModel, cell_probability, openvino_has_bf16, stand_in
from PIL import Image as PILImage
from torch import nn

import deap_xai as dx
from deap_xai import cli
from deap_xai.algorithms import algorithms
from deap_xai.backends import Backend, FunctionBackend, engines, load_backend, measuring, remembered
from deap_xai.backends.engines import ENGINES, TOLERANCE
from deap_xai.backends.measuring import probe_masks, settle_batch_size
from deap_xai.backends.torch_module import TorchBackend
from deap_xai.errors import BackendError, MissingExtraError, SettingError
from deap_xai.masking import MaskedView

sys.modules.setdefault("openvino_telemetry", None)  # as the backend does before it loads OpenVINO


def net(seed=0, classes=4):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, classes),
    )


def masked(height=12, width=16):
    rng = np.random.default_rng(0)
    view, fill = rng.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
    rows, columns = np.mgrid[:height, :width]
    segments = (rows * 3 // height * 3 + columns * 3 // width).astype(np.int32)
    return MaskedView(view, segments, fill), rng.random((11, 9)) < 0.5


PAIRS = [(name, p) for name, engine in ENGINES.items() for p in engine.precisions]


@pytest.fixture
def installed():
    """Those engines that this machine has."""
    return {name for name, engine in ENGINES.items() if engine.installed}


@pytest.mark.parametrize(("engine", "precision"), PAIRS)
def test_every_engine_agrees_with_torch(engine, precision, installed):
    if engine not in installed:
        pytest.skip(f"needs the extra {ENGINES[engine].extra}")
    masked_view, masks = masked()
    module = net()
    own = TorchBackend(module, size=(12, 16), device="cpu", class_names=list("abcd"), batch_size=4)
    right = own.predict_masked(masked_view, masks)
    before = [p.clone() for p in module.parameters()]
    made = functools.partial(
        load_backend, module, size=(12, 16), device="cpu", class_names=list("abcd"), batch_size=4,
        engine=engine, precision=precision,
    )  # fmt: skip
    if (engine, precision) == ("openvino", "bf16") and not openvino_has_bf16():
        with pytest.raises(BackendError, match=r"in f32 on this processor, not in bf16; use prec"):
            made()
        return
    backend = made()
    for found in (
        backend.predict_masked(masked_view, masks),
        backend.predict(masked_view.render(masks)),
    ):
        assert found.dtype == np.float32
        assert found == pytest.approx(right, abs=1e-5 if precision == "fp32" else 0.02)
    assert (backend.engine, backend.precision, backend.batch_size) == (engine, precision, 4)
    assert (backend.name, backend.class_names, backend.choice) == ("Sequential", list("abcd"), "")
    assert backend.view(np.zeros((9, 9, 3), np.uint8)).shape == (12, 16, 3)
    if (engine, precision) == ("torch", "fp32"):
        assert backend.reference is None
    else:
        assert backend.reference.predict_masked(masked_view, masks) == pytest.approx(right)
        assert backend.reference.digest() == own.digest()
    assert all((a == b).all() for a, b in zip(before, module.parameters(), strict=True))


def test_views_of_any_size_on_another_engine(installed):
    if "openvino" not in installed:
        pytest.skip("needs the extra openvino")
    backend = load_backend(net(), device="cpu", engine="openvino")
    for height, width in ((12, 16), (9, 12)):
        masked_view, masks = masked(height, width)
        right = backend.reference.predict_masked(masked_view, masks)
        assert backend.predict_masked(masked_view, masks) == pytest.approx(right, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tensorrt"}, "engine 'tensorrt' can't run this model; expected one of torch, "),
        (
            {"precision": "int8"},
            "precision 'int8' can't run this model; expected one of fp32, bf16",
        ),
        ({"engine": "onnx", "precision": "bf16"}, "'onnx' has no precision 'bf16'; .*torch, openv"),
        (
            {"engine": "onnx", "transform": lambda image: image},
            "its transform is opaque; use engin",
        ),
    ],
)
def test_what_an_engine_can_not_do(options, message):
    with pytest.raises(SettingError, match=message):
        load_backend(net(), device="cpu", **options)


def test_halves_stay_in_torch():
    half = net().to(torch.bfloat16)
    with pytest.raises(SettingError, match="Sequential is in bf16 on 'cpu'; use engine='torch'"):
        load_backend(half, device="cpu", engine="openvino")
    assert load_backend(half, device="cpu", engine="torch").precision == "bf16"


def test_engines_are_for_torch_modules_and_files():
    with pytest.raises(SettingError, match="CellModel runs where it runs: engine and precision"):
        load_backend(CellModel(), engine="auto")


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_without_the_extra(monkeypatch, engine):
    monkeypatch.setitem(sys.modules, ENGINES[engine].module, None)
    with pytest.raises(MissingExtraError, match=rf'pip install "deap-xai\[{engine}\]"'):
        load_backend(net(), device="cpu", engine=engine)


def test_without_the_exporter(monkeypatch, installed):
    if "onnx" not in installed:
        pytest.skip("needs the extra onnx")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingExtraError, match=r"'onnxscript', which is not installed"):
        load_backend(net(), size=12, device="cpu", engine="onnx")


class Stubborn(nn.Module):
    """Works in torch and in float32 alone."""

    def forward(self, x):
        if torch.compiler.is_exporting() or torch.jit.is_tracing():
            raise RuntimeError("no export of this")
        return x.mean(dim=(2, 3)) @ torch.ones(3, 4)

    def __deepcopy__(self, memo):
        raise RuntimeError("no copy of this")


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("onnx", "fp32", "torch can't export Stubborn to ONNX .*give the file, or use another"),
        ("openvino", "fp32", "OpenVINO can't convert Stubborn .*use another engine"),
        (
            "torch",
            "bf16",
            r"Stubborn can't be copied for bf16 \(no copy of this\); use precision fp",
        ),
    ],
)
def test_modules_that_can_not_be_converted(engine, precision, message, installed):
    if engine not in installed:
        pytest.skip(f"needs the extra {engine}")
    with pytest.raises(BackendError, match=message):
        load_backend(Stubborn(), size=12, device="cpu", engine=engine, precision=precision)


def test_what_the_exporter_says_of_a_module(installed, capfd):
    """The reason in one line, and nothing beside it on the screen."""
    if "onnx" not in installed:
        pytest.skip("needs the extra onnx")

    class Undecided(nn.Module):
        def forward(self, x):
            means = x.mean(dim=(2, 3))
            return (means if means.sum().item() > 1e9 else 2 * means) @ torch.ones(3, 4)

    with pytest.raises(BackendError, match=r"\(GuardOnDataDependentSymNode: .*\); export it"):
        load_backend(Undecided(), size=12, device="cpu", engine="onnx")
    assert capfd.readouterr() == ("", "")


def test_modules_that_do_not_run_in_bf16():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 4))

        def forward(self, x):
            return x.float().mean(dim=(2, 3)) @ self.weight

    backend = load_backend(Mixed(), device="cpu", precision="bf16")
    with pytest.raises(BackendError, match=r"Mixed doesn't run in bf16 \(.*\); use precision fp32"):
        backend.predict_masked(*masked())


# Torch: what travels, and how often


def test_masks_go_over_once_and_answers_come_back_once(monkeypatch):
    masked_view, masks = masked()
    backend, fetched, sent = TorchBackend(net(), device="cpu", batch_size=2), [], []
    backend.predict_masked(masked_view, masks)
    fetch, send = torch.Tensor.cpu, backend._sent
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: fetched.append(x.shape) or fetch(x))
    monkeypatch.setattr(backend, "_sent", lambda x: sent.append(x.nbytes) or send(x))
    backend.predict_masked(masked_view, masks)
    assert fetched == [(11, 4)]
    assert sent == [masks.size]  # bits, not pixels


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_batch_of_pixels_is_written_once(precision):
    """Of all that runs outside the module, one operation alone makes something of pixels' size."""
    from torch.utils._python_dispatch import TorchDispatchMode

    pixels = 11 * 12 * 16 * 3

    class Large(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.names, self.inside = [], False

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and not self.inside and out.numel() >= pixels:
                given = {x.untyped_storage()._cdata for x in args if isinstance(x, torch.Tensor)}
                if out.untyped_storage()._cdata not in given:  # no mere view of what came
                    self.names.append(str(function))
            return out

    large, module = Large(), net()
    backend = load_backend(module, device="cpu", batch_size=11, precision=precision)
    backend._module.register_forward_pre_hook(lambda *_: setattr(large, "inside", True))
    backend._module.register_forward_hook(lambda *_: setattr(large, "inside", False))
    masked_view, masks = masked()
    backend.predict_masked(masked_view, masks)
    with large:
        backend.predict_masked(masked_view, masks)
    assert large.names == ["aten.where.self"]


# "auto"


@pytest.fixture
def paces(monkeypatch):
    """Seconds that each engine takes, by a clock that this machine's load can't touch."""
    seconds = {("torch", "fp32"): 3.0, ("torch", "bf16"): 2.0}
    monkeypatch.setattr(engines, "SECONDS", 0)
    monkeypatch.setattr(engines, "seconds", lambda b, *_: seconds[b.engine, b.precision])
    only_torch = {"torch": ENGINES["torch"]}
    only_torch |= {n: e._replace(module="not_there") for n, e in ENGINES.items() if n != "torch"}
    monkeypatch.setattr(engines, "ENGINES", only_torch)
    return seconds


def auto(module=None, **options):
    options = {"engine": "auto", "precision": "auto", **options}
    return load_backend(module or net(), size=(12, 16), device="cpu", **options)


def test_the_fastest_is_chosen_and_said(paces):
    backend = auto()
    assert (backend.engine, backend.precision) == ("torch", "bf16")
    assert backend.choice == "engine torch bf16; views a second: torch bf16 2, torch fp32 1.33"
    assert backend.reference.precision == "fp32"
    paces["torch", "bf16"] = 4.0
    own = auto(net(1))
    assert (own.engine, own.precision, own.reference) == ("torch", "fp32", None)
    assert own.choice.startswith("engine torch fp32; views a second: torch fp32 1.33, torch bf16 1")


def test_what_is_off_is_not_chosen(paces, monkeypatch):
    monkeypatch.setitem(TOLERANCE, "bf16", 1e-9)
    backend = auto()
    assert (backend.engine, backend.precision) == ("torch", "fp32")
    assert "; torch bf16 is off by " in backend.choice
    with pytest.raises(BackendError, match="no engine can be used: torch bf16 is off by"):
        auto(engine="torch", precision="bf16") and engines._fastest(
            backend, lambda *_: backend.in_bf16(), [("torch", "bf16")]
        )


def test_what_fails_is_not_chosen(paces):
    backend = auto(Stubborn())
    assert (backend.engine, backend.precision) == ("torch", "fp32")
    assert "torch bf16 failed (Stubborn can't be copied" in backend.choice


def test_what_answers_with_other_classes_is_not_chosen(paces, monkeypatch):
    def three(own):
        return types.SimpleNamespace(predict_masked=lambda *_: np.full((8, 3), 1 / 3))

    monkeypatch.setattr(TorchBackend, "in_bf16", three)
    backend = auto()
    assert (backend.engine, backend.precision) == ("torch", "fp32")
    assert "; torch bf16 answers with 3 classes" in backend.choice


def test_only_one_candidate_is_not_measured(paces, monkeypatch):
    monkeypatch.setattr(engines, "seconds", None)
    backend = auto(precision="fp32")
    assert backend.choice == "engine torch fp32, the only one here"
    opaque = load_backend(nn.Flatten(), transform=lambda image: torch.zeros(3, 8, 8), device="cpu",
                          engine="auto", precision="fp32")  # fmt: skip
    assert opaque.choice.endswith("; onnx and openvino need a transform that can be taken apart")
    assert backend.reference is None


def test_a_choice_is_remembered(paces, monkeypatch):
    first, asked = auto(), []
    monkeypatch.setattr(engines, "seconds", lambda *_: pytest.fail("measured again"))
    again = net()
    again.register_forward_hook(lambda *_: asked.append(0))
    digest = TorchBackend(net(), size=(12, 16), device="cpu").digest()
    monkeypatch.setattr(TorchBackend, "digest", lambda self: digest)  # the hook isn't the model
    second = auto(again)
    assert (second.engine, second.precision) == ("torch", "bf16")
    assert second.choice == first.choice + " (remembered)"
    assert asked == []


def test_a_remembered_engine_that_no_longer_runs_is_measured_anew(paces, monkeypatch):
    assert auto().precision == "bf16"
    broken = BackendError("gone since")
    monkeypatch.setattr(TorchBackend, "in_bf16", lambda self: (_ for _ in ()).throw(broken))
    again = auto()
    assert again.precision == "fp32"
    assert again.choice.endswith("torch bf16 failed (gone since)")


def test_other_weights_are_measured_anew(paces):
    one, two = net(), net()
    assert TorchBackend(one, device="cpu").digest() == TorchBackend(two, device="cpu").digest()
    auto(one)
    paces["torch", "bf16"] = 9.0
    assert auto(two).precision == "bf16"
    with torch.no_grad():
        two[0].weight[0, 0, 0, 0] += 1
    assert auto(two).precision == "fp32"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"engine": "abacus"}', '{"engine": []}'])
def test_a_memory_that_can_not_be_read_is_measured_anew(paces, content):
    auto()
    (path,) = remembered._folder().iterdir()
    path.write_text(content)
    paces["torch", "bf16"] = 9.0
    assert auto().precision == "fp32"
    assert json.loads(path.read_text())["precision"] == "fp32"


def test_a_memory_that_can_not_be_written(paces, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert auto().precision == "bf16"
    paces["torch", "bf16"] = 9.0
    assert auto().precision == "fp32"


def test_who_has_no_home_has_no_memory(paces, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(remembered.Path, "home", homeless)
    assert auto().precision == "bf16"


def test_a_memory_is_of_this_machine_and_these_packages(monkeypatch):
    key = remembered.key_of("fact")
    assert remembered.key_of("fact") == key != remembered.key_of("other")
    monkeypatch.setattr(remembered, "PACKAGES", (*remembered.PACKAGES, "no-such-package"))
    assert remembered.key_of("fact") != key
    monkeypatch.setattr(remembered.platform, "node", lambda: "elsewhere")
    other = remembered.key_of("fact")
    monkeypatch.setattr(remembered, "version", lambda name: "0")
    assert remembered.key_of("fact") != other


def test_the_usual_place_of_the_memory(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert remembered._folder() == Path.home() / ".cache" / "deap_xai"


def test_auto_needs_a_view_that_the_model_takes(paces):
    module = nn.Sequential(nn.Flatten(), nn.Linear(12 * 16 * 3, 2))
    with pytest.raises(SettingError, match=r"view of \(224, 224\), and it failed: .*give the size"):
        load_backend(module, device="cpu", engine="auto", precision="auto")


def test_auto_on_what_is_here(installed):
    """The real clock and every engine that is installed."""
    backend = auto()
    assert backend.engine in installed
    assert all(f"{name} fp32 " in backend.choice for name in installed)
    masked_view, masks = masked()
    right = TorchBackend(net(), device="cpu").predict_masked(masked_view, masks)
    found = backend.predict_masked(masked_view, masks)
    assert found == pytest.approx(right, abs=TOLERANCE[backend.precision])


# Batch size by measurement


class Paced(FunctionBackend):
    """A backend that takes so long for a batch, by its own clock."""

    def __init__(self, cost, monkeypatch, most=10**6):
        super().__init__(lambda views: np.full((len(views), 2), 0.5), batch_size=8)
        self.measure_batch_size, self.now, self.sizes, self.most = True, 0.0, [], most
        self.cost = cost
        monkeypatch.setattr(measuring.time, "perf_counter", lambda: self.now)

    def predict(self, images):
        if len(images) > self.most:
            raise MemoryError
        self.sizes.append(len(images))
        self.now += self.cost(len(images))
        return super().predict(images)


@pytest.mark.parametrize(
    ("cost", "best"),
    [
        (lambda n: 0.008 * n, 1),  # all alike: the smallest
        (lambda n: 0.01 + 0.002 * n, 32),
        (lambda n: 0.004 * n + (n < 4) * 0.02 + (n > 4) * 0.01 * n, 4),
        (lambda n: 0.0001 * n, 8),  # so small that the usual one stays
    ],
)
def test_the_fastest_batch_size_is_measured_once(monkeypatch, cost, best):
    backend = Paced(cost, monkeypatch)
    settle_batch_size(backend, masked()[0])
    assert (backend.batch_size, backend.measure_batch_size) == (best, False)
    assert backend.now < 2
    settle_batch_size(backend, masked()[0])
    again = Paced(cost, monkeypatch)
    settle_batch_size(again, masked()[0])
    assert (again.batch_size, again.sizes) == (best, [])
    other = Paced(cost, monkeypatch)
    settle_batch_size(other, masked(9, 9)[0])
    assert other.sizes


def test_slow_models_are_not_tried_in_large_batches(monkeypatch):
    backend = Paced(lambda n: 0.1 * n, monkeypatch)
    settle_batch_size(backend, masked()[0])
    assert backend.now < 2
    assert max(backend.sizes) == 8


@pytest.mark.parametrize(("device", "expected"), [("cpu", 4), ("cuda", 8)])
def test_a_reference_answers_too_few_views_to_be_measured(monkeypatch, device, expected):
    backend, own, told = (Paced(lambda n: 0.008 * n, monkeypatch) for _ in range(3))
    own.device, told.measure_batch_size = torch.device(device), False
    for reference, size in ((own, expected), (told, 8)):
        backend.reference = reference
        settle_batch_size(backend, masked()[0])
        assert reference.batch_size == size
        assert not reference.sizes


def test_memory_that_runs_out_ends_the_trial(monkeypatch):
    backend = Paced(lambda n: 0.01 + 0.002 * n, monkeypatch, most=10)
    settle_batch_size(backend, masked()[0])
    assert backend.batch_size == 8


def test_ctrl_c_amid_the_trial_leaves_no_trial_size(monkeypatch):
    backend = Paced(lambda n: 0.008 * n, monkeypatch)
    before = backend.batch_size
    monkeypatch.setattr(measuring, "seconds", interrupting(measuring.seconds, after=3))
    with pytest.raises(KeyboardInterrupt):
        settle_batch_size(backend, masked()[0])
    assert (backend.batch_size, backend.measure_batch_size) == (before, True)


def interrupting(function, after):
    """A function that Ctrl-C ends at a later call."""
    calls = iter(range(after))

    def called(*args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return function(*args)

    return called


def test_a_batch_size_that_was_given_stays(monkeypatch):
    monkeypatch.setattr(measuring, "seconds", lambda *_: pytest.fail("measured"))
    for backend in (
        TorchBackend(net(), device="cpu", batch_size=3),
        FunctionBackend(CellModel(), batch_size=3),
    ):
        settle_batch_size(backend, masked()[0])
        assert backend.batch_size == 3
    settle_batch_size(demo := load_backend("demo", device="cpu"), masked()[0])
    assert demo.batch_size == 8


@pytest.mark.parametrize("n", [1, 2, 5])
def test_probe_masks(n):
    masks = probe_masks(n, 7)
    assert masks.shape == (n, 7)
    assert masks[0].all()
    assert n == 1 or not masks[1].any()


def test_an_explanation_does_not_depend_on_the_batch_size(image, segments):
    explanations = [
        dx.Explainer("demo", device="cpu", batch_size=n, budget=50, segments=cells).explain(image)
        for n in (1, 32)
    ]
    first, *others = explanations
    for other in others:
        assert (other.archive.masks == first.archive.masks).all()
        assert (other.mask == first.mask).all()
        assert other.probability == pytest.approx(first.probability, abs=1e-6)


def cells(view):
    rows, columns = (np.arange(side) * 4 // side for side in view.shape[:2])
    return (rows[:, None] * 4 + columns).astype(np.int32)


# What is reported is the user's own model's


class StandIn(FunctionBackend):
    """A faster, coarser copy of the cell model, with the model itself as its reference."""

    def __init__(self, own=None, off=0.03):
        self.own, self.coarse, self.off = own or CellModel(), CellModel(), off
        super().__init__(self._answer, batch_size=1000)
        self.reference = FunctionBackend(self.own, batch_size=1000)
        self.engine, self.precision = "openvino", "bf16"

    def _answer(self, views):
        p = self.coarse(views)[:, 1]
        coarse = np.clip(p - self.off + 0.02 * np.sin(1000 * p + views.mean((1, 2, 3))), 0, 1)
        return np.stack([1 - coarse, coarse], axis=1)


@pytest.mark.parametrize("algorithm", algorithms.names())
@pytest.mark.parametrize("budget", [4, 9, 40, 133])
def test_reported_numbers_are_the_own_models(make_explainer, image, algorithm, budget):
    model = StandIn()
    e = make_explainer(model=model, budget=budget, algorithm=algorithm, population=10).explain(
        image
    )
    assert model.own.images + model.coarse.images == e.model_calls <= budget
    assert e.target == 1
    assert (e.settings["engine"], e.settings["precision"]) == ("openvino", "bf16")
    assert e.probability == pytest.approx(cell_probability(e.mask[None])[0])
    assert e.probability_full == pytest.approx(cell_probability(np.ones((1, 16), bool))[0])
    for point in e.front:
        assert point.probability == pytest.approx(cell_probability(point.mask[None])[0])
    assert e.reference.probabilities == pytest.approx(cell_probability(e.reference.masks))
    # The archive is what the search saw.
    assert (abs(e.archive.probabilities - cell_probability(e.archive.masks)) > 1e-3).all()
    if budget > 39:
        assert e.probability_empty == pytest.approx(0.05)
        assert e.probability_rest == pytest.approx(cell_probability(~e.mask[None])[0])
        known = ~np.isnan(e.checks.dropped)
        dropped = np.repeat(e.mask[None], known.sum(), axis=0)
        dropped[np.arange(known.sum()), np.flatnonzero(known)] = False
        assert e.checks.dropped[known] == pytest.approx(cell_probability(dropped))


def test_the_mask_that_is_shown_stands_on_the_front(make_explainer, image):
    model = StandIn()
    e = make_explainer(model=model, budget=300, pick="smallest:p=0.9").explain(image)
    (shown,) = [point for point in e.front if (point.mask == e.mask).all()]
    assert shown.probability == e.probability >= 0.9  # the own model says so, not the stand-in
    assert (e.mask == WANTED).all()
    asked = sum(len(x) for x in [e.archive, e.reference])
    assert asked < e.model_calls < asked + 8  # the rest: other fills
    # The target; the front and the rest; all further checks.
    assert len(model.own.batches) == 3


def test_the_target_is_the_own_models_top_class(make_explainer, image):
    e = make_explainer(model=StandIn(off=0.3), budget=40).explain(image)
    assert e.target == 1  # 0.59 of the model itself, 0.29 of its stand-in
    assert e.probability_full == pytest.approx(0.59)
    named = make_explainer(model=StandIn(), budget=40).explain(image, target=0)
    assert named.probability_full == pytest.approx(0.41)


def test_explanations_of_stand_ins_are_kept_in_files(make_explainer, image, tmp_path):
    e = make_explainer(model=StandIn(), budget=60).explain(image)
    loaded = dx.Explanation.load(e.save(tmp_path / "x"))
    assert loaded.to_dict() == e.to_dict()
    assert (loaded.reference.masks == e.reference.masks).all()
    own = make_explainer(budget=60).explain(image)
    assert own.reference is None
    assert dx.Explanation.load(own.save(tmp_path / "y")).reference is None


@pytest.mark.parametrize("budget", [2, 3])
def test_too_few_calls_for_the_own_model(make_explainer, image, budget):
    e = make_explainer(model=StandIn(), budget=budget).explain(image, target=1)
    assert e.model_calls <= budget
    assert np.isfinite(e.probability)


def test_seconds_leave_time_for_the_own_model(make_explainer, image, monkeypatch):
    ticks = itertools.count(0, 0.002)
    monkeypatch.setattr("deap_xai.budget.time.monotonic", lambda: next(ticks))
    e = make_explainer(model=StandIn(), seconds=0.5).explain(image)
    assert e.warnings == ()
    assert e.probability == pytest.approx(cell_probability(e.mask[None])[0])
    assert np.isfinite([e.probability_rest, e.probability_empty]).all()


def test_ctrl_c_says_whose_numbers_they_are(make_explainer, image):
    model = StandIn()
    answer, asked = model._function, itertools.count()

    def interrupted(views):
        if next(asked) > 9:
            raise KeyboardInterrupt
        return answer(views)

    model._function = interrupted
    e = make_explainer(model=model, budget=300).explain(image)
    assert "interrupted; this is the best so far" in e.warnings[0]
    assert e.warnings[1].endswith("all numbers are those of openvino in bf16")
    assert e.reference is None
    assert e.archive.find(e.mask) is not None


def test_one_seed_one_answer_on_another_engine(image, installed):
    engine, precision = ("openvino", "fp32") if "openvino" in installed else ("torch", "bf16")
    options = {"engine": engine, "precision": precision, "budget": 60, "segments": cells}
    one, two = (dx.Explainer("demo", device="cpu", **options).explain(image) for _ in "ab")
    same = {"seconds": 0}
    assert one.to_dict() | same == two.to_dict() | same
    own = dx.Explainer("demo", device="cpu").backend
    masked_view = MaskedView(one.view, one.segments, one.fill)
    right = own.predict_masked(masked_view, one.mask[None])[0, one.target]
    assert one.probability == pytest.approx(right, abs=1e-6)


# The shell


def test_the_shell_says_what_it_chose(paces, tmp_path, monkeypatch, image):
    module = types.ModuleType("nets")
    module.net = net()
    monkeypatch.setitem(sys.modules, "nets", module)
    PILImage.fromarray(image).save(tmp_path / "frog.png")
    args = ["explain", str(tmp_path / "frog.png"), "--model", "nets:net", "--budget", "20"]
    args += ["--segments", "grid:n_segments=9", "--device", "cpu", "--json"]
    done = CliRunner().invoke(cli.main, [*args, "--engine", "auto", "--precision", "auto"])
    assert done.exit_code == 0, done.output
    assert done.stderr == "engine torch bf16; views a second: torch bf16 2, torch fp32 1.33\n"
    settings = json.loads(done.stdout)["settings"]
    assert (settings["engine"], settings["precision"]) == ("torch", "bf16")
    plain = CliRunner().invoke(cli.main, args)
    assert plain.stderr == ""
    settings = json.loads(plain.stdout)["settings"]
    assert (settings["engine"], settings["precision"]) == ("torch", "fp32")
    wrong = CliRunner().invoke(cli.main, [*args, "--engine", "abacus"])
    assert "'abacus' is not one of 'auto', 'torch', 'onnx', 'openvino'" in wrong.stderr


def test_engines_are_listed(monkeypatch):
    listed = CliRunner().invoke(cli.main, ["list", "engines"]).stdout
    assert "  torch\n      PyTorch itself, on any device: fp32, bf16\n" in listed
    missing = ENGINES["openvino"]._replace(module="not_there")
    monkeypatch.setitem(ENGINES, "openvino", missing)
    listed = CliRunner().invoke(cli.main, ["list"]).stdout
    assert 'OpenVINO, on the CPU: fp32, bf16; needs pip install "deap-xai[openvino]"' in listed


def test_two_threads_get_each_their_own_answer(installed):
    """OpenVINO's request has one place for answers; whoever is slower found the other's there."""
    if "openvino" not in installed:
        pytest.skip("OpenVINO isn't installed")
    backend = load_backend(net(), size=(48, 48), device="cpu", engine="openvino", batch_size=64)
    views = np.random.default_rng(0).integers(0, 256, (24, 48, 48, 3)).astype(np.uint8)
    parts = [views[start : start + n] for start, n in ((0, 4), (4, 7), (11, 13), (3, 4))]
    expected = [backend.predict(part) for part in parts]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(backend.predict, parts * 100))
    for i, answers in enumerate(found):
        assert answers == pytest.approx(expected[i % 4], abs=1e-6)


def test_a_search_with_a_stand_in_leaves_the_users_own_backend_as_it_was():
    own = TorchBackend(net(), size=(24, 24), device="cpu")
    stand_in = load_backend(own, precision="bf16")
    settle_batch_size(stand_in, masked(24, 24)[0])
    assert (own.batch_size, own.measure_batch_size) == (8, True)
    assert stand_in.reference.batch_size == 4


def test_the_batch_size_is_of_the_views_size_whatever_the_superpixels(monkeypatch):
    first = Paced(lambda n: 0.01 + 0.002 * n, monkeypatch)
    view = masked()[0]
    settle_batch_size(first, view)
    other = Paced(lambda n: 0.01 + 0.002 * n, monkeypatch)
    finer = np.arange(view.segments.size, dtype=np.int32).reshape(view.segments.shape)
    settle_batch_size(other, MaskedView(view.view, finer, view.fill))
    assert (other.batch_size, other.sizes) == (first.batch_size, [])


def test_cautions_are_told_once_on_whatever_engine(installed):
    """No transform was given, and what comes out lies in 0..1 but doesn't sum to 1."""
    module = nn.Sequential(net(), nn.Sigmoid())
    for engine, precision in [("torch", "bf16"), *((name, "fp32") for name in installed)]:
        own = load_backend(module, size=(24, 24), device="cpu")
        view, masks = masked(24, 24)
        own.predict_masked(view, masks)
        made = load_backend(own, engine=engine, precision=precision)
        made.predict_masked(view, masks)
        assert made.caution.count("was given no transform") == 1
        assert made.caution.count("don't sum to 1") == 1


def test_auto_says_who_has_a_precision_that_nobody_here_has(monkeypatch, tmp_path):
    absent = {name: e._replace(module="nowhere_at_all") for name, e in engines.ENGINES.items()}
    monkeypatch.setattr(engines, "ENGINES", {**engines.ENGINES, "openvino": absent["openvino"]})
    with pytest.raises(SettingError, match="has no precision 'bf16'; those that have: openvino"):
        engines.file_on(lambda *_: stand_in(), ["onnx", "openvino"], "auto", "bf16")


class Own(Backend):
    """A user's backend, which says that it is torch's, and has a name that can't be set."""

    engine, class_names = "torch", None
    name = property(lambda self: "own")

    def view(self, image):
        return image

    def predict(self, images):
        return np.full((len(images), 2), 0.5)


def test_a_users_own_backend_runs_where_it_runs(monkeypatch):
    with pytest.raises(SettingError, match="own runs where it runs"):
        load_backend(Own(), engine="auto")
    module = types.ModuleType("own_models")
    module.classify = Own()
    monkeypatch.setitem(sys.modules, "own_models", module)
    assert load_backend("own_models:classify") is module.classify


def test_onnx_runtime_sends_no_word_of_its_use(installed, tmp_path):
    """It is told before it is loaded; later it wouldn't listen."""
    if "onnx" not in installed:
        pytest.skip("ONNX Runtime isn't installed")
    code = (
        "import os, sys, torch\n"
        "from deap_xai.backends import load_backend\n"
        "net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2))\n"
        "load_backend(net, size=(2, 2), device='cpu', engine='onnx')\n"
        "assert 'onnxruntime' in sys.modules\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == "1"
    assert not list(tmp_path.rglob("*onnxruntime*"))  # where it would keep what it sends
