"""The surrogate-assisted genetic algorithm: breed many, ask about few."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.algorithms.registration import (
    algorithm,
    evaluate,
    generations,
    new_logbook,
    record,
)
from deap_xai.archive import best_by_size, front_rows, full_and_empty, mask_keys
from deap_xai.errors import BudgetExhausted, OperatorError, SettingError
from deap_xai.metrics import nested
from deap_xai.surrogate import Ranking
from deap_xai.typing import Masks
from deap_xai.wording import shortened

__all__ = ["eaSurrogate"]

SETTLED = 150
"""Model calls after which the front has all but settled, and the ranking gets its share."""

LEAST, GROWTH = 2, 24
"""Model calls of a generation: one for so many made before, for each early answer changes a lot of
what the model believes, and so many at least."""

NESTED = 2 / 3
"""Share of the pool that is nested along weights: it costs least to make. Of the rest, half is bred
from the front, half from what promises most."""

PARENTS = 24
"""Candidates, at most, from which others are bred before any is asked about."""

RANKING_SHARE = 0.8
"""Share of the later model calls that go to the ranking, at most."""

TRIES, ENUMERABLE = 3, 16
"""Random pools that are tried where all that is bred is known; and superpixels up to which all
masks there are are looked through then."""

LEARNS = ("update", "predict", "predict_jointly", "weights", "sample_weights")
"""What a surrogate can do."""

Shares = NDArray[np.float64]


@algorithm(
    fixed=True, idle=("select",),
    mutate="mutStep", surrogate="GaussianProcess", acquire="acqExpectedGain",
)  # fmt: skip
def eaSurrogate(
    population: list[Any],
    toolbox: Any,
    batch: int = 8,
    pool: int = 720,
    cxpb: float = 0.25,
    ngen: int | None = None,
    stats: Any = None,
    halloffame: Any = None,
    verbose: bool = False,
) -> tuple[list[Any], Any]:
    """Breed many candidates, spend model calls on those that promise most.

    A cheap model (``toolbox.surrogate``) learns every answer. Each generation makes a pool: masks
    nested along weights drawn from the model, offspring of the members of the front by the
    registered operators, and what promised most in the generation before but wasn't asked about.
    ``toolbox.acquire`` picks those that are expected to add most to the front of probability
    against size; from these others are bred, and among all of them it picks the batch to ask
    about. From 150 model calls on, up to four fifths go to masks that decide the ranking of
    superpixels, complements among them.

    The trajectory doesn't depend on the budget: a longer run begins as a shorter one. Fitness
    doesn't guide it: whatever the objectives, it searches for probability against size.

    Parameters
    ----------
    population
        Candidates of the first generation beside the model's own; those with a fitness, of a
        former run on the same toolbox, are where the front begins.
    toolbox
        With ``evaluate``, ``map``, ``clone``, ``mate``, ``mutate``, ``surrogate``, ``acquire``.
    batch
        Model calls of one generation, at most. The first generations have 2, later ones a
        twenty-fourth of the calls so far.
    pool
        Candidates of one generation, about: two thirds nested, a sixth bred from the front, a sixth
        from the most promising of these.
    cxpb
        Probability that an offspring is mated; else it is mutated.
    ngen, stats, halloffame, verbose
        As for :func:`~deap_xai.algorithms.eaElitist`.

    Returns
    -------
    The front's individuals from small to large, and a ``deap.tools.Logbook``.

    Raises
    ------
    SettingError
        If ``batch`` or ``pool`` is under 1.
    """
    if min(batch, pool) < 1:
        raise SettingError(f"batch and pool must be 1 at least; got {batch} and {pool}")
    logbook = new_logbook(stats)
    search = _Search(population, toolbox, pool, cxpb)
    new, nevals = search.ask(full_and_empty(toolbox.evaluator.n_segments))
    for gen in generations(toolbox, ngen):
        if new:
            record(logbook, stats, halloffame, new, verbose, gen=gen - 1, nevals=nevals)
        masks = search.next_masks(min(batch, max(LEAST, len(search.archive) // GROWTH)))
        if not len(masks):  # every mask there is has been evaluated
            new = []  # and recorded
            break
        new, nevals = search.ask(masks)
    if new:
        record(logbook, stats, halloffame, new, verbose, gen=len(logbook), nevals=nevals)
    population[:] = search.front or population
    return population, logbook


class _Search:
    """The state of one run."""

    def __init__(self, population: list[Any], toolbox: Any, pool: int, cxpb: float) -> None:
        self.toolbox, self.archive = toolbox, toolbox.evaluator.archive
        self.front: list[Any] = []
        known = self.archive.find_all(np.array(population, bool)) >= 0
        known &= [individual.fitness.valid for individual in population]
        self._fresh = [population[row] for row in np.flatnonzero(~known)]
        self._make, self._pool, self._cxpb = type(population[0]), pool, cxpb
        on_masks: Any = getattr(toolbox, "on_masks", {}.get)  # DEAP's own toolbox hasn't got it
        self._on_masks = [on_masks(role) for role in ("mate", "mutate")]
        if lacking := [role for role in ("surrogate", "acquire") if not hasattr(toolbox, role)]:
            raise SettingError(
                f"eaSurrogate needs toolbox.{' and toolbox.'.join(lacking)}; take the toolbox of "
                "Explainer(model, algorithm='eaSurrogate'), which has them"
            )
        self._model = toolbox.surrogate()
        if lacking := [name for name in LEARNS if not hasattr(self._model, name)]:
            raise OperatorError(
                f"the operator 'surrogate' made {shortened(self._model)}, which has no "
                f"{', '.join(lacking)}; expected a model such as GaussianProcess"
            )
        self._ranking = Ranking(self.archive, self._model)
        self._asked = self._asked_for_ranking = 0
        self._best = np.zeros(toolbox.evaluator.n_segments + 1)
        self._promising = np.zeros((0, toolbox.evaluator.n_segments), bool)
        # Of a former run, which this one goes on with; answered from memory, for a fitness may come
        # from another toolbox.
        before = [toolbox.clone(population[row]) for row in np.flatnonzero(known)]
        for individual in before:
            del individual.fitness.values
        self._keep_front(evaluate(before, toolbox)[0])

    def ask(self, masks: Masks) -> tuple[list[Any], int]:
        """Evaluate masks, learn what the archive has gained, keep the front."""
        individuals = [self._make(row) for row in masks.astype(int).tolist()]
        with suppress(BudgetExhausted):  # objectives may leave the probability out
            self.toolbox.evaluator.probabilities(masks)
        individuals, nevals = evaluate(individuals, self.toolbox)
        gained = slice(self._asked, len(self.archive))
        masks, p = self.archive.masks[gained], self.archive.probabilities[gained]
        if len(masks):  # time may have run out amid the thinking
            self._model.update(masks, self.toolbox.evaluator.answers(masks))
            self._best = np.maximum(self._best, best_by_size(masks, p))
        self._asked = len(self.archive)
        self._keep_front(individuals)
        return individuals, nevals

    def next_masks(self, n: int) -> Masks:
        """The masks to ask about next, n at most."""
        masks = self._for_ranking(n)
        if len(masks) == n:
            return masks
        return np.concatenate([masks, self._for_front(n - len(masks), masks)])

    def _for_ranking(self, n: int) -> Masks:
        due = RANKING_SHARE * (self._asked - SETTLED)
        if self._asked_for_ranking >= due:
            return np.zeros((0, self._width), bool)
        # What it leaves counts as well, so that a settled order isn't thought about each time.
        self._asked_for_ranking += n
        return self._ranking.questions(n, self.toolbox.rng)

    def _for_front(self, n: int, taken: Masks) -> Masks:
        pool = self._unknown(np.concatenate([self._promising, self._bred()]), taken)
        if not len(pool):
            pool = self._unseen(taken)
        if not len(pool):
            return pool
        parents = self._acquired(pool, n)[:PARENTS]
        children = self._offspring([self._make(row) for row in parents.astype(int).tolist()])
        best = self._acquired(self._unknown(np.concatenate([parents, children]), taken), n)
        self._promising = best[n:]
        return best[:n]

    def _unseen(self, taken: Masks) -> Masks:
        """Random masks, where all that is bred is known; none where there are no others."""
        rng = self.toolbox.rng
        for _ in range(TRIES):
            pool = self._unknown(rng.random((self._pool, self._width)) < 0.5, taken)
            if len(pool):
                return pool
        if self._width > ENUMERABLE:
            return pool
        numbers = rng.permutation(2**self._width)
        every = (numbers[:, None] >> np.arange(self._width)) % 2 == 1
        return self._unknown(every, taken)[: self._pool]

    def _acquired(self, pool: Masks, n: int) -> Masks:
        """What promises most: n of the pool to ask about, then others to breed from."""
        chosen = self.toolbox.acquire(pool, self._model, self._best, self._full(), n)
        rows = np.asarray(chosen)
        if (
            rows.ndim != 1
            or not len(rows)
            or rows.dtype.kind not in "iu"
            or not 0 <= rows.min() <= rows.max() < len(pool)
        ):
            raise OperatorError(
                f"the operator 'acquire' returned {shortened(chosen)} for {len(pool)} candidates; "
                "expected the indices of those to ask about"
            )
        return pool[rows]

    @property
    def _width(self) -> int:
        return len(self._best) - 1

    def _full(self) -> float:
        (full,) = self.archive.known(np.ones((1, self._width), bool))
        return float(self._best[-1] if np.isnan(full) else full)

    def _keep_front(self, individuals: list[Any]) -> None:
        candidates = self.front + individuals
        masks = np.array(candidates, bool).reshape(-1, self._width)
        places = self.archive.find_all(masks)
        # The budget may end before the probability of one whose fitness costs no model call.
        known = np.flatnonzero(places >= 0)
        rows = front_rows(masks[known], self.archive.probabilities[places[known]])
        self.front = [candidates[known[row]] for row in rows]

    def _bred(self) -> Masks:
        """Masks nested along drawn weights, and offspring of the front."""
        draws = max(2, round(self._pool * NESTED / self._width))
        draws *= 1 if len(self.archive) > 2 else 2
        weights = self._model.sample_weights(draws, self.toolbox.rng)
        parts = [nested(one)[1:-1] for one in weights]
        fresh = np.array(self._fresh, bool).reshape(-1, self._width)
        self._fresh = []
        return np.concatenate([*parts, fresh, self._offspring(self.front)])

    def _offspring(self, parents: list[Any]) -> Masks:
        """Bred by the registered operators; none where there are no parents."""
        n = round(self._pool * (1 - NESTED) / 2) if parents else 0
        chance = self.toolbox.rng.random((n, 3))
        if n and None not in self._on_masks:
            return self._children(np.array(parents, bool), *chance.T)
        children = [self._child(parents, *draws) for draws in chance.tolist()]
        return np.array(children, bool).reshape(-1, self._width)

    def _children(self, parents: Masks, one: Shares, two: Shares, way: Shares) -> Masks:
        """What :meth:`_child` makes one by one, by operators that take many masks at once."""
        children = parents[(one * len(parents)).astype(int)]
        others = parents[(two * len(parents)).astype(int)]
        mated = way < self._cxpb
        mate, mutate = self._on_masks
        children[mated], _ = mate(children[mated], others[mated])
        children[~mated] = mutate(children[~mated])
        return children

    def _child(self, parents: list[Any], one: float, two: float, way: float) -> Any:
        clone = self.toolbox.clone
        child = clone(parents[int(one * len(parents))])
        if way < self._cxpb:
            child, _ = self.toolbox.mate(child, clone(parents[int(two * len(parents))]))
        else:
            (child,) = self.toolbox.mutate(child)
        return child

    def _unknown(self, masks: Masks, taken: Masks) -> Masks:
        """Those neither evaluated yet nor taken, each once."""
        new = np.flatnonzero(self.archive.find_all(masks) < 0)
        first = dict(zip(mask_keys(masks[new])[::-1], new[::-1].tolist(), strict=True))
        for key in mask_keys(taken):
            first.pop(key, None)
        return masks[sorted(first.values())]
