"""Processes that don't outlive the one that started them, and threads that they compute with."""

from __future__ import annotations

import os
import threading
import time
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["end_with", "one_blas_thread"]


@lru_cache(maxsize=1)
def end_with(parent: int) -> None:
    """End this process soon after its parent, of that process id, even if that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread within a ``with``.

    A search's own matrices are too small to be worth more, and sums come out the same everywhere.
    """
    return _libraries().limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    # To look through all that a process has loaded takes milliseconds, and NumPy's and SciPy's are
    # loaded before a first search.
    return ThreadpoolController()
