"""Importance of each superpixel, read off everything that was evaluated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deap_xai.errors import SettingError
from deap_xai.fitness import Evaluator
from deap_xai.processes import one_blas_thread
from deap_xai.surrogate import GaussianProcess, Ranking

__all__ = ["attribution"]

ROUNDS = 16
"""Rounds of climbing in each of two parts, at most; each tries all moves of some superpixels."""

ORDERED = 1000
"""Superpixels, at most, whose order is settled: what that looks at grows with their square."""

BLOCK = 64
"""Answers looked up at a time: those of all classes may be many."""


def attribution(evaluator: Evaluator) -> NDArray[np.float64]:
    """How much keeping each superpixel adds to the log-odds of the target: (S,).

    The order comes from a :class:`~deap_xai.surrogate.Ranking` of all evaluated masks: shown in
    this order superpixels raise the probability early, hidden in it they lower it early; where both
    can't be had, the former counts for more. The magnitudes are the weights of a Gaussian process
    fitted to the same masks; of more than some 300, to those nearest to the front and those
    evaluated last. Of more than 1,000 superpixels the order is that of these weights.

    Parameters
    ----------
    evaluator
        Its archive, segments and view are read; nothing is asked.

    Raises
    ------
    SettingError
        If the archive is empty.

    Examples
    --------
    >>> from deap_xai.backends import FunctionBackend
    >>> from deap_xai.masking import MaskedView
    >>> view, segments = np.full((2, 2, 3), 255, np.uint8), np.array([[0, 1], [2, 3]], np.int32)
    >>> first = lambda views: [[p, 1 - p] for p in views[:, 0, 0, 0] / 300]
    >>> evaluator = Evaluator(FunctionBackend(first), MaskedView(view, segments, view * 0), 0)
    >>> masks = np.array([[1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 1], [0, 1, 1, 1]], bool)
    >>> p = evaluator.probabilities(masks)
    >>> int(attribution(evaluator).argmax())
    0
    """
    archive = evaluator.archive
    if not len(archive):
        raise SettingError("nothing was evaluated yet; ask the evaluator about some masks first")
    with one_blas_thread():
        return _learnt(evaluator)


def _learnt(evaluator: Evaluator) -> NDArray[np.float64]:
    archive = evaluator.archive
    model = GaussianProcess(evaluator)
    for start in range(0, len(archive), BLOCK):
        masks = archive.masks[start : start + BLOCK]
        model.gather(masks, evaluator.answers(masks))
    model.fit()  # on all that are kept at once
    if evaluator.n_segments > ORDERED:
        return np.asarray(model.weights(), np.float64)
    return Ranking(archive, model).attribution(np.random.default_rng(0), ROUNDS)
