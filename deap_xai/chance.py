"""One seed for everything that draws at random."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

__all__ = ["Chance", "alone", "seeded"]

_LOCK = threading.Lock()
if hasattr(os, "register_at_fork"):  # a child has no other threads that could give it back
    os.register_at_fork(after_in_child=lambda: globals().update(_LOCK=threading.Lock()))
_HELD: ContextVar[bool] = ContextVar("_HELD", default=False)
"""Whether the lock is held for what runs here: a thread of one's own has another context."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of ``random`` and NumPy, and put their states back afterwards.

    DEAP's operators draw from ``random``; a user's own may draw from ``numpy.random``. A run
    neither disturbs what the caller draws nor is disturbed by it. These generators are the
    process's: other threads that want to be seeded wait, those that merely draw disturb.

    Examples
    --------
    >>> with seeded(1):
    ...     one = random.random()
    >>> with seeded(1):
    ...     two = random.random()
    >>> one == two
    True
    """
    with alone():
        before = _states()
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002  # the legacy state is what others draw from
        try:
            yield
        finally:
            _restore(before)


@contextmanager
def alone() -> Iterator[None]:
    """Within, no other thread is seeded: one that wants to be waits until this is over.

    Threads that are begun within, and waited for, have to run in a copy of the context
    (``contextvars.copy_context``), or each would wait for the other.
    """
    if _HELD.get():
        yield
        return
    with _LOCK:
        held = _HELD.set(True)
        try:
            yield
        finally:
            _HELD.reset(held)


class Chance:
    """The global generators as one of several runs sees them that take turns.

    It begins as a copy of what the generators are now; :meth:`swap` at the start and at the end
    of every turn lets each run draw as if it were alone.

    Examples
    --------
    >>> with seeded(1):
    ...     other = Chance()
    ...     one = random.random()
    ...     other.swap()
    ...     same = random.random()
    ...     other.swap()
    ...     two = random.random()
    >>> one == same != two
    True
    """

    def __init__(self) -> None:
        self._kept = _states()

    def swap(self) -> None:
        """Exchange the states of ``random`` and ``numpy.random`` with those kept here."""
        now = _states()
        _restore(self._kept)
        self._kept = now


def _states() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state()  # noqa: NPY002


def _restore(states: tuple[Any, Any]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
