"""A model that knows how long it was asked."""

from __future__ import annotations

import time
from collections.abc import Sequence

from deap_xai.backends.torch_module import TorchBackend
from deap_xai.masking import MaskedView
from deap_xai.typing import Masks, Probabilities


class Timed(TorchBackend):
    """A torch backend that adds up the seconds in which the model answers about masks."""

    seconds = 0.0

    def predict_masked(self, masked_view: MaskedView, masks: Masks) -> Probabilities:
        """As without the clock; on the CPU, the device is done when it returns."""
        start = time.perf_counter()
        answers = super().predict_masked(masked_view, masks)
        self.seconds += time.perf_counter() - start
        return answers

    def predict_masked_many(
        self, questions: Sequence[tuple[MaskedView, Masks]]
    ) -> list[Probabilities]:
        """As without the clock."""
        if len(questions) == 1:
            return super().predict_masked_many(questions)  # which asks predict_masked
        start = time.perf_counter()
        answers = super().predict_masked_many(questions)
        self.seconds += time.perf_counter() - start
        return answers
