"""What no other mask dominates, in all objectives of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from moocore import is_nondominated
from numpy.typing import NDArray

from deap_xai.typing import Masks

__all__ = ["Pareto", "pareto"]


class Pareto(NamedTuple):
    """Non-dominated masks with their values, the best in the first objective first.

    Attributes
    ----------
    names
        The objectives, as settings name them, with a number where two have one name.
    masks
        (P, S), bool; of several with the same values the first.
    values
        (P, objectives), as the search saw them.
    """

    names: tuple[str, ...]
    masks: Masks
    values: NDArray[np.float64]

    def __repr__(self) -> str:
        return f"Pareto({len(self.masks)} masks over {', '.join(self.names)})"

    def to_dict(self) -> list[dict[str, Any]]:
        """A mask and its values by name for each, in plain Python values."""
        return [
            {"mask": mask, "values": dict(zip(self.names, row, strict=True))}
            for mask, row in zip(self.masks.astype(int).tolist(), self.values.tolist(), strict=True)
        ]


def pareto(
    names: Sequence[str], weights: Sequence[float], masks: Masks, values: NDArray[np.float64]
) -> Pareto:
    """The masks that no other dominates: at least as good in each objective, better in one.

    Parameters
    ----------
    names, weights
        Of the objectives; a weight above 0 says that more is better, one below 0 that less is.
    masks
        (N, S), bool.
    values
        (N, objectives), finite.

    Examples
    --------
    >>> masks = np.array([[1, 1], [0, 1], [1, 0]], bool)
    >>> values = np.array([[0.9, 2], [0.6, 1], [0.5, 1]])
    >>> found = pareto(["probability", "size"], [1, -1], masks, values)
    >>> found
    Pareto(2 masks over probability, size)
    >>> found.to_dict()[1]
    {'mask': [0, 1], 'values': {'probability': 0.6, 'size': 1.0}}
    """
    better = values * np.sign(weights)
    front = np.flatnonzero(is_nondominated(better, maximise=True))
    front = front[np.lexsort(-better[front].T[::-1])]
    return Pareto(_distinct(names), masks[front], values[front])


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with a number where one comes again.

    Examples
    --------
    >>> _distinct(["size", "<lambda>", "<lambda>"])
    ('size', '<lambda>', '<lambda> (2)')
    """
    earlier = [list(names[:i]).count(name) for i, name in enumerate(names)]
    return tuple(f"{name} ({n + 1})" if n else name for name, n in zip(names, earlier, strict=True))
