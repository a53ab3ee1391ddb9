"""The one protocol behind which every classifier stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.errors import BackendError, SettingError
from deap_xai.masking import MaskedView
from deap_xai.typing import Image, Masks, Probabilities, View, Views

__all__ = ["Backend", "is_out_of_memory"]

_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "cannot allocate memory",
    "bad_alloc",
)


class Backend(ABC):
    """A classifier: uint8 RGB images in, a table of probabilities out.

    One method is required, :meth:`predict`. A backend that knows how its model wants an image
    overrides :meth:`view`; one that can draw masked views where the model lives overrides
    :meth:`predict_masked`, so that only bits travel; one that gains from larger batches
    :meth:`predict_masked_many`.

    Attributes
    ----------
    name
        What messages and saved settings call the model.
    class_names
        A name for each class, or None.
    batch_size
        Number of views that go through the model at once. Halves when memory runs out.
    measure_batch_size
        Whether nobody gave a batch size, so that the best one may be measured before a search.
    engine, precision
        What the model runs on and in: ``"torch"``, ``"onnx"``, ``"openvino"``; ``"fp32"``,
        ``"bf16"``. None where this package doesn't know.
    reference
        The user's own model in its own precision, where this backend is a faster stand-in for it;
        what an explanation reports is asked of the reference. None: this is the own model.
    choice
        In words, how the engine was chosen by measurement; empty where it was told.
    caution
        What a reader of each explanation should know of the model; mostly empty.

    Examples
    --------
    >>> class Redness(Backend):
    ...     class_names = ("red", "other")
    ...     def predict(self, images):
    ...         red = images[..., 0].mean(axis=(1, 2)) / 255
    ...         return np.stack([red, 1 - red], axis=1)
    >>> Redness().predict(np.zeros((2, 4, 4, 3), np.uint8)).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """

    name: str = "model"
    class_names: Sequence[str] | None = None
    batch_size: int = 32
    measure_batch_size: bool = False
    engine: str | None = None
    precision: str | None = None
    reference: Backend | None = None
    choice: str = ""
    caution: str = ""

    @abstractmethod
    def predict(self, images: Views) -> Probabilities:
        """Probabilities (N, C), 0..1, of images (N, h, w, 3), uint8."""

    def view(self, image: Image) -> View:
        """The image as the model takes it, before normalisation: uint8, (h, w, 3)."""
        return image

    def predict_masked(self, masked_view: MaskedView, masks: Masks) -> Probabilities:
        """Probabilities (N, C) of a view under masks (N, S): drawn, then predicted, in chunks."""
        return self.in_chunks(lambda chunk: self.predict(masked_view.render(chunk)), masks)

    def predict_masked_many(
        self, questions: Sequence[tuple[MaskedView, Masks]]
    ) -> list[Probabilities]:
        """Probabilities (N, C) for each of several masked views with its masks (N, S).

        Here one after another. A backend that gains from larger batches overrides it, with
        :meth:`in_joint_chunks`.
        """
        return [self.predict_masked(masked_view, masks) for masked_view, masks in questions]

    def in_joint_chunks(
        self,
        predict: Callable[[list[tuple[MaskedView, Masks]]], Any],
        questions: Sequence[tuple[MaskedView, Masks]],
    ) -> list[Probabilities]:
        """Call ``predict`` on at most ``batch_size`` masks at a time, of several masked views.

        A call has masked views of one size, each with some of its masks, and answers with the
        rows of all of them in order, as :meth:`in_chunks` takes them. Returned is an answer a
        question.
        """
        counts = np.array([len(masks) for _, masks in questions])
        # Which question, and which of its masks.
        rows = np.argwhere(np.arange(counts.max()) < counts[:, None])

        def predict_rows(chunk: NDArray[Any]) -> Any:
            of = {i: chunk[chunk[:, 0] == i, 1] for i in dict.fromkeys(chunk[:, 0].tolist())}
            return predict([(questions[i][0], questions[i][1][mine]) for i, mine in of.items()])

        answers: dict[int, Probabilities] = {}
        shapes = [masked_view.view.shape for masked_view, _ in questions]
        for shape in dict.fromkeys(shapes):
            places = [i for i, other in enumerate(shapes) if other == shape]
            group = rows[np.isin(rows[:, 0], places)]
            table = self.in_chunks(predict_rows, group)
            answers |= {i: table[group[:, 0] == i] for i in places}
        return [answers[i] for i in range(len(questions))]

    def digest(self) -> str:
        """What tells this model from others, where something measured of it is remembered."""
        return self.name

    def in_chunks(
        self, predict: Callable[[NDArray[Any]], Probabilities], items: NDArray[Any]
    ) -> Probabilities:
        """Call ``predict`` on at most ``batch_size`` items at a time and join the answers.

        When memory runs out the batch size halves and the run goes on.
        """
        answers = self.chunks(lambda chunk: self.table(predict(chunk), len(chunk)), items)
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def chunks(self, predict: Callable[[Any], Any], items: Any) -> list[Any]:
        """What ``predict`` answers to each chunk of the items, of whatever kind it is."""
        answers = []
        start = 0
        if self.batch_size < 1:
            raise SettingError(f"batch_size must be at least 1; got {self.batch_size}")
        while start < len(items):
            chunk = items[start : start + self.batch_size]
            try:
                answers.append(predict(chunk))
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if len(chunk) == 1:
                    raise BackendError(
                        f"{self.name} runs out of memory on a single view: {error}; use a smaller "
                        "view or another device"
                    ) from error
                self.batch_size = len(chunk) // 2
            else:
                start += len(chunk)
        return answers

    def table(self, answer: Any, n: int, own: bool = False) -> Probabilities:
        """An answer to n images as a table (n, C); a BackendError if it is none."""
        try:
            # A copy, if it isn't our own: a model may use its memory again for the next batch.
            rows = np.asarray(answer) if own else np.array(answer)
        except ValueError:  # rows of different lengths
            rows = np.asarray(answer, dtype=object)
        if rows.dtype == object or rows.ndim != 2 or len(rows) != n or rows.shape[1] < 2:
            came = "rows of different lengths or no numbers"
            if rows.ndim == 0:
                came = f"an object of class {type(answer).__name__}"
            raise BackendError(
                f"{self.name} answered {n} images with "
                f"{came if rows.dtype == object else f'shape {rows.shape}'}, expected ({n}, "
                "classes) with 2 classes at least; predict must return probabilities: an array "
                "(N, classes) of numbers in 0..1"
            )
        return rows


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out; each library says so in words of its own."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _OUT_OF_MEMORY)
