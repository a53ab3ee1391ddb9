"""Whether a setting is still what it was: a plain value that two runs can compare."""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.digests import module_digest, plain_repr
from deap_xai.wording import shortened

__all__ = ["differences", "identity"]


INSTALLED = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
"""Where classes that aren't the user's are defined."""

PLAIN = (str, bool, int, float, np.generic, np.ndarray)
"""What an object's attributes must be to count."""


def identity(value: Any) -> Any:
    """A value that JSON knows and that changes when the setting does.

    Names and numbers stand for themselves, arrays and files (as ``Path``) for a hash of their
    content, torch modules for one of their weights. A function stands for its qualified name and a
    hash of its source, with what it closes over, its parameters' defaults and what is bound to it;
    what it looks up elsewhere when it runs (globals, other functions, data) isn't seen. A class of
    the user's stands for its name and a hash of its methods and plain attributes. Any other
    object stands for its class, what its ``repr`` tells, and those of its attributes that are
    numbers, strings, arrays or torch modules. Texts that an object or a function holds stand for
    their hash: one of them may be a key to somebody's service.

    Examples
    --------
    >>> identity({"fill": "mean", "population": 40})
    {'fill': 'mean', 'population': 40}
    >>> identity(lambda: 1) == identity(lambda: 2)
    False
    """
    return _identity(value, frozenset())


def _identity(value: Any, within: frozenset[int], held: bool = False) -> Any:
    """As :func:`identity`, of what an object or a function holds, or not.

    ``within`` are the functions whose closures led here.
    """
    if isinstance(value, str):
        return f"text {_hash(value.encode(errors='surrogatepass'))}" if held else value
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _identity(inner, within, held) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return _in_order(value, [_identity(inner, within, held) for inner in value])
    if isinstance(value, np.ndarray):
        # Of objects the bytes are addresses.
        return (
            _identity(value.tolist(), within, held) if value.dtype.hasobject else _of_array(value)
        )
    if isinstance(value, Path):
        return f"{value} {_hash(value.read_bytes()) if value.is_file() else 'absent'}"
    if isinstance(value, functools.partial):
        return [_identity(one, within, True) for one in (value.func, value.args, value.keywords)]
    if inspect.isroutine(value):
        return _of_function(value, within)
    return _of_object(value, within)


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Where two identities differ, as ``place: old, now new``.

    Examples
    --------
    >>> list(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}}))
    ['a.b was 1, is now 3']
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from differences(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))
    elif old != new:
        yield f"{path} was {shortened(old)}, is now {shortened(new)}"


def _in_order(value: Any, parts: list[Any]) -> list[Any]:
    """Its parts; those of a set sorted, whose order is another in each process."""
    return sorted(parts, key=repr) if isinstance(value, (set, frozenset)) else parts


def _of_array(array: NDArray[Any]) -> str:
    facts = f"{array.dtype} {array.shape} "
    return f"array {facts}{_hash(facts.encode() + array.tobytes())}"


def _of_function(function: Any, within: frozenset[int]) -> Any:
    plain = inspect.unwrap(getattr(function, "__func__", function))
    name = f"{getattr(plain, '__module__', '')}.{getattr(plain, '__qualname__', '')}"
    if id(plain) in within:  # one that calls itself closes over itself
        return name
    within |= {id(plain)}
    try:
        text = inspect.getsource(plain)
    except (OSError, TypeError):  # built in, or typed where no file holds it
        text = ""
    if not text or "<lambda>" in name:  # two lambdas can share a line
        text += _bytecode(getattr(plain, "__code__", None))
    closed = [_held(cell) for cell in getattr(plain, "__closure__", None) or ()]
    defaults = [getattr(plain, held, None) for held in ("__defaults__", "__kwdefaults__")]
    facts = [f"{name} {_hash(text.encode())}"]
    if closed or any(defaults):
        facts += [_identity(one, within, True) for one in (closed, *defaults)]
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        facts.append(_identity(owner, within, True))
    return facts[0] if len(facts) == 1 else facts


def _held(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # nothing yet
        return None


def _bytecode(code: Any) -> str:
    if not inspect.iscode(code):
        return repr(code)
    constants = "".join(map(_constant, code.co_consts))
    return f"{code.co_code!r}{constants}{code.co_names}"


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else _bytecode(value)


def _of_object(value: Any, within: frozenset[int]) -> Any:
    kind = value if isinstance(value, type) else type(value)
    name = _of_class(kind, within)
    if kind is value:
        return name
    if state := _state(value):
        return f"{name} {state}"
    simple: dict[str, Any] = {}
    for key, inner in getattr(value, "__dict__", {}).items():
        if isinstance(inner, PLAIN):
            simple[str(key)] = _identity(inner, frozenset(), True)
        elif state := _state(inner):
            simple[str(key)] = state
    with suppress(Exception):  # objects of the user's may have a repr that fails
        told = plain_repr(value)
        if not told.endswith(b" object>"):  # as a torchvision transform's, with all that it does
            simple["repr"] = _hash(told)
    return {"class": name, **dict(sorted(simple.items()))} if simple else name


def _of_class(kind: type, within: frozenset[int]) -> str:
    """Its name, with a hash of the methods and plain attributes that are the user's own."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    if id(kind) in within:  # a method that calls super() closes over its class
        return name
    within |= {id(kind)}
    parts = []
    for one in filter(_is_own, kind.__mro__):
        for key, member in sorted(vars(one).items()):
            member = getattr(member, "fget", getattr(member, "__func__", member))
            if inspect.isroutine(member):
                parts.append([key, _of_function(member, within)])
            elif isinstance(member, PLAIN) and not key.startswith("__"):
                parts.append([key, _identity(member, within, True)])
    return f"{name} {_hash(plain_repr(parts))}" if parts else name


def _is_own(kind: type) -> bool:
    """Whether a class is the user's: neither Python's nor an installed package's."""
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None) or ""
    return kind.__module__ not in sys.builtin_module_names and not file.startswith(INSTALLED)


def _state(value: Any) -> str:
    """A hash of what a torch module holds; empty for what is none, or a class."""
    try:
        return module_digest(value)[:16] if hasattr(value, "state_dict") else ""
    except Exception:  # whatever an object of the user's answers to that name
        return ""


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
