"""Files of the user's as backends: ``model.onnx``, and OpenVINO's ``model.xml``."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deap_xai.backends.graph import Graph, GraphBackend, Layout
from deap_xai.backends.loading import backends
from deap_xai.backends.transform import split_transform
from deap_xai.digests import plain_repr
from deap_xai.errors import BackendError, SettingError
from deap_xai.identity import identity
from deap_xai.typing import Image, View
from deap_xai.views import fit_image, view_sides

__all__ = ["file"]

EXTERNAL = re.compile(rb"\n\x08location\x12([\x01-\x7f])")
"""What comes before a weights' file's name in an ONNX file: in protobuf, an entry's key, and how
long its value is."""


@backends.register
def file(
    *,
    path: str,
    size: int | tuple[int, int] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    transform: Callable[..., Any] | None = None,
    class_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    engine: str | None = None,
    precision: str = "fp32",
    output: str | None = None,
) -> GraphBackend:
    """An ONNX file, or OpenVINO's .xml with its .bin; its path alone names it too: ``model.onnx``.

    Shape, channel order, dtype and batch are read off the file, and whether it answers with
    logits or probabilities off its first answer.

    Parameters
    ----------
    path
        The file. One input of RGB pictures, (N, 3, h, w) or (N, h, w, 3), float or uint8.
    size
        View size where the file leaves it open: an int for shorter side and centre crop, a pair
        (h, w) to resize to. None: the file's own, else the image's.
    mean, std
        A file of floats is given ``(view / 255 - mean) / std``: three numbers or one for all.
        None: 0 and 1. ImageNet's are ``mean=(0.485, 0.456, 0.406),std=(0.229, 0.224, 0.225)``.
    transform
        Instead of size, mean and std: the transform that the model was tested with, of the kinds
        that :class:`~deap_xai.backends.torch_module.TorchBackend` takes apart.
    class_names, batch_size
        As for every backend.
    engine, precision
        ``"onnx"`` in ``"fp32"``, or ``"openvino"`` in ``"fp32"`` or ``"bf16"``. None takes ONNX
        Runtime for ``.onnx`` and OpenVINO for ``.xml``.
    output
        Name of the output to read, where the file has several. None: the first table of numbers
        with a row for each picture; a note says which that is.

    Raises
    ------
    MissingExtraError
        If the engine isn't installed.
    BackendError
        If the file can't be read, doesn't take RGB pictures or has no such output.
    SettingError
        If the options don't fit each other or the file.
    """
    output = None if output is None else str(output)  # a spec takes "495" for a number
    if not Path(path).is_file():
        raise BackendError(f"no model file at {path}; check the path")
    engine = engine or ("openvino" if path.lower().endswith(".xml") else "onnx")
    graph = _read(Path(path), engine, precision, output)
    if batch_size is not None and graph.layout.batch not in (None, batch_size):
        raise SettingError(
            f"{path} takes exactly {graph.layout.batch} views at once, not batch_size={batch_size};"
            " leave it out"
        )
    if transform is None:
        fitted = _fitted(path, graph.layout, size)
        means, stds = _three("mean", mean, 0.0), _three("std", std, 1.0)
    else:
        fitted, means, stds = _taken_apart(transform, (size, mean, std))
        _check_view(path, graph.layout, fitted(np.zeros((48, 64, 3), np.uint8)))
    if graph.layout.dtype == np.uint8 and (set(means), set(stds)) != ({0.0}, {1.0}):
        raise SettingError(f"{path} takes uint8, so it normalises itself: leave out mean and std")
    given = {"size": size, "mean": mean, "std": std, "output": output}
    told = ",".join(f"{key}={value}" for key, value in given.items() if value is not None)
    around = [transform, size, mean, std, class_names, *filter(None, [output])]
    made = GraphBackend(
        lambda height, width: graph,
        fitted,
        mean=means,
        std=stds,
        name=f"{path}:{told}" if told else path,
        engine=engine,
        precision=precision,
        class_names=class_names,
        batch_size=graph.layout.batch or batch_size,
        digest=functools.partial(_digest, Path(path), around),
    )
    untold = _untold(graph.layout, transform, size, mean is None and std is None)
    made.caution = "; ".join(filter(None, [graph.caution, *untold]))
    return made


def _untold(layout: Layout, transform: Any, size: Any, bare: bool) -> list[str]:
    """What a file can't tell and nobody said."""
    notes = []
    if transform is None and bare and layout.dtype != np.uint8:
        notes.append(
            "the file was given no mean and std: it gets pictures as numbers 0..1, not normalised; "
            "if it was trained with others, its answers are wrong without"
        )
    if transform is None and size is None and None in (layout.height, layout.width):
        notes.append(
            "the file takes pictures of any size and was given none: it gets each as large as it "
            "is; if it was trained at one size, give that, such as size=224"
        )
    return notes


def _read(path: Path, engine: str, precision: str, output: str | None) -> Graph:
    if engine == "onnx":
        from deap_xai.backends.onnx import read_graph as read_onnx

        return read_onnx(path, output)
    from deap_xai.backends.openvino import read_graph as read_openvino

    return read_openvino(path, precision, output)


def _fitted(
    path: str, layout: Layout, size: int | tuple[int, int] | None
) -> Callable[[Image], View]:
    """What brings an image to the size that the file, else the user, names."""
    fixed = (layout.height, layout.width)
    if None not in fixed:
        if size is not None and view_sides(size) != fixed:
            raise SettingError(f"{path} takes views of {fixed}, not size={size}; leave it out")
        if size is None:
            size = fixed[0] if fixed[0] == fixed[1] else fixed  # type: ignore[assignment]
    if size is None:
        return lambda image: image
    return functools.partial(fit_image, size=size)


def _check_view(path: str, layout: Layout, view: View) -> None:
    wanted = (layout.height, layout.width)
    if any(side not in (None, made) for side, made in zip(wanted, view.shape, strict=False)):
        raise SettingError(
            f"{path} takes views of {wanted}, and the transform makes them {view.shape[:2]}; give "
            "the transform that the model was tested with"
        )


def _taken_apart(
    transform: Callable[..., Any], others: tuple[Any, ...]
) -> tuple[Callable[[Image], View], Sequence[float], Sequence[float]]:
    if any(value is not None for value in others):
        raise SettingError("got a transform and size, mean or std; the transform sets them all")
    parts = split_transform(transform)
    if parts is None:
        raise SettingError(
            "the transform can't be taken apart into resizing and normalisation; give size, mean "
            "and std instead"
        )
    return parts.view, parts.mean, parts.std


def _three(name: str, value: Any, usual: float) -> Sequence[float]:
    numbers = np.atleast_1d(np.asarray(usual if value is None else value))
    if numbers.dtype.kind not in "fi" or numbers.shape not in ((1,), (3,)):
        raise SettingError(f"{name} must be one number or three, for red, green, blue; got {value}")
    if name == "std" and not (numbers > 0).all():
        raise SettingError(f"std must be above 0; got {value}")
    if name == "mean" and (numbers > 1).any():
        raise SettingError(
            f"mean and std are of pixels in 0..1, so mean can't be above 1; got {value}: divide "
            "both by 255"
        )
    return [float(x) for x in np.broadcast_to(numbers, 3)]


def _digest(path: Path, around: list[Any]) -> str:
    """A hash of the file, of its weights in files beside it, and of what was given with it.

    These are OpenVINO's ``.bin``, or those that an ONNX file names as external data.
    """
    model = path.read_bytes()
    names = {model[found.end() : found.end() + found[1][0]] for found in EXTERNAL.finditer(model)}
    digest = hashlib.sha256(model + plain_repr(identity(around)))
    for part in (path.with_suffix(".bin"), *(path.parent / os.fsdecode(x) for x in sorted(names))):
        if part.is_file():
            digest.update(part.read_bytes())
    return digest.hexdigest()
