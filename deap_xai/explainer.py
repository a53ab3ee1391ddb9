"""The front door: a classifier and settings in, explanations out."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, overload

from deap_xai.algorithms import Defaults, algorithms, defaults_of, unbred, unheeded
from deap_xai.archive import FrontPoint, front, full_and_empty
from deap_xai.attribution import attribution
from deap_xai.backends import Backend, load_backend
from deap_xai.backends.classes import class_index, class_name
from deap_xai.backends.measuring import settle_batch_size
from deap_xai.budget import Budget
from deap_xai.chance import alone, seeded
from deap_xai.checks import cautions, checked, confirm, finished, reserve, unseen, without_each
from deap_xai.defaults import ALGORITHM, BUDGET, FILL, POPULATION, SEGMENTS
from deap_xai.describing import described
from deap_xai.errors import BudgetExhausted, SettingError, check_count
from deap_xai.explanation import SEARCH_INTERRUPTED, Explanation
from deap_xai.fitness import Evaluator, Fitness
from deap_xai.images import image_name, load_image
from deap_xai.masking import MaskedView, fill_view, fills
from deap_xai.objectives import ObjectiveSpec, resolve_objectives, told
from deap_xai.picking import picked_by, picks, unmet
from deap_xai.processes import one_blas_thread
from deap_xai.progress import progress_bar
from deap_xai.registry import Spec
from deap_xai.segmentation import segment, segmenters
from deap_xai.together import together
from deap_xai.toolbox import Toolbox, as_operator, as_roles, check_roles, make_toolbox
from deap_xai.typing import Segments, View

__all__ = ["Explainer"]

PLAIN = Defaults(objectives=("probability",))
"""What a toolbox for the user's own loop has, where no algorithm was named."""

ASKED = 2
"""Model calls that a search asks for at a time at least, of several that are to fill a batch."""


class Explainer:
    """Explains a classifier's answers by evolving which superpixels to keep.

    Parameters
    ----------
    model
        The name of one of torchvision's classifiers, ``"demo"``, a ``torch.nn.Module``, any
        function from uint8 images (N, h, w, 3) to probabilities (N, C), the path of an ONNX or
        OpenVINO file, or a :class:`~deap_xai.backends.Backend`.
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
        When to stop: model calls, wall time, the search's model calls without gain, which is a mask
        more probable than any as small; whichever is first. A search that ends early leaves the
        rest of the budget to dropping superpixels: ``patience`` calls at most, or one each.
    seed
        Same seed, same explanation, on one machine at one batch size, alone or in the same list:
        last digits depend on these.
    weights, device, transform, size, class_names, batch_size
        For the model, where they apply to it; see :func:`~deap_xai.backends.load_backend`. Without
        a batch size the best is measured once for each model, view size and machine.
    engine, precision
        What the search asks: ``"torch"``, ``"onnx"``, ``"openvino"`` or ``"auto"``, in ``"fp32"``,
        ``"bf16"`` or ``"auto"``. The numbers of an explanation are then asked of the model itself.
        None: the model as it is.

    Examples
    --------
    >>> import numpy as np
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
        engine: str | None = None,
        precision: str | None = None,
    ) -> None:
        limits = Budget(budget, seconds, patience)  # checked now, not at the first image
        check_count("population", population, 2)
        check_count("seed", seed, 0)
        for registry, spec in ((segmenters, segments), (fills, fill)):
            if isinstance(spec, str) or callable(spec):
                registry.resolve(spec)
        self.segments, self.fill = segments, fill
        self.algorithm = ALGORITHM if algorithm is None else algorithm
        self._algorithm = algorithms.resolve(self.algorithm)
        defaults = defaults_of(self._algorithm)
        loop = PLAIN if algorithm is None else defaults
        own = None if objectives is None else resolve_objectives(objectives)
        self._loop_objectives = own or resolve_objectives(loop.objectives)
        self._loop_operators = {**loop.operators, **as_roles(operators)}
        self.operators = {**defaults.operators, **as_roles(operators)}
        self.objectives = own or resolve_objectives(defaults.objectives)
        for role, spec in self.operators.items():
            as_operator(role, spec, n_segments=2, n_objectives=len(self.objectives))
        self.pick = pick or defaults.pick
        self._pick = picks.resolve(self.pick)
        self.population = int(population)
        self.budget, self.seconds, self.patience = limits.calls, limits.seconds, limits.patience
        self.seed = int(seed)
        self.model = model
        self.given = {"weights": weights, "device": device, "transform": transform, "size": size}
        self.given["class_names"] = class_names
        self.backend: Backend = load_backend(
            model, engine=engine, precision=precision, batch_size=batch_size, **self.given
        )

    @overload
    def explain(
        self,
        image: list[Any] | tuple[Any, ...],
        target: Any = None,
        progress: Callable[[Evaluator], None] | bool | None = None,
    ) -> list[Explanation]: ...

    @overload
    def explain(
        self,
        image: Any,
        target: int | str | None = None,
        progress: Callable[[Evaluator], None] | bool | None = None,
    ) -> Explanation: ...

    @alone()  # before any clock runs: of several threads one searches at a time
    def explain(
        self,
        image: Any,
        target: Any = None,
        progress: Callable[[Evaluator], None] | bool | None = None,
    ) -> Explanation | list[Explanation]:
        """Explain the model's answer on one image, or on each of a list of images.

        Of a list, as many images are searched at once as it takes to fill the model's batches.
        Each explanation is the one that its image gets alone. Only where the model's own rounding
        depends on what else is in the batch, as PyTorch's does in the seventh digit, may it
        differ: a search that compares such numbers may take another turn. The same list gives the
        same explanations. ``seconds`` are wall time for each, during which the others work too.

        Parameters
        ----------
        image
            A path, a PIL image, an array or a tensor; see :func:`~deap_xai.images.load_image`.
            Or a list or tuple of these.
        target
            Index or name of the class to explain; None takes the most probable one. For a list
            of images one for all of them, or as many in a list or array.
        progress
            Called with the evaluator after every batch of model calls under its own fill; True
            shows a progress bar, in a notebook a widget.

        Returns
        -------
        The explanation, or a list of them in the images' order. Ctrl-C during the search gives
        the best so far, with a warning in it.

        Raises
        ------
        SomeImagesFailed
            If images of a list can't be explained, or weren't begun before Ctrl-C, after all
            others are done; it carries their explanations.
        """
        listed = isinstance(image, list | tuple)
        # A list of nothing but lists is pixels or nested: what to give is told by load_image.
        if listed and not (image and all(isinstance(one, list | tuple) for one in image)):
            self.check_roles()  # now, not once for each image
            return self._explain_together(image, target, progress)
        if progress is True:
            with progress_bar(image_name(image), self.picked) as report:
                return self.explain(image, target, report)
        start = time.perf_counter()
        evaluator, notes = self._evaluator(image, target, self.limits)
        evaluator.on_batch = progress or None
        notes += unheeded(self._algorithm, [*map(told, self.objectives)], self.operators)
        fitness = Fitness(evaluator, self.objectives)
        notes += self._search_and_drop(evaluator, fitness)
        return self._conclude(evaluator, fitness, notes, start)

    def _explain_together(
        self, images: Sequence[Any], target: Any, progress: Any
    ) -> list[Explanation]:
        one_each = isinstance(target, list | tuple) or getattr(target, "ndim", 0) == 1
        targets = list(target) if one_each else [target] * len(images)
        if len(targets) != len(images):
            raise SettingError(
                f"got {len(targets)} targets for {len(images)} images; give one for each, or one "
                "for all"
            )

        def explain(backend: Backend, image: Any, target: int | str | None) -> Explanation:
            twin = copy.copy(self)
            twin.backend = backend
            return twin.explain(image, target, progress)

        for one in images if self.backend.measure_batch_size else ():
            with suppress(Exception):  # what is wrong with it is told when its turn comes
                self.evaluator(one, 0)
                break
        jobs = [
            partial(explain, image=one, target=its)
            for one, its in zip(images, targets, strict=True)
        ]
        return together(jobs, self.backend, at_once=-(-self.backend.batch_size // ASKED))

    def search(self, evaluator: Evaluator, fitness: Fitness | None = None) -> Any:
        """Run the algorithm on an evaluator until its budget ends; all it asked is in the archive.

        This is the search alone, without the checks of :meth:`explain`: the full and the empty
        view first, then whatever the algorithm asks. A fitness function that is given is the one
        that is called: of this evaluator and these objectives. Returns what the algorithm does, in
        DEAP's way the last population and a logbook; None where the budget ended before it did.
        """
        self.check_roles()
        with one_blas_thread(), seeded(self.seed), suppress(BudgetExhausted):
            for mask in full_and_empty(evaluator.n_segments):
                # One by one, as when the full view tells the target: last digits may depend on it.
                evaluator.probabilities(mask[None])
            toolbox = make_toolbox(evaluator, self.objectives, self.operators, self.seed, fitness)
            return self._algorithm(toolbox.population(n=self.population), toolbox)
        return None

    def evaluator(self, image: Any, target: int | str | None = None) -> Evaluator:
        """The batching, memoising evaluator of one image, with the budget that was given.

        It asks the engine that was chosen; its ``reference`` asks the model itself.
        """
        budget = partial(Budget, self.budget, self.seconds, self.patience)
        return self._evaluator(image, target, budget)[0]

    def picked(self, evaluator: Evaluator) -> FrontPoint:
        """The point of the front that an explanation would show now; nothing is asked.

        Raises
        ------
        SettingError
            If no mask was evaluated yet that keeps anything.
        """
        points = front(evaluator.archive)
        if not points:
            raise SettingError("the budget ended before the search asked about a mask; raise it")
        full, _ = evaluator.archive.known(full_and_empty(evaluator.n_segments))
        return picked_by(self._pick, points, float(full))

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

    def check_roles(self) -> None:
        """Refuse operators for which a named algorithm has no role; a :meth:`toolbox` takes any."""
        if isinstance(self.algorithm, str):  # a function of the user's may want any role
            check_roles(self.operators, defaults_of(self._algorithm).operators)

    def limits(self) -> Budget:
        """The budget that was given, or the default where none was."""
        budget = Budget(self.budget, self.seconds, self.patience)
        return budget if budget.limited else Budget(BUDGET)

    def _evaluator(
        self, image: Any, target: int | str | None, budget: Callable[[], Budget]
    ) -> tuple[Evaluator, list[str]]:
        picture = load_image(image)
        view = self.backend.view(picture)
        with seeded(self.seed):  # a segmenter or a fill of the user's may draw
            segments, notes = segment(view, self.segments)
            masked_view = MaskedView(view, segments, fill_view(view, segments, self.fill))
        notes += unseen(picture, view)
        index = None if target is None else class_index(target, self.backend.class_names)
        settle_batch_size(self.backend, masked_view)
        # Only now does the clock run: what is measured once is no part of the search.
        return Evaluator(self.backend, masked_view, index, budget()), notes

    def _search_and_drop(self, evaluator: Evaluator, fitness: Fitness) -> list[str]:
        """Run the algorithm, then try to drop what isn't needed; says if it was interrupted."""
        budget = evaluator.budget
        confirms = evaluator.reference is not evaluator
        held, few = reserve(budget.calls, confirms)
        more = 0.15 * confirms
        try:
            with budget.holding_back(held, 0.15 + more):
                found, cut = self.search(evaluator, fitness), not budget.allowed(1)
            patience, budget.patience = budget.patience, None  # neither dropping nor checks lose it
            most = patience and max(patience, evaluator.n_segments)  # a whole round at least
            with suppress(BudgetExhausted), budget.holding_back(few, 0.05 + more, most):
                self._drop(evaluator)
        except KeyboardInterrupt:
            if len(evaluator.archive) == 0:
                raise
            budget.calls = budget.spent  # whoever pressed Ctrl-C doesn't wait for checks either
            return [SEARCH_INTERRUPTED]
        return unbred(found, len(fitness.evaluated), cut)

    def _drop(self, evaluator: Evaluator) -> None:
        """Ask for the picked mask without each of its superpixels, until none can go."""
        tried = None
        while tried is None or (self.picked(evaluator).mask != tried).any():
            tried = self.picked(evaluator).mask
            evaluator.probabilities(without_each(tried))

    def _conclude(
        self, evaluator: Evaluator, fitness: Fitness, notes: list[str], start: float
    ) -> Explanation:
        found = self.picked(evaluator).mask
        own = finished(lambda: confirm(evaluator, found), evaluator.budget, notes)
        before = len(own.archive)
        picked, checks, told_of_better = finished(
            lambda: checked(own, self.picked, self.seed), evaluator.budget, notes
        )
        notes += told_of_better
        if own is not evaluator.reference:
            notes.append(
                "the model itself was not asked about the kept part: all numbers are those of "
                f"{self.backend.engine} in {self.backend.precision}"
            )
        full, empty = own.archive.known(full_and_empty(own.n_segments)).tolist()
        notes += cautions(own, len(evaluator.archive), len(fitness.evaluated), picked.mask, before)
        notes += unmet(self._pick, self.picked(own))
        return Explanation(
            mask=picked.mask,
            segments=evaluator.masked_view.segments,
            view=evaluator.masked_view.view,
            fill=evaluator.masked_view.fill,
            target=evaluator.target,
            target_name=class_name(evaluator.target, self.backend.class_names),
            probability=picked.probability,
            probability_full=full,
            probability_empty=empty,
            attribution=finished(partial(attribution, evaluator), evaluator.budget, notes),
            archive=evaluator.archive,
            checks=checks,
            model_calls=evaluator.calls,
            seconds=time.perf_counter() - start,
            seed=self.seed,
            settings=(settings := {**self.settings(), "target": evaluator.asked}),
            pareto=fitness.pareto(settings["objectives"]),
            warnings=tuple(notes),
            reference=None if own is evaluator else own.archive,
        )

    def settings(self) -> dict[str, Any]:
        """Every setting, in values that JSON knows; functions and arrays by a name."""
        return described(self)
