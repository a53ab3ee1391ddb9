"""The rows of the honesty table: what the model says when it is shown something else."""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from deap_xai.wording import decimal, known

if TYPE_CHECKING:
    from deap_xai.certificates import Consensus
    from deap_xai.explanation import Explanation

__all__ = ["Row", "model_rows", "sentences"]


NAMED = 5
"""As many superpixels are named where several could be dropped."""


class Row(NamedTuple):
    """What the model was shown, what it answered (None: not asked), and how to read that."""

    shown: str
    probability: float | None
    meaning: str


def model_rows(explanation: Explanation) -> list[Row]:
    """Probabilities of the target under everything that was tried beside the search.

    Where every superpixel is kept, no fill is seen and all masks of that size are the same one,
    so that other fills and random masks say nothing and are left out.
    """
    e = explanation
    used = str(e.settings.get("fill", "its own"))
    rows = [
        Row("full view", known(e.probability_full), "What is explained."),
        Row("kept part", known(e.probability), f"What was kept, with the fill {used} elsewhere."),
        Row("the rest", known(e.probability_rest), "If low, the answer needs the kept part."),
        Row("nothing", known(e.probability_empty), "If high, the fill alone gives the answer."),
    ]
    if e.mask.all():
        return rows
    # One explanation for all fills, at the first of them.
    meanings = chain([f"If low under another fill, the answer leans on {used}."], repeat(""))
    rows += [
        Row(f"kept part, fill {name}", known(p), meaning)
        for (name, p), meaning in zip(e.checks.fills.items(), meanings, strict=False)
    ]
    n, values = len(e.checks.random), e.checks.random
    mean = float(np.mean(values)) if n else None
    spread = f"Between {decimal(values.min())} and {decimal(values.max())}. " if n else ""
    meaning = f"{spread}If near the kept part, any superpixels would do."
    return [*rows, Row(f"{n or 'any'} random masks of size {e.size}, mean", mean, meaning)]


def sentences(explanation: Explanation, consensus: Consensus | None) -> list[tuple[str, str]]:
    """Whether anything could be dropped and whether other seeds agree: pairs of title and words."""
    return [
        ("Could anything be dropped?", _minimality(explanation)),
        ("Do other seeds agree?", _agreement(consensus)),
    ]


def _minimality(explanation: Explanation) -> str:
    tried = int((~np.isnan(explanation.checks.dropped[explanation.mask])).sum())
    if explanation.minimal is None:
        found = ", none of which could be dropped" if tried else ""
        return (
            f"Not known: when the budget ended, {tried} of the {explanation.size} kept superpixels "
            f"had been tried{found}."
        )
    if explanation.minimal:
        return (
            "No. Without any one of the kept superpixels the probability falls below that of the "
            "kept part, or of the full view where that is lower (1-minimal)."
        )
    numbers = [str(number) for number in explanation.droppable]
    further = len(numbers) - NAMED
    if further > 1:
        numbers[NAMED:] = [f"any of {further} others"]
    last = numbers.pop()
    either = f"{', '.join(numbers)} or {last}" if numbers else last
    smaller = any(point.size < explanation.size for point in explanation.front)
    return (
        f"Yes. Superpixel {either} could be dropped without the probability falling below that of "
        "the kept part, or of the full view where that is lower. Each was dropped alone. The pick "
        f"may prefer certainty to few superpixels{': smaller masks are on the front' * smaller}."
    )


def _agreement(consensus: Consensus | None) -> str:
    if consensus is None:
        return (
            "Not asked. deap-xai explain with --seeds 5 and --report asks, and so does "
            "deap_xai.certificates.consensus in Python, whose answer explanation.report takes."
        )
    runs = len(consensus.explanations)
    if runs < 2:
        return "Not known: the search was interrupted before a second seed had ended."
    always, ever = int((consensus.kept == 1).sum()), int((consensus.kept > 0).sum())
    return (
        f"The masks of {runs} seeds overlap by {consensus.jaccard:.2f} on average (1: all the "
        f"same, 0: nothing in common). Of {ever} superpixels that any of them keeps, all of them "
        f"keep {always}."
    )
