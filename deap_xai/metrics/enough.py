"""Is the kept part enough for the answer, and is all of it needed?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import reaches
from deap_xai.checks import without_each
from deap_xai.errors import SettingError
from deap_xai.fitness import Evaluator
from deap_xai.metrics.areas import check_evaluator, nested_of
from deap_xai.typing import Mask

__all__ = ["minimality", "smallest_sufficient", "sufficiency"]


def sufficiency(evaluator: Evaluator, mask: Mask) -> float:
    """How much of the full view's probability the kept part brings: 0..1, higher is better.

    ``1 - max(0, p(full view) - p(kept part))``: 1 where the kept part is at least as probable as
    the full view. Carton, Rathore and Tan, "Evaluating and Characterizing Human Rationales",
    EMNLP 2020, with superpixels in place of words.

    Parameters
    ----------
    evaluator
        Of the image; asked about the mask and the full view.
    mask
        (S,), bool: the superpixels kept.

    Raises
    ------
    SettingError
        If the mask is no bool (S,).

    Examples
    --------
    >>> from deap_xai.backends import FunctionBackend
    >>> from deap_xai.masking import MaskedView
    >>> view, segments = np.full((2, 2, 3), 255, np.uint8), np.array([[0, 1], [2, 3]], np.int32)
    >>> backend = FunctionBackend(lambda v: [[p, 1 - p] for p in (v.mean((1, 2, 3)) / 255)])
    >>> evaluator = Evaluator(backend, MaskedView(view, segments, view * 0), target=0)
    >>> sufficiency(evaluator, np.array([True, True, True, False]))
    0.75
    """
    check_evaluator(evaluator, "this metric")
    full, kept = _asked(evaluator, [np.ones_like(mask), mask])
    return 1 - max(0.0, full - kept)


def minimality(evaluator: Evaluator, mask: Mask, threshold: float | None = None) -> float:
    """Share of the kept superpixels that can't be dropped: 0..1, higher is better.

    One can be dropped if the rest of the kept part still has a probability of at least the
    threshold. 1 means that the mask is 1-minimal, as in the shrinking of sufficient reasons
    (Ignatiev, Narodytska and Marques-Silva, AAAI 2019); the share, in place of yes or no, is ours.

    Parameters
    ----------
    evaluator
        Of the image; asked about the mask without each of its superpixels.
    mask
        (S,), bool, with one superpixel at least.
    threshold
        Probability that has to remain, 0..1. None takes the kept part's, or the full view's if
        that is lower, as :attr:`Explanation.minimal` does.

    Raises
    ------
    SettingError
        If the mask keeps nothing or is no bool (S,), or the threshold isn't within 0..1.

    Examples
    --------
    >>> from deap_xai.backends import FunctionBackend
    >>> from deap_xai.masking import MaskedView
    >>> view, segments = np.full((2, 2, 3), 255, np.uint8), np.array([[0, 1], [2, 3]], np.int32)
    >>> first = lambda views: [[p, 1 - p] for p in views[:, 0, 0, 0] / 300]
    >>> evaluator = Evaluator(FunctionBackend(first), MaskedView(view, segments, view * 0), 0)
    >>> minimality(evaluator, np.array([True, True, False, False]))
    0.5
    """
    check_evaluator(evaluator, "this metric")
    mask = np.asarray(mask)
    if mask.shape != (evaluator.n_segments,) or mask.dtype != bool:
        raise SettingError(
            f"the mask must be bool of shape ({evaluator.n_segments},); got {mask.dtype} of shape "
            f"{mask.shape}"
        )
    if not mask.any():
        raise SettingError("the mask keeps nothing; minimality needs one superpixel at least")
    if threshold is None:
        threshold = min(_asked(evaluator, [np.ones_like(mask), mask]))
    elif not 0 <= as_number(threshold) <= 1:
        raise SettingError(f"threshold must be a probability, 0..1; got {threshold!r}")
    p = evaluator.probabilities(without_each(mask))
    return float((~reaches(p, as_number(threshold))).mean())


def smallest_sufficient(
    evaluator: Evaluator, attribution: NDArray[Any], share: float = 0.9
) -> Mask:
    """The fewest of the most important superpixels that give a share of the full view's answer.

    The first of the nested masks, nothing kept excluded, with ``p >= share * p(full view)``. It
    makes masks of different methods' attributions comparable: each is as small as its own order
    allows for the same share.

    Parameters
    ----------
    evaluator
        Of the image; asked S masks.
    attribution
        Importance of each superpixel, (S,), higher is more.
    share
        Of the full view's probability, 0..1.

    Raises
    ------
    SettingError
        If the share isn't within 0..1, or the attribution is no number for each superpixel.

    Examples
    --------
    >>> from deap_xai.backends import FunctionBackend
    >>> from deap_xai.masking import MaskedView
    >>> view, segments = np.full((2, 2, 3), 255, np.uint8), np.array([[0, 1], [2, 3]], np.int32)
    >>> backend = FunctionBackend(lambda v: [[p, 1 - p] for p in (v.mean((1, 2, 3)) / 255)])
    >>> evaluator = Evaluator(backend, MaskedView(view, segments, view * 0), target=0)
    >>> smallest_sufficient(evaluator, np.arange(4), share=0.7).astype(int).tolist()
    [0, 1, 1, 1]
    """
    if not 0 <= as_number(share) <= 1:
        raise SettingError(f"share is of the full view's probability, 0..1; got {share!r}")
    masks = nested_of(evaluator, attribution)[1:]
    p = evaluator.probabilities(masks)
    mask: Mask = masks[int(np.argmax(reaches(p, as_number(share) * p[-1])))]
    return mask


def as_number(value: Any) -> float:
    """A number of any kind, in an array or a tensor too; NaN for what is none, as texts are."""
    try:
        return np.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError):
        return np.nan


def _asked(evaluator: Evaluator, masks: list[Mask]) -> list[float]:
    return [float(p) for p in evaluator.probabilities(np.array(masks))]
