"""The progress bar of one search."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deap_xai.fitness import Evaluator

__all__ = ["progress"]


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
