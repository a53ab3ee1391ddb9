"""From masks to fitness: the evaluator that batches and remembers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import Archive, mask_keys
from deap_xai.backends.base import Backend
from deap_xai.budget import Budget
from deap_xai.errors import BackendError, BudgetExhausted, OperatorError, SettingError
from deap_xai.geometry import Geometry, geometry
from deap_xai.individual import bit_table
from deap_xai.masking import MaskedView, fill_view
from deap_xai.objectives import Objective
from deap_xai.pareto import Pareto, pareto
from deap_xai.registry import behind
from deap_xai.segmentation import adjacency
from deap_xai.typing import Mask, Masks, Probabilities, Segments, View
from deap_xai.views import read_only
from deap_xai.wording import counted

__all__ = ["Evaluator", "Fitness", "ask_all", "batch_map"]


class Evaluator:
    """Answers masks with the target's probability: in batches, each distinct mask once.

    Parameters
    ----------
    backend
        The classifier.
    masked_view
        The view, its segments and its fill.
    target
        Index of the class; None takes the class most probable on the full view, which costs the
        first model call, of the user's own model.
    budget
        Shared by this evaluator, its :attr:`reference` and those that :meth:`under` makes.

    Attributes
    ----------
    target
        Index of the class that is explained.
    archive
        Every distinct mask in the order evaluated, under this fill.
    on_batch
        Called with the evaluator after every batch; None or a function.

    Examples
    --------
    >>> from deap_xai.backends import FunctionBackend
    >>> backend = FunctionBackend(lambda v: np.stack([v.mean((1, 2, 3)) / 255] * 2, 1) / 2)
    >>> view, segments = np.full((2, 2, 3), 255, np.uint8), np.array([[0, 1], [2, 3]], np.int32)
    >>> evaluator = Evaluator(backend, MaskedView(view, segments, view * 0), target=0)
    >>> evaluator.probabilities(np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)).tolist()
    [0.25, 0.25]
    >>> evaluator.calls
    1
    """

    def __init__(
        self,
        backend: Backend,
        masked_view: MaskedView,
        target: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.backend = backend
        self.masked_view = masked_view
        self.budget = budget or Budget()
        self.archive = Archive.empty(masked_view.n_segments)
        self.on_batch: Callable[[Evaluator], None] | None = None
        self._rows: list[Probabilities] = []
        self._spent: list[int] = []
        self._best = np.zeros(masked_view.n_segments + 1, np.float32)
        self._siblings: dict[str, Evaluator] = {}
        if target is not None and target < 0:
            raise SettingError(f"target must be a class index from 0 up; got {target}")
        own = backend.reference
        self.asked = target  # by the user; where nobody asked, the model itself says what is top
        self.target: int
        self._own = None if own is None else Evaluator(own, masked_view, target, self.budget)
        if self._own is not None:
            target = self._own.target
        self.target = -1 if target is None else target
        if target is None:
            full = np.ones((1, self.n_segments), bool)
            rows = self._received(backend.predict_masked(masked_view, full), 1)
            self.target = int(rows[0].argmax())
            self._store(full, rows)

    @property
    def view(self) -> View:
        """The view, (h, w, 3), to read."""
        return read_only(self.masked_view.view)

    @property
    def segments(self) -> Segments:
        """Superpixel labels, (h, w), to read."""
        return read_only(self.masked_view.segments)

    @property
    def n_segments(self) -> int:
        """Number of superpixels, S."""
        return self.masked_view.n_segments

    @property
    def reference(self) -> Evaluator:
        """The evaluator of the user's own model: this one, unless the backend is a stand-in."""
        return self if self._own is None else self._own

    @property
    def calls(self) -> int:
        """Model calls so far: distinct masked views, under every fill asked for."""
        return self.budget.spent

    @property
    def spent(self) -> NDArray[np.int64]:
        """Model calls spent, under every fill, when each mask of the archive was known: (N,)."""
        return np.array(self._spent[: len(self.archive)], np.int64)

    def probabilities(self, masks: Masks, target: int | None = None) -> Probabilities:
        """Probability of the target, or of another class, under each mask.

        Parameters
        ----------
        masks
            (N, S), bool.
        target
            Index of a class; None means :attr:`target`.

        Returns
        -------
        (N,), float32, 0..1.

        Raises
        ------
        BudgetExhausted
            If the budget ends before all of them are evaluated. Those that were are in the
            archive.
        BackendError
            If the model's answer isn't a table of probabilities.
        """
        rows = self._answered(masks)
        column = self.target if target is None else target
        if rows:
            _check_class(column, rows[0])
        return np.array([row[column] for row in rows], np.float32)

    def answers(self, masks: Masks) -> Probabilities:
        """Probability of every class under masks (N, S): (N, C), else as :meth:`probabilities`."""
        rows = self._answered(masks)
        n_classes = len(self._rows[0]) if self._rows else 0
        return np.array(rows, np.float32).reshape(len(rows), n_classes)

    def _answered(self, masks: Masks) -> list[Probabilities]:
        """The model's answer under each mask, new ones evaluated first."""
        masks = self._checked(masks)
        with self.budget.lock:
            if not _evaluate([(self, masks)]):
                raise BudgetExhausted(
                    f"the budget ended after {counted(self.calls, 'model call')}; all that was "
                    "evaluated is in the evaluator's archive"
                )
            return [self._rows[i] for i in self.archive.find_all(masks)]

    @cached_property
    def neighbours(self) -> NDArray[np.bool_]:
        """Which superpixels touch: (S, S), symmetric, to read."""
        return read_only(adjacency(self.segments))

    @cached_property
    def geometry(self) -> Geometry:
        """Places, colours and areas of the superpixels."""
        return geometry(self.segments, self.view)

    def under(self, fill: str) -> Evaluator:
        """The evaluator of the same view under a fill, with the same budget; itself if its own."""
        with self.budget.lock:
            if fill not in self._siblings:
                hidden = fill_view(self.view, self.segments, fill)
                other = MaskedView(self.view, self.segments, hidden)
                # Under the same picture a mask is the same question, by whatever name.
                twins = (self, *self._siblings.values())
                same = (one for one in twins if np.array_equal(one.masked_view.fill, other.fill))
                new = next(same, None) or Evaluator(self.backend, other, self.target, self.budget)
                self._siblings[fill] = new
            return self._siblings[fill]

    def _checked(self, masks: Masks) -> Masks:
        masks = np.asarray(masks)
        self.masked_view.check_masks(masks)
        return masks

    def _received(self, rows: Any, n: int) -> Probabilities:
        """The answers to n model calls, counted and checked."""
        first = self.budget.spent + 1
        self.budget.spent += n
        rows = _checked_probabilities(rows, n, self.backend)
        _check_class(max(self.target, 0), rows[0])
        if self._rows and rows.shape[1] != len(self._rows[0]):
            raise BackendError(
                f"{self.backend.name} answered with {rows.shape[1]} classes, and with "
                f"{len(self._rows[0])} before; expected as many each time"
            )
        names = self.backend.class_names
        if names is not None and len(names) != rows.shape[1]:
            raise SettingError(
                f"got {len(names)} class names for a model that answers with {rows.shape[1]} "
                "classes; give one a class"
            )
        self._spent += range(first, first + n)
        return rows

    def _store(self, masks: Masks, rows: Probabilities) -> None:
        values = rows[:, self.target]
        self._rows.extend(rows)
        self.archive.add(masks, values)
        self._note_gain(masks.sum(axis=1), values)
        if self.on_batch is not None:
            self.on_batch(self)

    def _note_gain(self, sizes: np.ndarray[Any, Any], values: Probabilities) -> None:
        for i in np.flatnonzero(values > self._best[sizes]).tolist():
            if values[i] > self._best[sizes[i]]:  # of those before it in the batch too
                self._best[sizes[i] :] = np.maximum(self._best[sizes[i] :], values[i])
                known_at = self._spent[len(self._spent) - len(values) + i]
                self.budget.last_gain = max(self.budget.last_gain, known_at)


def ask_all(questions: Sequence[tuple[Evaluator, Masks]]) -> list[NDArray[np.float64]]:
    """The target's probability under masks of several evaluators, asked about in one batch.

    Parameters
    ----------
    questions
        Evaluators that share a backend and a budget, as those that :meth:`Evaluator.under` makes,
        each with masks (N, S). What comes first is asked first.

    Returns
    -------
    (N,), float64, 0..1, a question; NaN for masks that the budget no longer reaches.
    """
    _evaluate(questions)
    return [one.archive.known(masks) for one, masks in questions]


def _evaluate(questions: Sequence[tuple[Evaluator, Masks]]) -> bool:
    """Evaluate what isn't known yet, as far as the budget reaches; whether it reached all."""
    new: dict[tuple[Evaluator, bytes], Mask] = {}
    for one, masks in questions:
        masks = one._checked(masks)
        unknown = masks[one.archive.find_all(masks) < 0]
        for key, mask in zip(mask_keys(unknown), unknown, strict=True):
            new.setdefault((one, key), mask)
    asked = [(one, mask) for (one, _), mask in new.items()]
    if not asked:
        return True
    backend, budget = asked[0][0].backend, asked[0][0].budget
    # With a deadline, look at the clock between chunks; else a generation is one batch.
    step = len(asked) if budget.seconds is None else backend.batch_size
    while asked:
        allowed = budget.allowed(min(step, len(asked)))
        if not allowed:
            return False
        _ask(backend, asked[:allowed])
        asked = asked[allowed:]
    return True


def _ask(backend: Backend, asked: Sequence[tuple[Evaluator, Mask]]) -> None:
    """Have a backend answer masks, each of an evaluator, and store what it says."""
    of: dict[Evaluator, list[Mask]] = {}
    for one, mask in asked:
        of.setdefault(one, []).append(mask)
    questions = [(one.masked_view, np.array(masks)) for one, masks in of.items()]
    if len(questions) > 1:  # a view alone is asked about as this backend draws it
        answers = backend.predict_masked_many(questions)
    else:
        answers = [backend.predict_masked(*question) for question in questions]
    tables = [
        one._received(rows, len(masks))
        for (one, masks), rows in zip(of.items(), answers, strict=True)
    ]
    for one, (_, masks), rows in zip(of, questions, tables, strict=True):
        one._store(masks, rows)  # whoever is told of it finds all of them counted


class Fitness:
    """The fitness of individuals: an evaluator and the objectives read off it.

    Called with one individual it gives its fitness values, as DEAP's ``toolbox.evaluate`` does;
    :meth:`batch` gives those of many, with a batch of model calls an objective. ``evaluated`` has
    the values of each distinct individual so far, by its mask's bytes.
    """

    def __init__(self, evaluator: Evaluator, objectives: Sequence[Objective]) -> None:
        self.evaluator = evaluator
        self.objectives = objectives
        self.evaluated: dict[bytes, tuple[float, ...]] = {}

    def __copy__(self) -> Fitness:
        return Fitness(self.evaluator, self.objectives)

    def __deepcopy__(self, memo: dict[int, Any]) -> Fitness:
        return Fitness(copy.deepcopy(self.evaluator, memo), self.objectives)

    def __reduce__(self) -> Any:
        raise SettingError(
            "fitness can't go to another process: its evaluator batches, counts and remembers "
            "model calls in this one; leave toolbox.map as it is, which evaluates a generation in "
            "one batch"
        )

    def __call__(self, individual: Sequence[int]) -> tuple[float, ...]:
        """Fitness values of one individual: one number an objective."""
        return self.batch([individual])[0]

    def batch(self, individuals: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """Fitness values of many individuals; what an objective asks about them is one batch."""
        if len(individuals) == 0:
            return []
        masks = self._masks(individuals)
        # Copies: one of the user's that works in place must not change what the others see.
        columns = [objective(self.evaluator, masks.copy()) for objective in self.objectives]
        found = [tuple(map(float, values)) for values in zip(*columns, strict=True)]
        self.evaluated.update(zip(mask_keys(masks), found, strict=True))
        return found

    def pareto(self, names: Sequence[str]) -> Pareto:
        """What was evaluated and isn't dominated, with a name for each objective."""
        masks = np.frombuffer(b"".join(self.evaluated), bool).reshape(-1, self.evaluator.n_segments)
        values = np.array(list(self.evaluated.values())).reshape(-1, len(self.objectives))
        return pareto(names, [objective.weight for objective in self.objectives], masks, values)

    def _masks(self, individuals: Sequence[Sequence[int]]) -> Masks:
        n_segments = self.evaluator.n_segments
        for individual in individuals:
            if len(individual) != n_segments:
                raise OperatorError(
                    f"an individual has {len(individual)} bits, expected {n_segments}: an operator "
                    "must not change the length"
                )
        bits = bit_table(individuals)
        wrong = (bits != 0) & (bits != 1)
        if wrong.any():
            raise OperatorError(
                f"an individual holds {bits[wrong][0]!r}, expected only the bits "
                "0 and 1: an operator or initialiser must write nothing else"
            )
        return bits.astype(bool)


def batch_map(function: Callable[..., Any], *iterables: Any) -> list[Any]:
    """A ``map`` for ``toolbox.map`` that hands whole lists to functions with a ``batch`` method.

    Anything else it applies one by one, like the built-in.

    Examples
    --------
    >>> batch_map(abs, [-1, 2])
    [1, 2]
    """
    inner = behind(function)  # toolbox.register makes a partial
    bound = getattr(function, "args", ()) or getattr(function, "keywords", {})
    if isinstance(inner, Fitness) and not bound and len(iterables) == 1:
        return inner.batch(list(iterables[0]))
    return list(map(function, *iterables))


def _check_class(target: int, row: Probabilities) -> None:
    if not 0 <= target < len(row):
        raise SettingError(
            f"this model has no class {target}; its {len(row)} classes are 0..{len(row) - 1}"
        )


def _checked_probabilities(rows: Any, n: int, backend: Backend) -> Probabilities:
    rows = backend.table(rows, n, own=True)
    advice = "predict must return probabilities: an array (N, classes) of numbers in 0..1"
    if rows.dtype.kind not in "fiu":
        raise BackendError(f"{backend.name} answered with {rows.dtype}, expected floats; {advice}")
    low, high = float(rows.min()), float(rows.max())  # NaN, if one of them is
    if not np.isfinite([low, high]).all():
        raise BackendError(f"{backend.name} answered with NaN or infinity; {advice}")
    if low < -1e-4 or high > 1 + 1e-4:
        raise BackendError(
            f"{backend.name} answered with values from {low:.4g} to {high:.4g}; {advice}. "
            "If these are logits, apply a softmax"
        )
    return np.clip(rows, 0, 1).astype(np.float32, copy=False)
