"""Objectives: numbers read off masks and the model's answers to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from deap_xai.errors import SettingError
from deap_xai.registry import Spec, registry
from deap_xai.typing import Masks

if TYPE_CHECKING:
    from deap_xai.fitness import Evaluator

__all__ = [
    "Objective",
    "area",
    "objectives",
    "probability",
    "resolve_objectives",
    "size",
]

Values: TypeAlias = NDArray[np.floating[Any]]
ObjectiveSpec: TypeAlias = "Spec | tuple[Callable[..., Any], float]"
F = TypeVar("F", bound=Callable[..., Any])

objectives = registry("objective")


class Objective(NamedTuple):
    """A function of an evaluator and masks (N, S) to (N,) numbers, and its DEAP weight.

    The weight's sign says whether more is better (+1) or less (-1).
    """

    name: str
    function: Callable[..., Any]
    weight: float

    def __call__(self, evaluator: Evaluator, masks: Masks) -> Values:
        """The objective's value for each mask, (N,); never NaN."""
        values = np.asarray(self.function(evaluator, masks))
        if values.shape != (len(masks),) or not np.isfinite(values.astype(float)).all():
            raise SettingError(
                f"objective {self.name!r} returned {values!r:.80} for {len(masks)} masks; "
                f"expected {len(masks)} finite numbers"
            )
        return values


def weighted(weight: float) -> Callable[[F], F]:
    """Register an objective with its DEAP weight."""

    def mark(function: F) -> F:
        function.weight = weight  # type: ignore[attr-defined]
        return objectives.register(function)

    return mark


@weighted(1.0)
def probability(evaluator: Evaluator, masks: Masks, /) -> Values:
    """Probability of the target on the kept part: 0..1, more is better.

    The fitness of E-LIME (Wang, Pei, Xue and Zhang, arXiv 2211.15143).
    """
    return evaluator.probabilities(masks)


@weighted(-1.0)
def size(evaluator: Evaluator, masks: Masks, /) -> Values:
    """Number of superpixels kept: 0..S, less is better."""
    return masks.sum(axis=1)


@weighted(-1.0)
def area(evaluator: Evaluator, masks: Masks, /) -> Values:
    """Share of the view's pixels kept: 0..1, less is better."""
    pixels = np.bincount(evaluator.segments.ravel(), minlength=evaluator.n_segments)
    return masks @ (pixels / pixels.sum())


def resolve_objectives(specs: Sequence[ObjectiveSpec] | str) -> list[Objective]:
    """Objectives from specs, or from pairs of a function and its weight.

    Raises
    ------
    SettingError
        If there is none, or a function comes without a weight.

    Examples
    --------
    >>> [(o.name, o.weight) for o in resolve_objectives(["probability", (len, -1.0)])]
    [('probability', 1.0), ('len', -1.0)]
    """
    if isinstance(specs, str):
        specs = [specs]
    if not specs:
        raise SettingError("no objectives given; expected at least one, such as 'probability'")
    return [_resolve(spec) for spec in specs]


def _resolve(spec: ObjectiveSpec) -> Objective:
    weight = None
    if isinstance(spec, tuple):
        spec, weight = spec
    function = objectives.resolve(spec)
    plain = getattr(function, "func", function)
    weight = getattr(plain, "weight", None) if weight is None else weight
    name = getattr(plain, "__name__", type(plain).__name__)
    if weight is None:
        raise SettingError(
            f"objective {name!r} has no weight; give (function, 1.0) to maximise or "
            "(function, -1.0) to minimise"
        )
    return Objective(name, function, float(weight))
