"""Reading specs: a name, then parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from deap_xai.errors import SettingError

__all__ = ["parse_spec"]


def parse_spec(spec: str) -> tuple[str, dict[str, Any]]:
    """Split ``"name:key=value,key=value"`` into the name and its values.

    Values are read as Python literals where they are ones, else kept as strings.

    Raises
    ------
    SettingError
        If a part isn't ``key=value``.

    Examples
    --------
    >>> parse_spec("color:rgb=(255, 0, 0),name=red")
    ('color', {'rgb': (255, 0, 0), 'name': 'red'})
    """
    name, _, rest = spec.partition(":")
    values = {}
    for part in _split_outside_brackets(rest):
        key, equals, text = part.partition("=")
        if not equals or not key.strip().isidentifier():
            raise SettingError(
                f"can't read {part!r} in {spec!r}; expected name:parameter=value,parameter=value"
            )
        values[key.strip()] = _literal(text.strip())
    return name.strip(), values


def _split_outside_brackets(text: str) -> Iterable[str]:
    """The parts between commas that stand in no brackets and no quotes."""
    depth, start, quote = 0, 0, ""
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote and text[index - 1] != "\\" else quote
        elif letter in "'\"" and text[index - 1] in "=([{, ":  # an apostrophe in a word is none
            quote = letter
        else:
            depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0 and not quote:
            yield text[start:index]
            start = index + 1
    if text[start:].strip():
        yield text[start:]


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):  # a list as a dictionary's key
        return text
