"""From what a visitor chose to an explanation; models are loaded once and asked by one thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deap_xai.app.search import Report
from deap_xai.backends import Backend, load_backend
from deap_xai.defaults import ALGORITHM, BUDGET, FILL, SEGMENTS
from deap_xai.explainer import Explainer
from deap_xai.explanation import Explanation
from deap_xai.images import ImageLike, load_image
from deap_xai.wording import counted

__all__ = ["Choice", "Explainers", "one_at_a_time"]

SEARCH = frozenset(
    "segments fill algorithm operators objectives pick population budget seconds patience "
    "seed".split()
)
"""Settings of the search; all others are the model's."""

KEPT = 3
"""Models kept loaded at once."""


@dataclass(frozen=True)
class Choice:
    """What a visitor chose; the names are the Explainer's.

    An operator's empty spec leaves it to the algorithm, whatever was given at the start.
    """

    model: str
    budget: int = BUDGET
    segments: str = SEGMENTS
    fill: str = FILL
    algorithm: str = ALGORITHM
    operators: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None


def one_at_a_time(backend: Backend) -> Backend:
    """The same backend, asked by one thread at a time, batch by batch.

    Backends keep the latest view on the device, so two visitors who ask at once would get each
    other's pictures. All else that a backend is stays as it is.
    """
    lock = threading.RLock()

    def locked(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def ask(*args: Any) -> Any:
            with lock:
                return method(*args)

        return ask

    for one in (backend, backend.reference):
        for name in ("predict", "predict_masked", "predict_masked_many"):
            if hasattr(one, name):
                setattr(one, name, locked(getattr(one, name)))
    return backend


class Explainers:
    """Explains images as visitors choose.

    Parameters
    ----------
    settings
        The given model under ``"model"``, and the Explainer's other settings. Those of the model
        other than ``device`` and ``batch_size`` are for the given one alone.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        given = {key: value for key, value in settings.items() if value is not None}
        self.model = str(given.pop("model"))
        self.search = {key: value for key, value in given.items() if key in SEARCH}
        self._given = {key: value for key, value in given.items() if key not in SEARCH}
        self._loaded: dict[str, Backend] = {}
        self._loading = threading.Lock()

    def backend(self, model: str) -> Backend:
        """The model of that name, loaded when it is first asked for."""
        with self._loading:
            made = self._loaded.pop(model, None) or one_at_a_time(
                load_backend(model, **self._options(model))
            )
            self._loaded[model] = made  # the latest stands last
            while len(self._loaded) > KEPT:
                del self._loaded[next(iter(self._loaded))]
            return made

    def own(self, model: str) -> Backend:
        """The model itself, where what searches is a faster stand-in for it."""
        backend = self.backend(model)
        return backend.reference or backend

    def explain(self, image: ImageLike, choice: Choice, progress: Report) -> Explanation:
        """Explain an image as chosen; the settings in the explanation repeat it."""
        pixels = load_image(image)  # first, as a wrong image is sooner found than a model loaded
        operators = {**self.search.get("operators", {}), **choice.operators}
        settings = {
            **self.search,
            "budget": choice.budget,
            "segments": choice.segments,
            "fill": choice.fill,
            "algorithm": choice.algorithm,
            "operators": {role: spec for role, spec in operators.items() if spec},
        }
        explainer = Explainer(self.backend(choice.model), **settings)
        explanation = explainer.explain(
            pixels, choice.target, lambda evaluator: progress(evaluator, explainer.picked)
        )
        return replace(explanation, settings=self._named(explanation.settings, choice.model))

    def _named(self, settings: Mapping[str, Any], model: str) -> dict[str, Any]:
        """The settings with the model by its name; the Explainer was given it loaded."""
        options = self._options(model)
        names = ("weights", "device", "size")
        given: dict[str, Any] = {k: str(options[k]) for k in names if k in options}
        others = [one for one in settings["python_only"] if one != "model"]
        if options.get("class_names"):
            given["class_names"] = counted(len(options["class_names"]), "name")
        shell_lacks = [key for key in ("transform", "size") if key in options]
        only = [*others, *shell_lacks]
        return {**settings, **given, "model": model, "python_only": only}

    def _options(self, model: str) -> dict[str, Any]:
        """Options that apply to a model: files of weights and names belong to the given one."""
        if model == self.model:
            return self._given
        return {k: v for k, v in self._given.items() if k in ("device", "batch_size")}
