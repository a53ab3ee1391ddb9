"""The shell's progress bars, of one search and of a run: none where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deap_xai.archive import FrontPoint
    from deap_xai.fitness import Evaluator
    from deap_xai.runs import Tally

__all__ = ["batch_progress", "progress"]


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
