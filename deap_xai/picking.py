"""Which point of the front an explanation shows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

from deap_xai.archive import FrontPoint, reaches
from deap_xai.errors import SettingError
from deap_xai.registry import behind, registry
from deap_xai.wording import shortened

__all__ = ["best", "knee", "picked_by", "picks", "smallest", "unmet", "within"]

picks = registry("pick", takes=("points", "full"))
"""Functions of the front, small to large, and the full view's probability to one point."""


@picks.register
def best(points: Sequence[FrontPoint], full: float, /) -> FrontPoint:
    """The highest probability, whatever the size."""
    return points[-1]


@picks.register
def knee(points: Sequence[FrontPoint], full: float, /) -> FrontPoint:
    """The knee among the masks that are at least as probable as the full view.

    The point farthest above the line from (0, 0) to (S, p_max) in probability against size, as
    Kneedle finds it (Satopää, Albrecht, Irwin and Raghavan, ICDCS Workshops 2011): where more
    superpixels begin to bring less than their share.

    Examples
    --------
    >>> import numpy as np
    >>> points = [FrontPoint(np.arange(10) < k, p) for k, p in [(1, 0.3), (3, 0.8), (9, 0.9)]]
    >>> knee(points, 0.7)
    FrontPoint(size=3, probability=0.800)
    """
    enough = [point for point in points if point.probability >= full] or [points[-1]]
    n_segments, top = len(points[0].mask), enough[-1].probability or 1.0
    return max(enough, key=lambda point: point.probability / top - point.size / n_segments)


@picks.register
def smallest(points: Sequence[FrontPoint], full: float, /, *, p: float = 0.9) -> FrontPoint:
    """The smallest with probability ``p`` at least; the best where none has."""
    return next((point for point in points if reaches(point.probability, p)), points[-1])


@picks.register
def within(points: Sequence[FrontPoint], full: float, /, *, k: int = 5) -> FrontPoint:
    """The best with ``k`` superpixels at most; the smallest where all have more."""
    return next((point for point in reversed(points) if point.size <= k), points[0])


def picked_by(
    pick: Callable[..., FrontPoint], points: Sequence[FrontPoint], full: float
) -> FrontPoint:
    """The point that a pick gives.

    Raises
    ------
    SettingError
        If it gives none; a function of the user's may give anything.
    """
    point = pick(points, full)
    if not isinstance(point, FrontPoint):
        raise SettingError(
            f"pick gave {shortened(point)}; expected one of the front's points that it was given"
        )
    return point


def unmet(pick: Callable[..., FrontPoint], point: FrontPoint) -> list[str]:
    """What a reader should know where :func:`smallest` or :func:`within` asked for too much.

    Examples
    --------
    >>> import numpy as np
    >>> unmet(smallest, FrontPoint(np.array([True]), 0.95))
    []
    >>> unmet(smallest, FrontPoint(np.array([True]), 0.85))[0].partition(";")[0]
    'no mask with probability 0.9 was found'
    """
    function = behind(pick)
    if function is smallest and not reaches(point.probability, p := _asked(pick, "p")):
        return [
            f"no mask with probability {p:g} was found; the most probable has "
            f"{point.probability:.3f}: raise the budget or ask for less"
        ]
    if function is within and point.size > (k := _asked(pick, "k")):
        return [
            f"no mask with {k:g} superpixels at most was found; the smallest has {point.size}: "
            "raise the budget"
        ]
    return []


def _asked(pick: Callable[..., FrontPoint], parameter: str) -> float:
    return float(inspect.signature(pick).parameters[parameter].default)
