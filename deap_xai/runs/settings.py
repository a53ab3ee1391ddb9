"""What makes two runs the same: settings in values that JSON knows, and their hash."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deap_xai import __version__
from deap_xai.digests import plain_repr
from deap_xai.explainer import Explainer
from deap_xai.identity import identity
from deap_xai.specs import parse_spec

__all__ = ["run_settings", "settings_hash"]


def run_settings(
    explainer: Explainer, source: str, model: Any, given: Mapping[str, Any]
) -> dict[str, Any]:
    """All that results depend on, in values that JSON knows.

    Where a name doesn't tell what is behind it (a model's or a picture's file, weights, a torch
    module, a transform, a label map, class names; numbers, texts and arrays that are bound to a
    ``functools.partial``), a digest of the content stands beside it. The code of a model or an
    operator isn't looked at.

    Parameters
    ----------
    explainer
        Made of ``model`` and ``given``.
    source
        Where the images come from.
    model, given
        What the explainer was made of.
    """
    own = explainer.backend.reference or explainer.backend
    # A backend that doesn't look at its content gives its name, which stands in the settings.
    contents = {"model": None if own.digest() == own.name else own.digest()[:16]}
    contents["weights"] = _file_digest(given.get("weights"))
    for name in ("segments", "fill"):
        contents[name] = _digest(given.get(name))
    names = given.get("class_names")  # a column of a table as well
    contents["class_names"] = None if names is None else _digest(list(names))
    if isinstance(explainer.fill, str):
        path = Path(str(parse_spec(explainer.fill)[1].get("path", "")))
        # Where there is no such picture, that is said when an image should be explained.
        contents["fill"] = _file_digest(path) if path.is_file() else None
    if given.get("transform") is not None:
        contents["transform"] = hashlib.sha256(
            plain_repr(identity(given["transform"]))
        ).hexdigest()[:16]
    functions = {"model": model, **given, **explainer.operators}
    functions |= {f"objective {i}": o.function for i, o in enumerate(explainer.objectives)}
    for name, function in functions.items():
        if isinstance(function, functools.partial):
            bound = _values([function.args, function.keywords])
            contents[f"bound to {name}"] = hashlib.sha256(plain_repr(bound)).hexdigest()[:16]
    named = {"model": model} if isinstance(model, str) else {}
    return {
        "deap_xai": __version__,
        "images": source,
        "seed": explainer.seed,
        **explainer.settings(),
        **named,
        "contents": {name: value for name, value in contents.items() if value},
    }


def settings_hash(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings, whatever the order of their keys.

    Examples
    --------
    >>> settings_hash({"a": 1, "b": 2}) == settings_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def _values(bound: Any) -> Any:
    """Numbers, texts and arrays, and lists and mappings of these; of anything else its type alone.

    What other objects hold may change as they are used, as counters do.
    """
    if isinstance(bound, Mapping):
        return sorted((str(key), _values(value)) for key, value in bound.items())
    if isinstance(bound, list | tuple):
        return [_values(value) for value in bound]
    if bound is None or isinstance(bound, str | int | float | np.generic | np.ndarray):
        return identity(bound)
    return getattr(bound, "__qualname__", type(bound).__qualname__)


def _file_digest(path: str | Path | None) -> str | None:
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]


def _digest(value: Any) -> str | None:
    """Of what an array or a sequence of names holds; None for anything else."""
    found = hashlib.sha256()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:  # its bytes are addresses
        found.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
    elif isinstance(value, (list, tuple, np.ndarray)):
        found.update(json.dumps([str(part) for part in value]).encode())
    else:
        return None
    return found.hexdigest()[:16]
