"""Processes that don't outlive the one that started them, and threads that they compute with."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

from joblib.externals.loky import get_reusable_executor
from threadpoolctl import ThreadpoolController, threadpool_limits

__all__ = ["end_with", "end_workers", "one_blas_thread", "one_thread"]


@lru_cache(maxsize=1)
def end_with(parent: int) -> None:
    """End this process soon after its parent, of that process id, even if that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_workers() -> None:
    """End joblib's processes, which it would keep for minutes, with a model in memory each."""
    get_reusable_executor().shutdown(wait=True, kill_workers=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread within: no worker has two cores, and sums come out the same everywhere."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 1
    with threadpool_limits(1):
        if torch:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch:
                torch.set_num_threads(before)


class _Limit:
    """BLAS held to one thread by so many holders at a time."""

    lock, holders, set_by_first = threading.Lock(), 0, cast(Any, None)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread within a ``with``.

    A search's own matrices are too small to be worth more, and sums come out the same everywhere.
    Of several at a time, in whatever threads, the first sets the limit and the last lifts it: each
    by itself would put back what it found, which may be another's limit.
    """
    with _Limit.lock:
        if not _Limit.holders:
            _Limit.set_by_first = _libraries().limit(limits=1, user_api="blas")
        _Limit.holders += 1
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.holders -= 1
            if not _Limit.holders:
                _Limit.set_by_first.restore_original_limits()


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    # To look through all that a process has loaded takes milliseconds, and NumPy's and SciPy's are
    # loaded before a first search.
    return ThreadpoolController()
