"""A compiled graph as a classifier: what ONNX Runtime and OpenVINO have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from deap_xai.backends.answers import softmax_due, with_caution
from deap_xai.backends.base import Backend, is_out_of_memory
from deap_xai.errors import BackendError
from deap_xai.masking import MaskedView
from deap_xai.typing import Image, Masks, Probabilities, View, Views

__all__ = ["BATCH", "Graph", "GraphBackend", "Layout", "read_layout", "read_output", "threads"]

BATCH = 8
"""Views at once where nobody gave a number and nothing was measured."""

GRAPHS = 16
"""Sizes of views, at most, of which the graph is kept; each may hold the weights once more."""


class Layout(NamedTuple):
    """How a graph takes its pictures; None: any number."""

    batch: int | None
    height: int | None
    width: int | None
    channels_last: bool
    dtype: np.dtype[Any]


class Graph(NamedTuple):
    """A loaded graph: its layout, and the call from a batch in that layout to its answer.

    ``run`` must be done with its argument when it returns: the array is used again. ``caution`` is
    for the reader of an explanation.
    """

    layout: Layout
    run: Callable[[NDArray[Any]], NDArray[Any]]
    caution: str = ""


def read_layout(
    inputs: Sequence[tuple[str, Sequence[int | None] | None, Any]], what: str
) -> Layout:
    """The layout that a graph's inputs tell: (name, shape, dtype) of each, None where open.

    Raises
    ------
    BackendError
        If it takes anything but one batch of RGB pictures.

    Examples
    --------
    >>> read_layout([("x", (None, 224, 224, 3), "uint8")], "model.onnx")
    Layout(batch=None, height=224, width=224, channels_last=True, dtype=dtype('uint8'))
    """
    told = ", ".join(f"{name} {_shown(shape)} {dtype}" for name, shape, dtype in inputs)
    advice = (
        f"{what} takes {told or 'nothing'}; expected one input of RGB pictures, (N, 3, h, w) or "
        "(N, h, w, 3), in float32, float16 or uint8"
    )
    if len(inputs) != 1 or inputs[0][1] is None or len(inputs[0][1]) != 4:
        raise BackendError(advice)
    _, shape, name = inputs[0]
    channels_last = shape[1] != 3 and shape[3] == 3  # type: ignore[index]
    if str(name) not in ("float32", "float16", "uint8") or not {3, None} & {shape[1], shape[3]}:  # type: ignore[index]
        raise BackendError(advice)
    batch, *sides = shape if channels_last else (shape[0], *shape[2:])  # type: ignore[misc,index]
    return Layout(batch, sides[0], sides[1], channels_last, np.dtype(str(name)))


def read_output(
    outputs: Sequence[tuple[str, Sequence[int | None] | None, bool]], name: str | None, what: str
) -> tuple[int, str]:
    """Which of a graph's outputs to read, and a caution where others might be meant.

    Parameters
    ----------
    outputs
        Name and shape of each, and whether its numbers are floating.
    name
        Of the one to read; None: the only one, or the first floating table.
    what
        What messages call the graph.

    Raises
    ------
    BackendError
        If there is none of that name, or no table.

    Examples
    --------
    >>> outputs = [("label", (None,), False), ("features", (1, 64), True), ("p", (1, 9), True)]
    >>> read_output(outputs, "p", "model.onnx")
    (2, '')
    >>> read_output(outputs, None, "model.onnx")
    (1, "the file answers with features and p; 'features' was read: say output=p for another")
    """
    told = ", ".join(f"{name} {_shown(shape)}" for name, shape, _ in outputs)
    if name is not None:
        places = [i for i, output in enumerate(outputs) if output[0] == name]
        if not places:
            raise BackendError(f"{what} has no output {name!r}; it answers with {told}")
        return places[0], ""
    tables = [
        i
        for i, (_, shape, floating) in enumerate(outputs)
        if floating and shape is not None and len(shape) == 2
    ]
    if not tables and len(outputs) != 1:
        raise BackendError(
            f"{what} answers with {told}; expected a table (N, classes) among them, or its name: "
            "output=NAME"
        )
    names = [outputs[i][0] for i in tables]
    caution = (
        f"the file answers with {' and '.join(names)}; {names[0]!r} was read: say "
        f"output={names[1]} for another"
        if len(tables) > 1
        else ""
    )
    return (tables or [0])[0], caution


class GraphBackend(Backend):
    """A graph on the CPU, with masked views drawn in NumPy as the graph's input wants them.

    Its answers go through a softmax unless they already are probabilities: all within 0..1,
    each row with a sum of 1.

    Parameters
    ----------
    graph
        From a view's height and width to the graph for it; called again when they change.
    view
        From an image (H, W, 3) to the view that the graph takes.
    mean, std
        Of each channel: a graph of floats gets ``(view / 255 - mean) / std``, one of uint8 the
        view itself.
    name, class_names, engine, precision
        As for every :class:`~deap_xai.backends.Backend`.
    batch_size
        Views at once; None takes 8 until it is measured. A graph of a fixed batch gets that.
    digest
        A hash of what the graph was made from.
    """

    def __init__(
        self,
        graph: Callable[[int, int], Graph],
        view: Callable[[Image], View],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        name: str,
        engine: str,
        precision: str = "fp32",
        class_names: Sequence[str] | None = None,
        batch_size: int | None = None,
        digest: Callable[[], str],
    ) -> None:
        self.name, self.class_names = name, class_names
        self.engine, self.precision = engine, precision
        self.batch_size = BATCH if batch_size is None else batch_size
        self.measure_batch_size = batch_size is None
        self._digest = digest
        self._make_graph, self._view = graph, view
        self._mean, self._std = np.array(mean, np.float32), np.array(std, np.float32)
        self._softmax: bool | None = None
        self._graphs: dict[tuple[int, int], Graph] = {}
        self._canvas: _Canvas | None = None

    def view(self, image: Image) -> View:
        """The image as the graph takes it."""
        return self._view(image)

    def predict(self, images: Views) -> Probabilities:
        """Probabilities (N, C) of uint8 views (N, h, w, 3)."""
        graph = self.graph(*images.shape[1:3])

        def ask(chunk: Views) -> Probabilities:
            inputs = self._normalised(chunk, graph.layout)
            if not graph.layout.channels_last:
                inputs = inputs.transpose(0, 3, 1, 2)
            return self._answer(graph, np.ascontiguousarray(inputs))

        return self.in_chunks(ask, images)

    def predict_masked(self, masked_view: MaskedView, masks: Masks) -> Probabilities:
        """Probabilities (N, C) under masks (N, S); pixels are written once, into one buffer."""
        graph = self.graph(*masked_view.view.shape[:2])
        if self._canvas is None or self._canvas.masked_view is not masked_view:
            view = self._normalised(masked_view.view, graph.layout)
            fill = self._normalised(masked_view.fill, graph.layout)
            self._canvas = _Canvas(masked_view, view, fill, graph.layout.channels_last)
        canvas = self._canvas
        return self.in_chunks(lambda chunk: self._answer(graph, canvas.draw(chunk)), masks)

    def graph(self, height: int, width: int) -> Graph:
        """The graph for views of that size; those last used are kept, as images take turns."""
        graph = self._graphs.pop((height, width), None)
        if graph is None:
            graph = self._make_graph(height, width)
            if graph.layout.batch is not None:
                self.batch_size, self.measure_batch_size = graph.layout.batch, False
            if len(self._graphs) >= GRAPHS:
                del self._graphs[next(iter(self._graphs))]
        self._graphs[height, width] = graph
        return graph

    def digest(self) -> str:
        """A hash of the file or module."""
        return self._digest()

    def _normalised(self, pixels: Views | View, layout: Layout) -> NDArray[Any]:
        if layout.dtype == np.uint8:
            return pixels
        values = (pixels.astype(np.float32) / 255 - self._mean) / self._std
        return np.asarray(values, layout.dtype)

    def _answer(self, graph: Graph, inputs: NDArray[Any]) -> Probabilities:
        n, batch = len(inputs), graph.layout.batch
        if batch is not None and n < batch:  # the last chunk of a graph that takes just so many
            inputs = np.concatenate([inputs, np.repeat(inputs[-1:], batch - n, axis=0)])
        try:
            output = np.asarray(graph.run(inputs), np.float32)
        except Exception as error:  # every engine has errors of its own
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise BackendError(
                f"{self.name} can't be run by {self.engine} on views of shape {inputs.shape}: "
                f"{' '.join(str(error).split())}"
            ) from error
        if output.ndim > 2 and set(output.shape[2:]) == {1}:  # (N, C, 1, 1): a pooled map
            output = output.reshape(output.shape[:2])
        rows = self.table(output[:n], n)
        if self._softmax is None:
            due, caution = softmax_due(
                rows, lambda: self._on_noise(graph, inputs), exact=self.precision != "bf16"
            )
            self._softmax = due
            self.caution = with_caution(self.caution, caution)
        return softmax(rows, axis=1) if self._softmax else rows

    def _on_noise(self, graph: Graph, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """What the graph says of as many pictures of noise."""
        channels_last = graph.layout.channels_last
        height, width = inputs.shape[1:3] if channels_last else inputs.shape[2:]
        pixels = np.random.default_rng(0).integers(0, 256, (len(inputs), height, width, 3))
        noise = self._normalised(pixels.astype(np.uint8), graph.layout)
        noise = noise if channels_last else noise.transpose(0, 3, 1, 2)
        output = np.asarray(graph.run(np.ascontiguousarray(noise)), np.float32)
        return output.reshape(output.shape[:2])


class _Canvas:
    """A view and its fill as a graph wants them, and the buffers into which masks are drawn."""

    def __init__(
        self, masked_view: MaskedView, view: NDArray[Any], fill: NDArray[Any], channels_last: bool
    ) -> None:
        self.masked_view = masked_view
        # Channels first: three planes of pixels. Channels last: one plane of channel values.
        labels, shape = masked_view.segments.ravel(), view.shape
        if channels_last:
            labels, planes = np.repeat(labels, 3), 1
        else:
            view, fill = (np.moveaxis(x, -1, 0) for x in (view, fill))
            planes, shape = 3, (3, *shape[:2])
        self._labels, self._shape, self._dtype = labels.astype(np.intp), shape, view.dtype
        # Bitwise, as MaskedView.render does: fill ^ (view ^ fill) is the view, fill ^ 0 the fill,
        # to the last bit and for every dtype. That takes no array but the two buffers.
        self._bits = np.dtype(f"u{view.dtype.itemsize}")
        self._fill, seen = (
            np.ascontiguousarray(x).view(self._bits).reshape(planes, -1) for x in (fill, view)
        )
        self._difference = seen ^ self._fill
        self._keep = np.empty((0, len(labels)), self._bits)
        self._drawn = np.empty((0, planes, len(labels)), self._bits)

    def draw(self, masks: Masks) -> NDArray[Any]:
        """Masked views (N, 3, h, w) or (N, h, w, 3), valid until the next call."""
        n = len(masks)
        if len(self._drawn) < n:
            self._keep = np.empty((n, *self._keep.shape[1:]), self._bits)
            self._drawn = np.empty((n, *self._drawn.shape[1:]), self._bits)
        keep, drawn = self._keep[:n], self._drawn[:n]
        every_bit = np.where(masks, np.iinfo(self._bits).max, 0).astype(self._bits)
        # Labels are in range; "raise", the default, would go through a copy of its own.
        every_bit.take(self._labels, axis=1, out=keep, mode="clip")
        np.bitwise_and(keep[:, None], self._difference, out=drawn)
        np.bitwise_xor(drawn, self._fill, out=drawn)
        return drawn.view(self._dtype).reshape(n, *self._shape)


def threads() -> int:
    """Threads that a model on the CPU may use, on every engine: torch's number.

    ``OMP_NUM_THREADS`` and ``torch.set_num_threads`` set it; several processes that share the
    cores should set it so that together they have no more threads than cores. It is read when a
    graph is loaded.

    Examples
    --------
    >>> threads() >= 1
    True
    """
    import torch

    return torch.get_num_threads()


def _shown(shape: Sequence[int | None] | None) -> str:
    return "of any shape" if shape is None else f"({', '.join(str(n or '?') for n in shape)})"
