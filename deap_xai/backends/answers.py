"""Whether a model answers with logits or with probabilities, read off its answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["softmax_due", "with_caution"]

UNSUMMED = (
    "the model's answers lie in 0..1 but don't sum to 1; they were taken for logits and put "
    "through a softmax: if they are probabilities, as sigmoids give, use a function that calls the "
    "model"
)

SLACK = 1e-4
"""How far beyond 0..1 rounding may take a probability."""

Rows = NDArray[np.floating[Any]]


def softmax_due(
    rows: Rows, on_noise: Callable[[], Rows], *, exact: bool
) -> tuple[bool | None, str]:
    """Whether answers are logits, which a softmax makes probabilities, and what is uncertain then.

    Probabilities lie in 0..1, within a ten-thousandth, and sum to 1 in each row, within a
    thousandth or, where the model computes with half the digits, a hundredth. Rows with NaN, or
    with no finite number, say nothing.

    Parameters
    ----------
    rows
        A first answer, (N, C).
    on_noise
        Gives what the model says of noise, which is asked only where the first answer leaves it
        open: numbers that sum to 1 by chance, on one picture, don't there.
    exact
        Whether the model computes in fp32 or better.

    Returns
    -------
    Whether a softmax is due, None where no row says it; and a caution for the reader, mostly
    empty.

    Examples
    --------
    >>> softmax_due(np.array([[3.0, -1.0]]), lambda: np.array([[2.0, 0.5]]), exact=True)
    (True, '')
    >>> sigmoids, others = np.array([[0.9, 0.8]]), np.array([[0.4, 0.3]])
    >>> due, caution = softmax_due(sigmoids, lambda: others, exact=True)
    >>> due, caution.partition(";")[0]
    (True, "the model's answers lie in 0..1 but don't sum to 1")
    """
    rows = _finite(rows)
    if not len(rows):
        return None, ""
    if not _in_range(rows):
        return True, ""
    noise = _finite(on_noise())
    if not _in_range(noise):
        return True, ""
    tolerance = 1e-3 if exact else 1e-2
    due = not all((abs(one.sum(axis=1) - 1) < tolerance).all() for one in (rows, noise))
    return due, UNSUMMED if due else ""


def _finite(rows: Rows) -> Rows:
    # Minus infinity is the logit of a class that a model rules out.
    return rows[np.isfinite(rows.max(axis=1))]


def _in_range(rows: Rows) -> bool:
    # A sum of single numbers, as an ensemble takes it, may be a rounding above 1.
    return bool(((rows >= -SLACK) & (rows <= 1 + SLACK)).all())


def with_caution(told: str, further: str) -> str:
    """A caution behind those that were told; one that is among them isn't told again."""
    return told if further in told else "; ".join(filter(None, (told, further)))
