"""One search that runs in a thread of its own: watched while it goes, stopped when asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from deap_xai.archive import FrontPoint, front
from deap_xai.explanation import Explanation
from deap_xai.fitness import Evaluator
from deap_xai.typing import Segments, View

__all__ = ["Report", "Search", "Snapshot"]

Pick = Callable[[Evaluator], FrontPoint]
Report = Callable[[Evaluator, Pick], None]
"""Called after every batch, with the way to the point that would be shown now."""

Explain = Callable[[Report], Explanation]
"""Explains something and calls what it is given after every batch."""

OFTEN = 0.2
"""Seconds between two looks at a search: more than these nobody can follow."""

HASTE = 0.5
"""Seconds within which the second click of a double one comes."""

_LINE: list[Search] = []
"""The search that goes on, then those that wait. Operators draw from generators that the whole
process shares, so a search that nobody watches any more must have ended before the next seeds
them."""

_MOVED = threading.Condition()
"""Held to change the line; told when it has moved, or somebody in it gives up."""


class Snapshot(NamedTuple):
    """What is known amid a search.

    Attributes
    ----------
    view, segments
        What is explained, (h, w, 3) and (h, w).
    points
        The front so far, from small to large.
    shown
        The point of it that would be shown now.
    full
        The target's probability on the full view, 0..1.
    calls, total
        Model calls so far and at most; None: no such limit.
    """

    view: View
    segments: Segments
    points: list[FrontPoint]
    shown: FrontPoint
    full: float
    calls: int
    total: int | None


class Search:
    """Runs ``explain`` in a thread, once those made earlier have ended.

    Attributes
    ----------
    explanation
        What came out, once it has ended well.
    error
        What went wrong, once it has ended badly.
    """

    def __init__(self, explain: Explain) -> None:
        self.explanation: Explanation | None = None
        self.error: BaseException | None = None
        self._explain = explain
        self._snapshot: Snapshot | None = None
        self._looked, self._begun = -OFTEN, time.monotonic()
        self._stop, self._done = threading.Event(), threading.Event()
        with _MOVED:
            _LINE.append(self)
        # A daemon, so that whoever ends the server doesn't wait for it.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it goes on, or waits for another to end."""
        return not self._done.is_set()

    @property
    def waiting(self) -> bool:
        """Whether it waits for another to end."""
        with _MOVED:
            return self in _LINE[1:]

    @property
    def just_begun(self) -> bool:
        """Whether it began so lately that a click is the second half of a double one."""
        return time.monotonic() - self._begun < HASTE

    def stop(self) -> None:
        """End it after the present batch, with the best so far; at once where it still waits."""
        with _MOVED:
            self._stop.set()
            _MOVED.notify_all()

    def wait(self, every: float = OFTEN) -> Iterator[None]:
        """Something to do that often (seconds), until its turn has come."""
        while self.waiting:
            yield
            self._done.wait(every)

    def snapshots(self, every: float = OFTEN) -> Iterator[Snapshot]:
        """What is new, that often (seconds), until it ends. Whoever stops listening stops it."""
        last = None
        try:
            while not self._done.wait(every):
                if self._snapshot is not None and self._snapshot is not last:
                    last = self._snapshot
                    yield last
        finally:
            self.stop()

    def _run(self) -> None:
        try:
            with _MOVED:
                _MOVED.wait_for(lambda: _LINE[0] is self or self._stop.is_set())
            if self._stop.is_set():  # it was stopped while it waited
                raise KeyboardInterrupt
            self.explanation = self._explain(self._report)
        except BaseException as error:  # whatever it is, it is for whoever watches
            self.error = error
        finally:
            with _MOVED:
                _LINE.remove(self)
                _MOVED.notify_all()
            self._done.set()

    def _report(self, evaluator: Evaluator, pick: Pick) -> None:
        if self._stop.is_set():
            raise KeyboardInterrupt  # what explain takes as: the best so far, please
        if time.monotonic() - self._looked < OFTEN:
            return
        self._looked = time.monotonic()
        points = front(evaluator.archive)
        full = float(evaluator.archive.known(np.ones((1, evaluator.n_segments), bool))[0])
        if points and not np.isnan(full):
            self._snapshot = Snapshot(
                evaluator.view,
                evaluator.segments,
                points,
                pick(evaluator),
                full,
                evaluator.calls,
                evaluator.budget.total,
            )
