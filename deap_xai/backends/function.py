"""Any Python function as a classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deap_xai.backends.base import Backend
from deap_xai.digests import plain_repr
from deap_xai.masking import MaskedView
from deap_xai.typing import Image, Masks, Probabilities, View, Views
from deap_xai.views import fit_image

__all__ = ["FunctionBackend"]


class FunctionBackend(Backend):
    """A function from uint8 RGB images (N, h, w, 3) to probabilities (N, C).

    Parameters
    ----------
    function
        The classifier: scikit-learn's ``predict_proba`` behind a reshape, a Keras model's
        ``predict``, a request to a server.
    size
        What the function wants: an int for shorter side and centre crop, a pair (h, w) to
        resize to; None gives it the image's own size.
    class_names
        A name for each class.
    batch_size
        The most images in one call of the function.

    Examples
    --------
    >>> import numpy as np
    >>> backend = FunctionBackend(lambda images: np.full((len(images), 2), 0.5), size=8)
    >>> backend.view(np.zeros((30, 20, 3), np.uint8)).shape
    (8, 8, 3)
    """

    def __init__(
        self,
        function: Callable[[Views], ArrayLike],
        *,
        size: int | tuple[int, int] | None = None,
        class_names: Sequence[str] | None = None,
        batch_size: int = 32,
    ) -> None:
        self.name = getattr(function, "__qualname__", type(function).__name__)
        self.class_names = class_names
        self.batch_size = batch_size
        self._function = function
        self._size = size

    def view(self, image: Image) -> View:
        """The image fitted to ``size``."""
        return image if self._size is None else fit_image(image, self._size)

    def digest(self) -> str:
        """The function's name, or a hash of it with size and class names; its code isn't seen."""
        names = None if self.class_names is None else list(self.class_names)
        if self._size is None and names is None:
            return self.name
        return hashlib.sha256(plain_repr([self.name, self._size, names])).hexdigest()

    def predict(self, images: Views) -> Probabilities:
        """What the function answers."""
        answer: Any = self._function(images)
        if hasattr(answer, "detach"):  # a tensor, perhaps with a gradient or on another device
            answer = answer.detach().cpu()
            # NumPy knows no bf16.
            answer = (answer if answer.dtype.itemsize > 2 else answer.float()).numpy()
        return self.table(answer, len(images))

    def predict_masked_many(
        self, questions: Sequence[tuple[MaskedView, Masks]]
    ) -> list[Probabilities]:
        """As few calls of the function as ``batch_size`` and the views' sizes allow."""

        def predict(parts: list[tuple[MaskedView, Masks]]) -> Probabilities:
            return self.predict(np.concatenate([view.render(masks) for view, masks in parts]))

        return self.in_joint_chunks(predict, questions)
