"""Words for numbers."""

from __future__ import annotations

from typing import Any

__all__ = ["counted", "shortened"]

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


def shortened(came: Any) -> str:
    """How Python writes it, in one line; of long ones the beginning.

    Examples
    --------
    >>> shortened([0, 1]), shortened([0] * 99)[70:]
    ('[0, 1]', '0, 0, 0, …')
    """
    text = " ".join(repr(came).split())
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"
