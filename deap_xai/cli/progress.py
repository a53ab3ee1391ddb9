"""The shell's progress bar: none where nobody looks."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

__all__ = ["progress"]


def progress(name: str, quiet: bool) -> AbstractContextManager[Any]:
    """A progress bar over model calls on the terminal; what it yields is called after a batch."""
    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from deap_xai.progress import progress_bar

    return progress_bar(name, leave=False, file=sys.stderr)
