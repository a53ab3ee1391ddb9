"""Areas under the probability as superpixels appear or vanish."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.errors import SettingError
from deap_xai.fitness import Evaluator
from deap_xai.typing import Masks
from deap_xai.wording import shortened

__all__ = ["deletion_auc", "insertion_auc", "nested"]


def nested(attribution: NDArray[Any]) -> Masks:
    """Masks that keep the 0, 1, …, S most important superpixels: (S + 1, S).

    Raises
    ------
    SettingError
        If an importance is not a number, or the attribution isn't (S,).

    Examples
    --------
    >>> nested(np.array([0.2, 0.9])).astype(int).tolist()
    [[0, 0], [0, 1], [1, 1]]
    """
    try:
        values = as_array(attribution)
        if np.iscomplexobj(values):
            raise TypeError("complex")
        values = values.astype(float)  # unsigned integers have no negative
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"attribution must be numbers, one for each superpixel; got {shortened(attribution)}"
        ) from error
    if values.ndim != 1:
        raise SettingError(
            f"attribution must be (S,), a number for each superpixel; got shape {values.shape}"
        )
    if np.isnan(values).any():
        raise SettingError("the attribution holds NaN; expected a number for each superpixel")
    return first_kept(np.argsort(-values, kind="stable"))


def as_array(values: Any) -> NDArray[Any]:
    """Values as an array; a tensor's too, which may have a gradient or lie on another device."""
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def check_evaluator(evaluator: Any, asks: str) -> None:
    """See that something is an evaluator, and say who asks for one, such as ``"a metric"``.

    Raises
    ------
    SettingError
        If it is none.
    """
    if not isinstance(evaluator, Evaluator):
        raise SettingError(
            f"{asks} takes an evaluator, such as explainer.evaluator(image); got "
            f"{shortened(evaluator)}"
        )


def nested_of(evaluator: Evaluator, attribution: NDArray[Any]) -> Masks:
    """As :func:`nested`, of an attribution of the evaluator's superpixels."""
    check_evaluator(evaluator, "this metric")
    masks, n = nested(attribution), evaluator.n_segments
    if masks.shape[1] != n:
        raise SettingError(
            f"attribution must be ({n},), a number for each of the evaluator's superpixels; got "
            f"{masks.shape[1]} numbers"
        )
    return masks


def first_kept(order: NDArray[np.intp]) -> Masks:
    """Masks that keep the first 0, 1, …, S superpixels of an order (S,): (S + 1, S)."""
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    kept: Masks = rank < np.arange(len(order) + 1)[:, None]
    return kept


def insertion_auc(evaluator: Evaluator, attribution: NDArray[Any]) -> float:
    """Area under the target's probability as superpixels appear, the most important first.

    By the trapezoid rule over the share of superpixels shown: 0..1, higher is better. Petsiuk,
    Das and Saenko, "RISE", BMVC 2018, with superpixels in place of pixels.

    Parameters
    ----------
    evaluator
        Of the image; asked S + 1 masks.
    attribution
        Importance of each superpixel, (S,), higher is more.

    Raises
    ------
    SettingError
        If the attribution is no number for each of the evaluator's superpixels.

    Examples
    --------
    >>> from deap_xai.backends import FunctionBackend
    >>> from deap_xai.masking import MaskedView
    >>> view, segments = np.full((2, 2, 3), 255, np.uint8), np.array([[0, 1], [2, 3]], np.int32)
    >>> backend = FunctionBackend(lambda v: [[p, 1 - p] for p in (v.mean((1, 2, 3)) / 255)])
    >>> evaluator = Evaluator(backend, MaskedView(view, segments, view * 0), target=0)
    >>> insertion_auc(evaluator, np.arange(4.0)), deletion_auc(evaluator, np.arange(4.0))
    (0.5, 0.5)
    """
    return _area(evaluator, nested_of(evaluator, attribution))


def deletion_auc(evaluator: Evaluator, attribution: NDArray[Any]) -> float:
    """Area under the target's probability as superpixels vanish, the most important first.

    As :func:`insertion_auc`, but lower is better.
    """
    return _area(evaluator, ~nested_of(evaluator, attribution))


def _area(evaluator: Evaluator, masks: Masks) -> float:
    p = evaluator.probabilities(masks).astype(float)
    return float((p[1:] + p[:-1]).mean() / 2)
