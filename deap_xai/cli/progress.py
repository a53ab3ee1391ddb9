"""Progress bars: of one search, and of a run over many images."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deap_xai.fitness import Evaluator
    from deap_xai.runs import Tally

__all__ = ["batch_progress", "progress"]


@contextmanager
def progress(name: str, quiet: bool) -> Iterator[Any]:
    """A progress bar over model calls; what it yields is called after every batch."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    from deap_xai.archive import front

    layout = "{desc} {bar:24} {n_fmt}/{total_fmt} calls, {remaining} left{postfix}"
    with tqdm(desc=name, bar_format=layout, leave=False, file=sys.stderr) as bar:

        def report(evaluator: Evaluator) -> None:
            bar.total = evaluator.budget.calls
            bar.n = evaluator.calls
            if points := front(evaluator.archive):
                best = points[-1]
                kept = f"{best.size}/{evaluator.n_segments}"
                bar.set_postfix_str(f"probability {best.probability:.3f}, kept {kept}")

        yield report


@contextmanager
def batch_progress(quiet: bool) -> Iterator[Any]:
    """A progress bar over images; what it yields is called with every tally."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    layout = "{bar:24} {n_fmt}/{total_fmt} images{postfix}, {remaining} left"
    with tqdm(bar_format=layout, file=sys.stderr, smoothing=0.05) as bar:

        def report(tally: Tally) -> None:
            bar.total, bar.initial = tally.total, tally.earlier
            bar.n = max(bar.n, tally.earlier)
            bar.update(tally.explained + tally.failed - bar.n)
            elapsed = bar.format_dict["elapsed"]
            rate = (bar.n - tally.earlier) / elapsed * 3600 if elapsed else 0
            bar.set_postfix_str(f"{rate:.0f} an hour, {tally.failed} failed")

        yield report
