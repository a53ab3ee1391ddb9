"""Words for numbers, names and what came."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from math import isnan
from typing import Any

__all__ = ["counted", "decimal", "known", "meant", "shortened"]

MOST = 80
"""Characters of what came, in a message."""


def counted(n: int, what: str) -> str:
    """So many of something, one of it or several.

    Examples
    --------
    >>> counted(1, "model call"), counted(0, "mask")
    ('1 model call', '0 masks')
    """
    return f"{n} {what}{'s' * (n != 1)}"


def meant(name: str, known: Sequence[str], first: Sequence[str] = ()) -> str:
    """A hint at three names at most: ``first``, then those spelt alike; empty where none is.

    Examples
    --------
    >>> meant("aple", ["apple", "pear"]), meant("zzz", ["apple"])
    ("; did you mean 'apple'?", '')
    """
    close = [*first, *difflib.get_close_matches(name, known, n=3)]
    names = [repr(one) for one in dict.fromkeys(close)][:3]
    return f"; did you mean {' or '.join(names)}?" if names else ""


def shortened(came: Any) -> str:
    """How Python writes it, in one line; of long ones the beginning.

    Examples
    --------
    >>> shortened([0, 1]), shortened([0] * 99)[70:]
    ('[0, 1]', '0, 0, 0, …')
    """
    text = " ".join(repr(came).split())
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def known(value: Any) -> float | None:
    """A number as JSON knows it; None where it is NaN, as what nobody asked about, or None."""
    return None if value is None or isnan(value) else float(value)


def decimal(value: float | None) -> str:
    """A probability in three decimals; in words where it isn't known.

    Examples
    --------
    >>> decimal(0.87654), decimal(None), decimal(float("nan"))
    ('0.877', 'not asked', 'not asked')
    """
    return "not asked" if known(value) is None else f"{value:.3f}"
