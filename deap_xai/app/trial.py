"""Pieces shown and hidden by hand, and what the model says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deap_xai.backends import Backend
from deap_xai.backends.classes import class_name
from deap_xai.explanation import Explanation
from deap_xai.masking import MaskedView
from deap_xai.typing import Mask

__all__ = ["Answer", "Trial"]

TOP = 3
"""Classes that an answer names."""


@dataclass(frozen=True)
class Answer:
    """What the model says of the pieces shown.

    Attributes
    ----------
    probability
        Of the class explained, 0..1.
    top
        The most probable classes and their probabilities, highest first.
    """

    probability: float
    top: dict[str, float]


@dataclass(frozen=True, eq=False)
class Trial:
    """An explanation, its model, and the pieces shown now."""

    explanation: Explanation
    backend: Backend
    mask: Mask

    def toggled(self, row: int, column: int) -> Trial:
        """The same with the piece at that pixel of the view switched."""
        mask = self.mask.copy()
        mask[self.explanation.segments[row, column]] ^= True
        return replace(self, mask=mask)

    def answer(self) -> Answer:
        """Ask the model: one model call."""
        e = self.explanation
        masked_view = MaskedView(e.view, e.segments, e.fill)
        row = np.asarray(self.backend.predict_masked(masked_view, self.mask[None]), float)[0]
        names = self.backend.class_names
        best = np.argsort(-row, kind="stable")[:TOP]
        return Answer(float(row[e.target]), {class_name(i, names): float(row[i]) for i in best})
