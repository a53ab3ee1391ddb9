"""The progress bar of one search: a line in a terminal, a widget in a notebook."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from deap_xai.archive import front

if TYPE_CHECKING:
    from deap_xai.archive import FrontPoint
    from deap_xai.fitness import Evaluator

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(
    name: str = "", pick: Callable[[Evaluator], FrontPoint] | None = None, **options: Any
) -> Iterator[Callable[[Evaluator], None]]:
    """A bar over model calls that ends full; what it yields is called after every batch.

    ``explainer.explain(image, progress=True)`` shows one.

    Parameters
    ----------
    name
        Stands before the bar.
    pick
        Which mask's probability and size it tells: ``explainer.picked`` for the one that would be
        shown now; None for the most probable one.
    options
        For ``tqdm.auto.tqdm``: ``leave``, ``file``, ``disable``, …

    Examples
    --------
    >>> import sys, numpy as np, deap_xai as dx
    >>> explainer = dx.Explainer("demo", budget=20)
    >>> with progress_bar("black", file=sys.stderr) as report:
    ...     explanation = explainer.explain(np.zeros((64, 64, 3), np.uint8), progress=report)
    """
    with warnings.catch_warnings():
        # In a notebook without ipywidgets it warns, and draws with letters, which does as well.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

    layout = "{desc} {bar} {n_fmt}/{total_fmt} calls, {remaining} left{postfix}"
    with tqdm(desc=name, bar_format=layout, **options) as bar:

        def report(evaluator: Evaluator) -> None:
            if bar.total != evaluator.budget.total:
                bar.reset(evaluator.budget.total)
            if points := front(evaluator.archive):
                shown = pick(evaluator) if pick else points[-1]
                kept = f"{shown.size}/{evaluator.n_segments}"
                bar.set_postfix_str(f"probability {shown.probability:.3f}, kept {kept}", False)
            bar.update(evaluator.calls - bar.n)

        yield report
        # The search may end before its budget does: patience, seconds, nothing left to check.
        calls = bar.n
        bar.reset(calls)
        bar.update(calls)
