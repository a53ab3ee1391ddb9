"""Words for numbers."""

from __future__ import annotations

__all__ = ["counted"]


def counted(n: int, what: str) -> str:
    """So many of something, one of it or several.

    Examples
    --------
    >>> counted(1, "model call"), counted(0, "mask")
    ('1 model call', '0 masks')
    """
    return f"{n} {what}{'s' * (n != 1)}"
