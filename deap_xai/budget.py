"""When a search stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

from deap_xai.errors import SettingError

__all__ = ["Budget"]


class Budget:
    """How long a search may go on: model calls, seconds, patience, whichever ends first.

    Parameters
    ----------
    calls
        Model calls: distinct masked views.
    seconds
        Wall time from now on.
    patience
        Model calls without any mask that is better than all that keep as few superpixels.

    Attributes
    ----------
    spent
        Model calls so far.
    total
        Model calls in all, also while some of them are held back; None: no such limit.
    lock
        Held while the model is asked, so that of several threads each counts what it asks.

    Raises
    ------
    SettingError
        If a limit is no number above 0; calls and patience are whole numbers.

    Examples
    --------
    >>> budget = Budget(calls=10)
    >>> budget.spent = 8
    >>> budget.allowed(5)
    2
    """

    def __init__(
        self, calls: int | None = None, seconds: float | None = None, patience: int | None = None
    ) -> None:
        for name, value in (("budget", calls), ("seconds", seconds), ("patience", patience)):
            if value is not None and not (isinstance(value, Real) and 0 < value < float("inf")):
                raise SettingError(f"{name} must be a finite number above 0; got {value!r}")
            if name != "seconds" and isinstance(value, Real) and not float(value).is_integer():
                raise SettingError(f"{name} must be a whole number of model calls; got {value!r}")
        self.calls = self.total = None if calls is None else int(calls)
        self.seconds = None if seconds is None else float(seconds)
        self.patience = None if patience is None else int(patience)
        self.spent = 0
        self.last_gain = 0
        self._start = time.monotonic()
        self.lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, lock=threading.RLock())

    @property
    def limited(self) -> bool:
        """Whether it ever ends."""
        return (self.calls, self.seconds, self.patience) != (None, None, None)

    @contextmanager
    def holding_back(self, calls: int, share: float, most: int | None = None) -> Iterator[None]:
        """Within, the budget ends early: so many calls, and that share of the seconds.

        It ends after ``most`` further calls too, if that is given.
        """
        before = self.calls, self.seconds
        left = None if self.calls is None else max(1, self.calls - calls)
        further = None if most is None else self.spent + most
        self.calls = min((one for one in (left, further) if one is not None), default=None)
        self.seconds = None if self.seconds is None else self.seconds * (1 - share)
        try:
            yield
        finally:
            self.calls, self.seconds = before

    def allowed(self, wanted: int) -> int:
        """How many of so many model calls may be made now."""
        if self.seconds is not None and time.monotonic() - self._start >= self.seconds:
            return 0
        if self.patience is not None:
            wanted = min(wanted, max(0, self.patience - (self.spent - self.last_gain)))
        return wanted if self.calls is None else max(0, min(wanted, self.calls - self.spent))
