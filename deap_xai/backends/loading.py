"""From what the user called a model to a backend."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from deap_xai.backends.base import Backend
from deap_xai.backends.function import FunctionBackend
from deap_xai.errors import BackendError, SettingError, check_count
from deap_xai.registry import check_call, registry
from deap_xai.specs import parse_spec
from deap_xai.wording import meant, shortened

__all__ = ["backends", "load_backend"]

backends = registry("backend")
"""Backends by name, beside torchvision's classifiers: ``"demo"`` and what plug-ins add."""


_FILE = re.compile(r"(.+\.(onnx|xml))(?::(.*=.*))?", re.IGNORECASE)


def load_backend(
    model: Any, *, engine: str | None = None, precision: str | None = None, **options: Any
) -> Backend:
    """The backend for whatever the user calls a model.

    Parameters
    ----------
    model
        A :class:`Backend`, a ``torch.nn.Module``, a function from images to probabilities, the
        name of one of torchvision's classifiers, a registered backend's name (``"demo"``), the
        path of an ONNX or OpenVINO file (``"model.onnx"``, ``"model.onnx:mean=0.5,std=0.25"``;
        see :func:`~deap_xai.backends.files.file`), or ``"package.module:attribute"`` naming any
        of these in Python code.
    engine
        What a torch module or a file runs on: ``"torch"``, ``"onnx"``, ``"openvino"``, or
        ``"auto"``, the fastest of those installed that agrees with the model itself. None: torch,
        and what a file is made for.
    precision
        ``"fp32"``, ``"bf16"`` or ``"auto"``. None: the model as it is.
    options
        Passed on: ``weights``, ``device``, ``transform``, ``size``, ``class_names``,
        ``batch_size``; which of them apply depends on the model.

    Raises
    ------
    SettingError
        If the model isn't any of these, or an option doesn't apply to it.
    BackendError
        If the model can't be loaded.

    Examples
    --------
    >>> load_backend(lambda images: [[0.5, 0.5]] * len(images), size=32)  # doctest: +ELLIPSIS
    <deap_xai.backends.function.FunctionBackend object at ...>
    """
    if isinstance(model, Path):
        model = str(model)
    options = {key: value for key, value in options.items() if value is not None}
    if isinstance(model, str) and (found := _file_of(model)):
        options |= found
        engine = options.pop("engine", engine)
        precision = options.pop("precision", precision)
        return _load_file(options, engine, precision or "fp32")
    own = _load(model, options)
    if engine is None and precision is None:
        return own
    from deap_xai.backends.torch_module import TorchBackend

    if not isinstance(own, TorchBackend):
        raise SettingError(
            f"{own.name} runs where it runs: engine and precision are for torch modules and files"
        )
    from deap_xai.backends.engines import module_on

    return module_on(own, engine or "torch", precision or "fp32")


def _file_of(model: str) -> dict[str, Any] | None:
    """The path of a model's file and what is said with it; None where a model is no file."""
    if model.startswith("file:"):
        return parse_spec(model)[1]
    found = _FILE.fullmatch(model)
    return found and {"path": found[1], **parse_spec(f":{found[3] or ''}")[1]}


def _load_file(options: dict[str, Any], engine: str | None, precision: str) -> Backend:
    from deap_xai.backends.engines import file_on

    device = str(options.pop("device", "cpu"))
    if device.partition(":")[0] != "cpu":
        raise SettingError(
            f"the engines of a file run on the CPU; got device {device!r}: leave device out"
        )

    def make(engine: str, precision: str) -> Backend:
        chosen = {**options, "engine": engine, "precision": precision}
        return _call(backends.get("file"), chosen, f"the file {options['path']}")

    if "path" not in options:
        raise SettingError("the backend 'file' needs its parameter 'path': file:path=model.onnx")
    is_openvinos = str(options["path"]).lower().endswith(".xml")
    engines = ["openvino"] if is_openvinos else ["onnx", "openvino"]
    return file_on(make, engines, engine or engines[0], precision)


def _load(model: Any, options: dict[str, Any]) -> Backend:
    if isinstance(model, str):
        return _load_named(model, options)
    if isinstance(model, Backend):
        if options:
            raise SettingError(
                f"{model.name} is a ready Backend, which takes no {' or '.join(options)}; give it "
                "where the Backend is made, and leave it out here (class_names is --classes)"
            )
        return model
    if _is_module(model):
        from deap_xai.backends.torch_module import TorchBackend

        made = _call(TorchBackend, options, "a torch module", model)
        if options.get("transform") is None:
            made.caution = (
                "the torch module was given no transform: it gets pictures as numbers 0..1, not "
                "normalised; if it was trained with a transform, its answers are wrong without"
            )
        return made
    if callable(model) and not isinstance(model, type):
        # A function runs where it runs; the device is for models that we move.
        options.pop("device", None)
        hint = "return probabilities; call what builds a model, and give what it returns"
        check_call("model", model, ["images"], hint=hint)
        return _call(FunctionBackend, options, "a function", model)
    came = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
    raise SettingError(
        f"model must be a name, a torch.nn.Module, a function or a Backend; got {came}"
    )


def _load_named(name: str, options: dict[str, Any]) -> Backend:
    head, values = parse_spec(name) if "=" in name else (name, {})
    if head in backends.names():
        return _load_registered(head, {**options, **values}, spec=name)
    module, colon, attribute = name.partition(":")
    if colon and "=" not in name:
        found = load_backend(_import(module, attribute), **options)
        _rename(found, name)
        return found
    from deap_xai.backends.torchvision_models import torchvision_backend, torchvision_names

    if name in torchvision_names():
        return _call(torchvision_backend, options, f"torchvision's {name}", name)
    raise SettingError(_unknown(name, [*backends.names(), *torchvision_names()]))


def _load_registered(name: str, options: dict[str, Any], spec: str) -> Backend:
    """What a plug-in names: a model, or what makes one."""
    found: Any = backends.get(name)
    what, rest = f"the backend {name!r}", options
    if not _is_model(found, options):
        known = inspect.signature(found).parameters
        rest = {key: value for key, value in options.items() if key not in known}
        found = _call(found, {key: options[key] for key in options.keys() - rest}, what)
        if isinstance(found, Backend):
            _check_options(rest, known, what)
            return found
    made = _load(found, rest)
    _rename(made, spec)
    return made


def _rename(backend: Backend, typed: str) -> None:
    """Call it what was typed, which finds it again; the name of its class doesn't."""
    with suppress(AttributeError):  # one of the user's may have a name that can't be set
        backend.name = typed


def _is_model(found: Any, given: Mapping[str, Any]) -> bool:
    """Whether it is a model itself: as a function, one that must be given something more."""
    if not callable(found) or isinstance(found, Backend) or _is_module(found):
        return True
    try:
        signature = inspect.signature(found)
    except ValueError:  # some built-ins have none
        return True
    needed = [key for key, p in signature.parameters.items()
              if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
              ]  # fmt: skip
    return not set(needed) <= set(given)


def _call(make: Callable[..., Backend], options: dict[str, Any], what: str, *args: Any) -> Backend:
    _check_options(options, list(inspect.signature(make).parameters)[len(args) :], what)
    check_count("batch_size", options.get("batch_size", 1), 1)
    if options.get("class_names") is not None:
        options = {**options, "class_names": _names(options["class_names"])}
    return make(*args, **options)


def _check_options(options: Iterable[str], known: Iterable[str], what: str) -> None:
    for key in options:
        if key not in known:
            others = ", ".join(known) or "none"
            raise SettingError(f"{what} takes no option {key!r}; it takes: {others}")


def _names(names: Any) -> list[str]:
    listed = hasattr(names, "__getitem__") and getattr(names, "ndim", 1) == 1
    if isinstance(names, (str, bytes, Mapping)) or not listed:
        raise SettingError(
            "class_names must be a list of names, in the order of the classes; got "
            f"{shortened(names)} (--classes takes a file of names)"
        )
    return [str(name) for name in names]


def _import(module: str, attribute: str) -> Any:
    folder = str(Path.cwd())
    sys.path.insert(0, folder)  # as `python -m` does, so that a user's own file is found
    try:
        return getattr(importlib.import_module(module), attribute)
    except SyntaxError as error:
        raise BackendError(f"can't import {module}: {error}") from error
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise BackendError(
            f"can't import {module}:{attribute} ({error}); expected package.module:attribute "
            "naming a torch module, a function or a Backend"
        ) from error
    finally:
        sys.path.remove(folder)


def _is_module(model: Any) -> bool:
    torch = sys.modules.get("torch")  # without torch loaded, nothing can be a module of it
    return torch is not None and isinstance(model, torch.nn.Module)


def _unknown(name: str, known: list[str]) -> str:
    hint = meant(name, known)
    if name.endswith(".py"):
        hint += f"; what {name} makes is {Path(name).stem}:NAME"
    return f"unknown model {name!r}{hint} (all names: deap-xai list models)"
