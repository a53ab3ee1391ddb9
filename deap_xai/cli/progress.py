"""The shell's progress, of one search and of a run: a bar on a terminal, lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deap_xai.archive import FrontPoint
    from deap_xai.fitness import Evaluator
    from deap_xai.runs import Tally

__all__ = ["batch_progress", "progress"]

EVERY = 60.0
"""Seconds between two lines of a log, at least."""


def progress(
    name: str, pick: Callable[[Evaluator], FrontPoint], quiet: bool
) -> AbstractContextManager[Any]:
    """A progress bar over model calls on the terminal; what it yields is called after a batch.

    It tells the mask that ``pick`` gives of an evaluator.
    """
    if quiet or not sys.stderr.isatty():
        return nullcontext()
    from deap_xai.progress import progress_bar

    return progress_bar(name, pick, leave=False, file=sys.stderr)


@contextmanager
def batch_progress(quiet: bool) -> Iterator[Any]:
    """A progress bar over images; what it yields is called with every tally.

    Where no terminal shows it, it is a line a minute, for whoever looks into the log.
    """
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _in_lines()
        return
    from tqdm import tqdm

    layout = "{bar:24} {n_fmt}/{total_fmt} images{postfix}, {remaining} left"
    with tqdm(bar_format=layout, file=sys.stderr, smoothing=0.05) as bar:

        def report(tally: Tally) -> None:
            bar.total, bar.initial = tally.total, tally.earlier
            bar.n = max(bar.n, tally.earlier)
            bar.update(tally.explained + tally.failed - bar.n)
            rate = _an_hour(tally, bar.format_dict["elapsed"])
            bar.set_postfix_str(f"{rate:.0f} an hour, {tally.failed} failed")

        yield report


def _in_lines() -> Callable[[Tally], None]:
    begun = told = time.monotonic()

    def report(tally: Tally) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < EVERY:
            return
        told, done = now, tally.explained + tally.failed
        rate = _an_hour(tally, now - begun)
        left = f", {_told((tally.total - done) / rate)} left" if rate else ""
        click.echo(
            f"{done}/{tally.total} images, {rate:.0f} an hour, {tally.failed} failed{left}",
            err=True,
        )

    return report


def _told(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"


def _an_hour(tally: Tally, seconds: float) -> float:
    done = tally.explained + tally.failed - tally.earlier
    return done / seconds * 3600 if seconds else 0.0
