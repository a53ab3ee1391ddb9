"""The front door: a classifier and settings in, explanations out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from deap_xai.algorithms import Defaults, algorithms, defaults_of
from deap_xai.archive import FrontPoint, front
from deap_xai.attribution import attribution
from deap_xai.backends import Backend, load_backend
from deap_xai.backends.classes import class_index, class_name
from deap_xai.chance import seeded
from deap_xai.checks import check, reserve, without_each
from deap_xai.defaults import ALGORITHM, BUDGET, FILL, POPULATION, SEGMENTS
from deap_xai.errors import BudgetExhausted, SettingError
from deap_xai.explanation import Explanation
from deap_xai.fitness import Budget, Evaluator
from deap_xai.images import image_name, load_image
from deap_xai.masking import MaskedView, fill_view, fills
from deap_xai.objectives import ObjectiveSpec, resolve_objectives
from deap_xai.operators import operators as operator_registry
from deap_xai.picking import picks
from deap_xai.progress import progress_bar
from deap_xai.registry import Spec
from deap_xai.segmentation import segment, segmenters
from deap_xai.toolbox import Toolbox, make_toolbox
from deap_xai.typing import Masks, Segments, View

__all__ = ["Explainer"]

PLAIN = Defaults(objectives=("probability",))
"""What a toolbox for the user's own loop has, where no algorithm was named."""

PASSES = 0.9
"""Share of the full view's probability from which on an empty view counts as passing."""


class Explainer:
    """Explains a classifier's answers by evolving which superpixels to keep.

    Parameters
    ----------
    model
        The name of one of torchvision's classifiers, ``"demo"``, a ``torch.nn.Module``, any
        function from uint8 images (N, h, w, 3) to probabilities (N, C), or a
        :class:`~deap_xai.backends.Backend`.
    segments
        Superpixels: ``"slic:n_segments=50"`` or another segmenter, a function from a view to
        labels, or a label map (h, w).
    fill
        What stands where a superpixel is hidden: ``"mean"`` of the superpixel, ``"black"``,
        ``"grey"``, ``"blur"``, …, a function, or an image (h, w, 3) of the view's size.
    algorithm
        ``"eaElitist:cxpb=0.9"`` or another, or a function of (population, toolbox). None takes
        ``"eaSurrogate"``.
    operators
        Operators by role: ``{"mate": "cxTwoPoint", "mutate": my_mutation}``. Names are this
        package's and those of ``deap.tools``.
    objectives
        What fitness consists of: names, or pairs (function, weight). None takes what the
        algorithm is meant for.
    pick
        Which point of the front is shown: ``"knee"``, ``"best"``, ``"smallest:p=0.9"``,
        ``"within:k=5"`` or a function. None takes what the algorithm is meant for.
    population
        Number of individuals.
    budget, seconds, patience
        When to stop: model calls, wall time, model calls without gain; whichever is first.
    seed
        Same seed, same explanation.
    weights, device, transform, size, class_names, batch_size
        For the model, where they apply to it; see :func:`~deap_xai.backends.load_backend`.

    Examples
    --------
    >>> def brightness(views):
    ...     bright = views.mean(axis=(1, 2, 3)) / 255
    ...     return np.stack([bright, 1 - bright], axis=1)
    >>> image = np.zeros((40, 40, 3), np.uint8)
    >>> image[:20] = 255
    >>> explainer = Explainer(brightness, segments="grid:n_segments=16", fill="black", budget=200)
    >>> explanation = explainer.explain(image, target=0)
    >>> explanation.mask.astype(int).reshape(4, 4)[:2].tolist(), round(explanation.probability, 2)
    ([[1, 1, 1, 1], [1, 1, 1, 1]], 0.5)
    """

    def __init__(
        self,
        model: Any,
        *,
        segments: Spec | Segments = SEGMENTS,
        fill: Spec | View = FILL,
        algorithm: Spec | None = None,
        operators: Mapping[str, Spec] | None = None,
        objectives: Sequence[ObjectiveSpec] | str | None = None,
        pick: Spec | None = None,
        population: int = POPULATION,
        budget: int | None = None,
        seconds: float | None = None,
        patience: int | None = None,
        seed: int = 0,
        weights: str | Path | None = None,
        device: Any = None,
        transform: Callable[..., Any] | None = None,
        size: int | tuple[int, int] | None = None,
        class_names: Sequence[str] | None = None,
        batch_size: int | None = None,
    ) -> None:
        limits = Budget(budget, seconds, patience)  # checked now, not at the first image
        _check_count("population", population, 2)
        _check_count("seed", seed, 0)
        for registry, spec in ((segmenters, segments), (fills, fill)):
            if isinstance(spec, str):
                registry.resolve(spec)
        self.segments, self.fill = segments, fill
        self.algorithm = ALGORITHM if algorithm is None else algorithm
        self._algorithm = algorithms.resolve(self.algorithm)
        defaults = defaults_of(self._algorithm)
        loop = PLAIN if algorithm is None else defaults
        self._loop_objectives = resolve_objectives(objectives or loop.objectives)
        self._loop_operators = {**loop.operators, **(operators or {})}
        self.operators = {**defaults.operators, **(operators or {})}
        for spec in self.operators.values():
            operator_registry.resolve(spec)
        self.objectives = resolve_objectives(objectives or defaults.objectives)
        self.pick = pick or defaults.pick
        self._pick = picks.resolve(self.pick)
        self.population = int(population)
        self.budget, self.seconds, self.patience = limits.calls, limits.seconds, limits.patience
        self.seed = int(seed)
        self._given = {"weights": weights, "device": device, "transform": transform, "size": size}
        self.backend: Backend = load_backend(
            model, class_names=class_names, batch_size=batch_size, **self._given
        )

    def explain(
        self,
        image: Any,
        target: int | str | None = None,
        progress: Callable[[Evaluator], None] | bool | None = None,
    ) -> Explanation:
        """Explain the model's answer on one image.

        Parameters
        ----------
        image
            A path, a PIL image, an array or a tensor; see :func:`~deap_xai.images.load_image`.
        target
            Index or name of the class to explain; None takes the most probable one.
        progress
            Called with the evaluator after every batch of model calls; True shows a progress bar,
            in a notebook a widget.

        Returns
        -------
        The explanation. Ctrl-C during the search gives the best so far, with a warning in it.
        """
        if progress is True:
            with progress_bar(image_name(image)) as report:
                return self.explain(image, target, report)
        start = time.perf_counter()
        evaluator, notes = self._evaluator(image, target, self._limits())
        evaluator.on_batch = progress or None
        notes += self._search_and_drop(evaluator)
        return self._conclude(evaluator, notes, start)

    def search(self, evaluator: Evaluator) -> None:
        """Run the algorithm on an evaluator until its budget ends; all it asked is in the archive.

        This is the search alone, without the checks of :meth:`explain`: the full and the empty
        view first, then whatever the algorithm asks.
        """
        # The search's own matrices are too small to be worth more than one thread.
        one_thread = threadpool_limits(1, user_api="blas")
        with one_thread, seeded(self.seed), suppress(BudgetExhausted):
            evaluator.probabilities(_full_and_empty(evaluator.n_segments))
            toolbox = make_toolbox(evaluator, self.objectives, self.operators, self.seed)
            self._algorithm(toolbox.population(n=self.population), toolbox)

    def evaluator(self, image: Any, target: int | str | None = None) -> Evaluator:
        """The batching, memoising evaluator of one image, with the budget that was given."""
        budget = Budget(self.budget, self.seconds, self.patience)
        return self._evaluator(image, target, budget)[0]

    def toolbox(self, image: Any, target: int | str | None = None) -> Toolbox:
        """A filled ``deap.base.Toolbox`` for one image.

        With individual, population, evaluate, map, clone, mate, mutate and select registered;
        ``toolbox.evaluator`` is the evaluator. It is for a loop of yours: fitness is the
        probability alone and operators are the plain ones, unless objectives, operators or an
        algorithm that brings its own were named. It has a budget only if one was given here: a
        stock DEAP loop that runs into it raises :class:`~deap_xai.errors.BudgetExhausted`.
        """
        evaluator = self.evaluator(image, target)
        return make_toolbox(evaluator, self._loop_objectives, self._loop_operators, self.seed)

    def _limits(self) -> Budget:
        """The budget that was given, or the default where none was."""
        budget = Budget(self.budget, self.seconds, self.patience)
        return budget if budget.limited else Budget(BUDGET)

    def _evaluator(
        self, image: Any, target: int | str | None, budget: Budget
    ) -> tuple[Evaluator, list[str]]:
        view = self.backend.view(load_image(image))
        segments, notes = segment(view, self.segments)
        masked_view = MaskedView(view, segments, fill_view(view, segments, self.fill))
        index = None if target is None else class_index(target, self.backend.class_names)
        return Evaluator(self.backend, masked_view, index, budget), notes

    def _search_and_drop(self, evaluator: Evaluator) -> list[str]:
        """Run the algorithm, then try to drop what isn't needed; says if it was interrupted."""
        budget = evaluator.budget
        held, few = reserve(budget.calls)
        try:
            with budget.holding_back(held, 0.15):
                self.search(evaluator)
            budget.patience = None  # it is the search that may lose patience, not the checks
            with suppress(BudgetExhausted), budget.holding_back(few, 0.05):
                self._drop(evaluator)
        except KeyboardInterrupt:
            if len(evaluator.archive) == 0:
                raise
            budget.calls = budget.spent  # whoever pressed Ctrl-C doesn't wait for checks either
            return ["the search was interrupted; this is the best so far, without checks"]
        return []

    def _drop(self, evaluator: Evaluator) -> None:
        """Ask for the picked mask without each of its superpixels, until none can go."""
        tried = None
        while tried is None or (self._picked(evaluator).mask != tried).any():
            tried = self._picked(evaluator).mask
            evaluator.probabilities(without_each(tried))

    def _picked(self, evaluator: Evaluator) -> FrontPoint:
        points = front(evaluator.archive)
        if not points:
            raise SettingError("the budget ended before any mask was evaluated; raise it")
        return self._pick(points, _known(evaluator, True))

    def _conclude(self, evaluator: Evaluator, notes: list[str], start: float) -> Explanation:
        picked = self._picked(evaluator)
        try:
            checks = check(evaluator, picked.mask, self.fill, np.random.default_rng(self.seed))
        except KeyboardInterrupt:
            evaluator.budget.calls = evaluator.calls  # only what is known already
            notes.append("the checks were interrupted")
            checks = check(evaluator, picked.mask, self.fill, np.random.default_rng(self.seed))
        full, empty = _known(evaluator, True), _known(evaluator, False)
        if empty >= PASSES * full:
            notes.append(
                f"the empty view alone gives {empty:.3f}, the full view {full:.3f}: under this "
                "fill nothing in the picture is needed for the answer; try another fill"
            )
        return Explanation(
            mask=picked.mask,
            segments=evaluator.segments,
            view=evaluator.view,
            fill=evaluator.masked_view.fill,
            target=evaluator.target,
            target_name=class_name(evaluator.target, self.backend.class_names),
            probability=picked.probability,
            probability_full=full,
            probability_empty=empty,
            attribution=attribution(evaluator),
            archive=evaluator.archive,
            checks=checks,
            model_calls=evaluator.calls,
            seconds=time.perf_counter() - start,
            seed=self.seed,
            settings=self.settings(),
            warnings=tuple(notes),
        )

    def settings(self) -> dict[str, Any]:
        """Every setting, in values that JSON knows; functions and arrays by a name."""
        given = {key: value for key, value in self._given.items() if value is not None}
        return {
            "model": self.backend.name,
            **{k: str(v) if k == "device" else _named(v) for k, v in given.items()},
            "segments": _named(self.segments),
            "fill": _named(self.fill),
            "algorithm": _named(self.algorithm),
            "operators": {role: _named(spec) for role, spec in self.operators.items()},
            "objectives": [_with_parameters(o.name, o.function) for o in self.objectives],
            "pick": _named(self.pick),
            "population": self.population,
            "budget": self._limits().calls,
            "seconds": self.seconds,
            "patience": self.patience,
            "batch_size": self.backend.batch_size,
        }


def _full_and_empty(n_segments: int) -> Masks:
    return np.repeat([[True], [False]], n_segments, axis=1)


def _known(evaluator: Evaluator, value: bool) -> float:
    index = evaluator.archive.find(np.full(evaluator.n_segments, value))
    return float("nan") if index is None else float(evaluator.archive.probabilities[index])


def _check_count(name: str, value: Any, least: int) -> None:
    if not isinstance(value, (int, np.integer)) or value < least:
        raise SettingError(f"{name} must be a whole number of at least {least}; got {value!r}")


def _named(value: Any) -> str:
    if isinstance(value, (str, tuple, list, Path, int)):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"array {value.shape}"
    plain = getattr(value, "func", value)
    return _with_parameters(str(getattr(plain, "__qualname__", type(plain).__name__)), value)


def _with_parameters(name: str, function: Any) -> str:
    bound = ",".join(f"{key}={value}" for key, value in getattr(function, "keywords", {}).items())
    return f"{name}:{bound}" if bound else name
