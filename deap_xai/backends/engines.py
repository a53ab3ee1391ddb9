"""On what a model runs: torch, ONNX Runtime or OpenVINO, and in which precision."""

from __future__ import annotations

import copy
import functools
import importlib.util
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deap_xai.backends.base import Backend
from deap_xai.backends.graph import GraphBackend
from deap_xai.backends.measuring import identity, probe_masks, seconds
from deap_xai.backends.remembered import key_of, recall, remember
from deap_xai.errors import BackendError, DeapXaiError, SettingError, require
from deap_xai.masking import MaskedView

if TYPE_CHECKING:
    from deap_xai.backends.torch_module import TorchBackend

__all__ = ["ENGINES", "TOLERANCE", "Engine", "file_on", "module_on"]


class Engine(NamedTuple):
    """What an engine is and can do, the module that it needs, and the extra that brings it."""

    summary: str
    precisions: tuple[str, ...]
    module: str
    extra: str = ""

    @property
    def installed(self) -> bool:
        """Whether its module is there."""
        return importlib.util.find_spec(self.module) is not None


ENGINES = {
    "torch": Engine("PyTorch itself, on any device", ("fp32", "bf16"), "torch"),
    "onnx": Engine("ONNX Runtime, on the CPU", ("fp32",), "onnxruntime", "onnx"),
    "openvino": Engine("OpenVINO, on the CPU", ("fp32", "bf16"), "openvino", "openvino"),
}
"""Every engine by name."""

PLAIN = ("fp32", "fp64")
"""Precisions of modules that can be converted."""

TOLERANCE = {"fp32": 1e-3, "bf16": 0.02}
"""How far any probability may be from the user's own model's for ``auto`` to take an engine."""

SECONDS, ROUNDS = 2.0, 10
"""Time in which ``auto`` races the candidates, beside loading them and their first answers; and
the most rounds."""

N_CHECKED, N_TIMED = 8, 4
"""Views on which engines have to agree, and those of them that are timed: as many as the default
search asks about at once."""

Making = Callable[[str, str], Backend]


def module_on(own: TorchBackend, engine: str, precision: str) -> Backend:
    """A torch backend's model on an engine, with that backend as its reference.

    Parameters
    ----------
    own
        The user's own model.
    engine
        ``"torch"``, ``"onnx"``, ``"openvino"``, or ``"auto"``: the fastest of those installed.
    precision
        ``"fp32"``, the model as it is; ``"bf16"``; or ``"auto"``: the faster.

    Raises
    ------
    SettingError
        If there is no such engine, or it can't run this model.
    MissingExtraError
        If the engine isn't installed.
    BackendError
        If the model can't be converted.
    """
    engines = ["torch"]
    if own.device.type == "cpu" and own.preparation is not None and own.precision in PLAIN:
        engines += ["onnx", "openvino"]
    elif engine in ("onnx", "openvino"):
        raise SettingError(
            f"engine {engine!r} takes a module in float32 or float64 on the device 'cpu', with a "
            f"transform that can be taken apart; {own.name} is in {own.precision} on "
            f"{str(own.device)!r}"
            f"{', its transform is opaque' * (own.preparation is None)}; use engine='torch'"
        )
    made = _on(own, functools.partial(_converted, own), engines, engine, precision)
    if engine == "auto" and own.device.type == "cpu" and own.preparation is None:
        made.choice += "; onnx and openvino need a transform that can be taken apart"
    return made


def file_on(make: Making, engines: Sequence[str], engine: str, precision: str) -> Backend:
    """A file on one of the engines that can read it; ``make`` loads it, by engine and precision.

    Its reference is the file in fp32: on the engine that is named, else on the first installed.
    """
    _check("engine", engine, engines)
    present = [name for name in engines if ENGINES[name].installed]
    first = (present or engines)[0] if engine == "auto" else engine
    return _on(make(first, "fp32"), make, engines, engine, precision)


def _on(own: Backend, make: Making, engines: Sequence[str], engine: str, precision: str) -> Backend:
    _check("engine", engine, engines)
    _check("precision", precision, ("fp32", "bf16"))
    names = engines if engine == "auto" else [engine]
    pairs = [(name, p) for name in names for p in ENGINES[name].precisions]
    pairs = [(name, p) for name, p in pairs if precision in ("auto", p)]
    if engine == "auto":
        pairs = [(name, p) for name, p in pairs if ENGINES[name].installed]
    if not pairs:
        can = ", ".join(name for name in engines if precision in ENGINES[name].precisions)
        here = " of those installed here" if engine == "auto" else ""
        raise SettingError(
            f"engine {engine!r}{here} has no precision {precision!r}; those that have: {can} "
            "(deap-xai list engines)"
        )
    if "auto" in (engine, precision):
        return _fastest(own, make, pairs)
    return _made(own, make, *pairs[0])


def _made(own: Backend, make: Making, engine: str, precision: str) -> Backend:
    if engine == own.engine and precision == "fp32":
        return own
    made = make(engine, precision)
    made.reference = copy.copy(own)  # its batch size will be set, and this one may be the user's
    return made


def _converted(own: TorchBackend, engine: str, precision: str) -> Backend:
    """The torch backend's model on an engine, compiled as soon as the view's size is known."""
    if engine == "torch":
        return own.in_bf16()
    from deap_xai.backends.onnx import export_graph
    from deap_xai.backends.openvino import convert_graph

    require(ENGINES[engine].module, ENGINES[engine].extra)  # now, not at the first image
    convert = functools.partial(convert_graph, precision=precision)
    assert own.preparation is not None
    made = GraphBackend(
        functools.partial(export_graph if engine == "onnx" else convert, own),
        own.view,
        mean=own.preparation.mean,
        std=own.preparation.std,
        name=own.name,
        engine=engine,
        precision=precision,
        class_names=own.class_names,
        batch_size=own.batch_size,
        digest=own.digest,
    )
    made.measure_batch_size, made.caution = own.measure_batch_size, own.caution
    shapes = {own.view(np.zeros(shape, np.uint8)).shape for shape in ((48, 64, 3), (64, 48, 3))}
    if len(shapes) == 1:  # all views have one size: convert now, not at the first image
        height, width, _ = shapes.pop()
        made.graph(height, width)
    return made


def _fastest(own: Backend, make: Making, pairs: Sequence[tuple[str, str]]) -> Backend:
    """The fastest that agrees with the own model, measured or remembered."""
    if pairs == [(own.engine, "fp32")]:
        own.choice = f"engine {own.engine} fp32, the only one here"
        return own
    masked_view = _probe(own)
    key = key_of("engine", *identity(own), pairs, masked_view.view.shape)
    known = recall(key)
    for engine, precision in pairs:
        if (engine, precision) == (known.get("engine"), known.get("precision")):
            with suppress(DeapXaiError):  # an engine that no longer runs it is measured anew
                made = _made(own, make, engine, precision)
                made.choice = f"{known.get('choice')} (remembered)"
                return made
    agreeing, failures = _agreeing(own, make, pairs, masked_view)
    if not agreeing:
        raise BackendError(f"no engine can be used: {'; '.join(failures)}")
    best = _race(agreeing, masked_view)
    ranked = sorted(zip(best, range(len(best)), agreeing, strict=True))
    made = ranked[0][2]
    told = [f"{b.engine} {b.precision} {N_TIMED / taken:.3g}" for taken, _, b in ranked]
    made.choice = "; ".join(
        [f"engine {made.engine} {made.precision}; views a second: {', '.join(told)}", *failures]
    )
    remember(key, {"engine": made.engine, "precision": made.precision, "choice": made.choice})
    return made


def _agreeing(
    own: Backend, make: Making, pairs: Sequence[tuple[str, str]], masked_view: MaskedView
) -> tuple[list[Backend], list[str]]:
    """The backends whose answers are the own model's within the tolerance; why others aren't."""
    masks = probe_masks(N_CHECKED, masked_view.n_segments)
    try:
        right = own.predict_masked(masked_view, masks)
    except RuntimeError as error:
        raise SettingError(
            f"'auto' tried {own.name} on a view of {masked_view.view.shape[:2]}, and it failed: "
            f"{error}; give the size that it takes, or its transform"
        ) from error
    agreeing, failures = [], []
    for engine, precision in pairs:
        try:
            backend = _made(own, make, engine, precision)
            answers = backend.predict_masked(masked_view, masks)
        except DeapXaiError as error:
            failures.append(f"{engine} {precision} failed ({error})")
            continue
        if answers.shape != right.shape:
            failures.append(f"{engine} {precision} answers with {answers.shape[1]} classes")
            continue
        off = float(abs(answers - right).max())
        if off <= TOLERANCE[precision]:
            agreeing.append(backend)
        else:
            failures.append(f"{engine} {precision} is off by {off:.2g}")
    return agreeing, failures


def _race(backends: Sequence[Backend], masked_view: MaskedView) -> list[float]:
    """The shortest time of each for the same few views, over rounds in which all take turns."""
    masks = probe_masks(N_CHECKED, masked_view.n_segments)[:N_TIMED]
    best = [float("inf")] * len(backends)
    start = time.perf_counter()
    for turn in range(ROUNDS):
        if turn > 1 and time.perf_counter() - start > SECONDS:
            break
        for i, backend in enumerate(backends):
            best[i] = min(best[i], seconds(backend, masked_view, masks))
    return best


def _probe(own: Backend) -> MaskedView:
    """A made-up picture of the model's size in 16 cells, with its mirror image as the fill."""
    rng = np.random.default_rng(0)
    patches = np.kron(rng.integers(0, 200, (8, 8, 3)), np.ones((28, 28, 1), int))
    view = own.view((patches + rng.integers(0, 56, patches.shape)).astype(np.uint8))
    rows, columns = (np.arange(side) * 4 // side for side in view.shape[:2])
    segments = (rows[:, None] * 4 + columns).astype(np.int32)
    return MaskedView(view, segments, np.ascontiguousarray(view[:, ::-1]))


def _check(what: str, value: str, known: Sequence[str]) -> None:
    if value not in (*known, "auto"):
        raise SettingError(
            f"{what} {value!r} can't run this model; expected one of {', '.join(known)}, auto"
        )
