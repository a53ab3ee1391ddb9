"""Graphs on ONNX Runtime: a file of the user's, or a torch module exported."""

from __future__ import annotations

import contextlib
import io
import os
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

__all__ = ["export_graph", "exported", "read_graph"]

# Explaining a picture needs no network. It would send word of its use, and torch's exporter, which
# loads it too, comes before our own call.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


_EXPORTING = threading.Lock()
"""The exporter, and what hides its prints, are for one thread at a time."""


def read_graph(path: Path, output: str | None = None) -> Graph:
    """The graph in an ``.onnx`` file, which may have its weights in files beside it.

    ``output`` names the one to read; see :func:`~deap_xai.backends.graph.read_output`.

    Raises
    ------
    MissingExtraError
        If ONNX Runtime isn't installed.
    BackendError
        If the file can't be read, doesn't take RGB pictures or has no such output.
    """
    return _graph(str(path), str(path), output)


def export_graph(backend: TorchBackend, height: int, width: int) -> Graph:
    """A torch backend's module on ONNX Runtime, for views of that size and any batch.

    Raises
    ------
    MissingExtraError
        If ONNX Runtime or the exporter isn't installed.
    BackendError
        If torch can't export the module.
    """
    return _graph(exported(backend, height, width), backend.name)


def exported(backend: TorchBackend, height: int, width: int) -> bytes:
    """The module as ONNX, taking float32 (N, 3, height, width) and giving (N, C)."""
    require("onnxscript", "onnx")
    import torch

    # A batch of one would be taken for a constant.
    sample = torch.zeros(2, 3, height, width, device="cpu")
    try:
        # Of the exporter's own ways; where it fails it prints all that it had.
        with _EXPORTING, warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                backend.plain_module(),
                (sample,),
                dynamo=True,
                verbose=False,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
            assert program is not None
            return bytes(program.model_proto.SerializeToString())
    except Exception as error:  # the exporter may fail in any way on a module of the user's
        why = _first_line(error.__cause__ or error)  # the exporter's own words are advice
        raise BackendError(
            f"torch can't export {backend.name} to ONNX ({why}); export it yourself and give the "
            "file, or use another engine"
        ) from error


def _graph(source: str | bytes, what: str, output: str | None = None) -> Graph:
    runtime: Any = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors only: what goes wrong comes as an exception too
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    # Threads that spin between calls would take the cores from the search.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no class
        raise BackendError(
            f"ONNX Runtime can't read {what}: {_first_line(error)}; expected an ONNX model"
        ) from error
    inputs = [(x.name, [_known(n) for n in x.shape], _dtype(x.type)) for x in session.get_inputs()]
    layout = read_layout(inputs, what)
    outputs = [
        (x.name, [_known(n) for n in x.shape], x.type.startswith(("tensor(float", "tensor(double")))
        for x in session.get_outputs()
    ]
    index, caution = read_output(outputs, output, what)
    given, wanted = inputs[0][0], [outputs[index][0]]

    def run(batch: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(session.run(wanted, {given: batch})[0])

    return Graph(layout, run, caution)


def _known(side: Any) -> int | None:
    return side if isinstance(side, int) else None


def _dtype(kind: str) -> str:
    """NumPy's name of an ONNX type such as ``tensor(float)``."""
    inner = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
