"""Objectives: numbers read off masks and the model's answers to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from deap_xai.backends.classes import class_index
from deap_xai.errors import SettingError
from deap_xai.registry import Spec, behind, registry
from deap_xai.typing import Mask, Masks
from deap_xai.wording import shortened

if TYPE_CHECKING:
    from deap_xai.fitness import Evaluator

__all__ = [
    "Objective",
    "area",
    "compactness",
    "contrast",
    "necessity",
    "objectives",
    "pieces",
    "probability",
    "registered_weight",
    "resolve_objectives",
    "robustness",
    "size",
]

Values: TypeAlias = NDArray[np.floating[Any]]
ObjectiveSpec: TypeAlias = "Spec | tuple[Callable[..., Any], float]"
F = TypeVar("F", bound=Callable[..., Any])

objectives = registry(
    "objective",
    takes=("evaluator", "masks"),
    ready="a function, or a pair of either and its weight",
)


class Objective(NamedTuple):
    """A function of an evaluator and masks (N, S) to (N,) numbers, and its DEAP weight.

    The weight's sign says whether more is better (+1) or less (-1).
    """

    name: str
    function: Callable[..., Any]
    weight: float

    def __call__(self, evaluator: Evaluator, masks: Masks) -> Values:
        """The objective's value for each mask, (N,); never NaN."""
        answer = self.function(evaluator, masks)
        try:
            # Of complex numbers NumPy would drop the imaginary part.
            values = np.asarray(None if np.iscomplexobj(answer) else answer, dtype=float)
        except (TypeError, ValueError):  # text, None, rows of different lengths
            values = np.zeros(0)
        if values.shape != (len(masks),) or not np.isfinite(values).all():
            raise SettingError(
                f"objective {self.name!r} returned {shortened(answer)} for {len(masks)} masks; "
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


@weighted(1.0)
def necessity(evaluator: Evaluator, masks: Masks, /) -> Values:
    """One minus the target's probability on what is *not* kept: 0..1, more is better.

    1 - p(complement): how far the answer falls without the kept part, the converse of
    sufficiency (Watson, Gultchin, Taly and Floridi, UAI 2021). Costs model calls of its own.
    """
    return 1 - evaluator.probabilities(~masks)


@weighted(1.0)
def contrast(evaluator: Evaluator, masks: Masks, /, *, other: int | str) -> Values:
    """The target's probability minus another class's on the kept part: -1..1, more is better.

    p(target) - p(other): why this rather than that (Lipton, "Contrastive explanation", 1990).

    Parameters
    ----------
    other
        Index or name of the other class. On an image of which it is the top class, where no target
        was named, all masks have 0.

    Raises
    ------
    SettingError
        If there is no such class, or it is the target that was named.
    """
    index = class_index(other, evaluator.backend.class_names, "contrast's other class")
    # Of many images the class at the top may be the other one here and there; one named can't.
    if index == evaluator.target == evaluator.asked:
        raise SettingError(
            f"contrast's other class, {other!r}, is the target itself, so that the difference is 0 "
            "for every mask; name another"
        )
    return evaluator.probabilities(masks) - evaluator.probabilities(masks, target=index)


@weighted(1.0)
def compactness(evaluator: Evaluator, masks: Masks, /) -> Values:
    """One minus the share of touching pairs of superpixels that the boundary cuts: 0..1.

    1 - cut(kept, hidden) / edges over the adjacency graph; more is better, 1 is no boundary.
    """
    first, second = np.nonzero(np.triu(evaluator.neighbours))
    cut = masks[:, first] != masks[:, second]
    return 1 - cut.mean(axis=1) if len(first) else np.ones(len(masks))


@weighted(-1.0)
def pieces(evaluator: Evaluator, masks: Masks, /) -> Values:
    """Number of connected pieces that the kept part falls into: 0..S, less is better."""
    return np.array([_pieces(evaluator.neighbours, mask) for mask in masks])


@weighted(1.0)
def robustness(evaluator: Evaluator, masks: Masks, /, *, fills: str = "black+blur") -> Values:
    """The target's lowest probability on the kept part over several fills: 0..1, more is better.

    min over fills of p, the worst case of robust optimisation (Ben-Tal and Nemirovski, 1998).
    The evaluator's own fill is among them. Each further fill costs model calls of its own.

    Parameters
    ----------
    fills
        Further fills, joined by ``+``.
    """
    # A plus joins nothing where what follows it is no name, as in a number or "a+b.png".
    names = re.split(r"\s*\+\s*(?=[A-Za-z_][\w-]*\s*(?:[:+]|$))", fills)
    others = [evaluator.under(name).probabilities(masks) for name in names]
    return np.minimum.reduce([evaluator.probabilities(masks), *others])


def _pieces(neighbours: NDArray[np.bool_], mask: Mask) -> int:
    kept = np.flatnonzero(mask)
    return int(connected_components(neighbours[np.ix_(kept, kept)], directed=False)[0])


def resolve_objectives(specs: Sequence[ObjectiveSpec] | str) -> list[Objective]:
    """Objectives from specs, or from pairs of a function and its weight.

    Raises
    ------
    SettingError
        If there is none, one is no objective, or a function comes without a weight.

    Examples
    --------
    >>> def first(evaluator, masks):
    ...     return masks[:, 0]
    >>> [(o.name, o.weight) for o in resolve_objectives(["probability", (first, -1.0)])]
    [('probability', 1.0), ('first', -1.0)]
    """
    if isinstance(specs, str) or callable(specs):
        specs = [specs]
    if not isinstance(specs, Iterable) or isinstance(specs, Mapping):
        raise SettingError(
            "objectives must be names, such as ['probability', 'size'], or pairs of a function and "
            f"its weight; got {shortened(specs)}"
        )
    if not (specs := list(specs)):
        raise SettingError("no objectives given; expected at least one, such as 'probability'")
    return [_resolve(spec) for spec in specs]


def registered_weight(objective: Objective) -> float | None:
    """The weight that an objective's name alone stands for; None: the name isn't registered to it.

    Examples
    --------
    >>> own = lambda evaluator, masks: masks[:, 0]
    >>> [registered_weight(o) for o in resolve_objectives(["size", (own, -1.0)])]
    [-1.0, None]
    """
    plain = behind(objective.function)
    if objective.name not in objectives.names() or objectives.get(objective.name) is not plain:
        return None
    weight: float | None = getattr(plain, "weight", None)
    return weight


def told(objective: Objective) -> str:
    """Its name, with the weight where that isn't what the name stands for.

    Examples
    --------
    >>> [told(one) for one in resolve_objectives(["size", ("size", 1.0)])]
    ['size', 'size with weight 1']
    """
    usual = registered_weight(objective)
    if usual is not None and usual * objective.weight > 0:
        return objective.name
    return f"{objective.name} with weight {objective.weight:g}"


def _resolve(spec: ObjectiveSpec) -> Objective:
    weight = None
    if isinstance(spec, tuple):
        if len(spec) != 2:
            raise SettingError(
                f"{spec!r} is no objective; expected a pair of a function or a name and its weight"
            )
        spec, weight = spec
    function = objectives.resolve(spec)
    plain = behind(function)
    weight = getattr(plain, "weight", None) if weight is None else weight
    name = getattr(plain, "__name__", type(plain).__name__)
    if weight is None:
        raise SettingError(
            f"objective {name!r} has no weight; give (function, 1.0) to maximise or "
            "(function, -1.0) to minimise"
        )
    if not (isinstance(weight, Real) and np.isfinite(float(weight)) and weight):
        raise SettingError(
            f"objective {name!r} has the weight {weight!r}; expected a number above 0 to maximise "
            "or below 0 to minimise"
        )
    return Objective(name, function, float(weight))
