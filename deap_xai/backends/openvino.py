"""Graphs on OpenVINO: a file of the user's, or a torch module converted."""

from __future__ import annotations

import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.backends.graph import Graph, read_layout, read_output, threads
from deap_xai.errors import BackendError, require

if TYPE_CHECKING:
    from deap_xai.backends.torch_module import TorchBackend

__all__ = ["convert_graph", "read_graph"]

_HINTS = {"fp32": "f32", "bf16": "bf16"}


def read_graph(path: Path, precision: str, output: str | None = None) -> Graph:
    """The graph in an ``.xml`` (with its ``.bin`` beside it) or ``.onnx`` file.

    ``output`` names the one to read; see :func:`~deap_xai.backends.graph.read_output`.

    Raises
    ------
    MissingExtraError
        If OpenVINO isn't installed.
    BackendError
        If the file can't be read, doesn't take RGB pictures, has no such output, or is run in
        another precision.
    """
    openvino = _openvino()
    try:
        model = openvino.Core().read_model(str(path))
    except Exception as error:  # OpenVINO raises RuntimeError and others
        raise BackendError(
            f"OpenVINO can't read {path}: {_told(error)}; expected an OpenVINO model (.xml with "
            "its .bin beside it) or an ONNX one"
        ) from error
    return _graph(model, precision, str(path), output)


def convert_graph(backend: TorchBackend, height: int, width: int, precision: str) -> Graph:
    """A torch backend's module on OpenVINO, for views of that size and any batch.

    Raises
    ------
    MissingExtraError
        If OpenVINO isn't installed.
    BackendError
        If OpenVINO can't convert the module, or runs it in another precision.
    """
    openvino = _openvino()
    import torch

    sample = torch.zeros(2, 3, height, width, device="cpu")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer's own ways
            model = openvino.convert_model(
                backend.plain_module(), example_input=sample, input=[-1, 3, height, width]
            )
    except Exception as error:  # the converter may fail in any way on a module of the user's
        raise BackendError(
            f"OpenVINO can't convert {backend.name} ({_told(error)}); use another engine"
        ) from error
    return _graph(model, precision, backend.name)


def _openvino() -> Any:
    # OpenVINO's own telemetry would send word of its use over the network when it is imported.
    # Explaining a picture needs no network; without this package OpenVINO sends nothing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return require("openvino", "openvino")


def _graph(model: Any, precision: str, what: str, output: str | None = None) -> Graph:
    inputs = [(_name(x), _shape(x.get_partial_shape()), _dtype(x)) for x in model.inputs]
    layout = read_layout(inputs, what)
    outputs = [
        (_name(x, output), _shape(x.get_partial_shape()), x.get_element_type().is_real())
        for x in model.outputs
    ]
    index, caution = read_output(outputs, output, what)
    compiled = (
        _openvino()
        .Core()
        .compile_model(
            model,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": threads(),
                "INFERENCE_PRECISION_HINT": _HINTS[precision],
                "NUM_STREAMS": 1,
                # Pinned threads of several processes would all sit on the same cores.
                "ENABLE_CPU_PINNING": False,
            },
        )
    )
    ran_in = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if ran_in != _HINTS[precision]:  # a processor without bf16 takes it for a mere hint
        raise BackendError(
            f"OpenVINO runs {what} in {ran_in} on this processor, not in {precision}; use "
            "precision fp32"
        )
    request, lock = compiled.create_infer_request(), threading.Lock()

    def run(batch: NDArray[Any]) -> NDArray[Any]:
        with lock:  # until it is copied, another thread's question would overwrite the answer
            request.infer([batch], share_inputs=True)
            return np.array(request.get_output_tensor(index).data)

    return Graph(layout, run, caution)


def _shape(partial: Any) -> list[int | None] | None:
    if partial.rank.is_dynamic:
        return None
    return [None if side.is_dynamic else int(side.get_length()) for side in partial]


def _name(port: Any, wanted: str | None = None) -> str:
    """One of a port's names: the wanted one, if it is among them."""
    names = sorted(port.get_names())
    return str(wanted if wanted in names else next(iter(names), "input"))


def _dtype(port: Any) -> str:
    name = str(port.get_element_type().get_type_name())
    return {"f32": "float32", "f16": "float16", "u8": "uint8", "f64": "float64"}.get(name, name)


def _told(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
