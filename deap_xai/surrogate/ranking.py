"""An order of superpixels, the most important first, from all that was evaluated."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import Archive, full_and_empty, mask_keys
from deap_xai.metrics.areas import first_kept
from deap_xai.surrogate.gaussian_process import sigmoid
from deap_xai.typing import Mask, Masks

__all__ = ["Ranking"]

Order = NDArray[np.intp]

TRADE, LEAST = 2.0, 0.001
"""Deletion's weight: the one by the square of what mean insertion falls short of 1, plus the other.
Where a few superpixels nearly suffice, orders differ little in insertion, and a fixed weight would
outvote that."""

FIRST, THEN, LEAD = 0.03, 10.0, 0.5
"""Parts of that weight when concluding: little at first, which shows what insertion there is, then
much; and the part of its lead on greedy search's order that insertion keeps meanwhile."""

GROWN = 64
"""Steps, about, in which greedy search's order is guessed: of more superpixels several at once."""

DOUBT, HOPES = 0.5, (0.5, 1.0, 2.0)
"""Standard deviations of the logit by which a guess is taken for worse than it is when concluding,
and for better when asking, more where less leads to too few questions: what nobody looked at is
worth a look, but no ground for a claim."""

SAME = 1e-9
"""A gain or loss below this is none."""

LOOKED_AT, STEPS = 360, 4
"""Masks, about, that one round of climbing looks at, but those of one superpixel at least; and
rounds to the order that is asked about."""

WIDTH = 10
"""Masks of each size, the best ones, through which a chain may pass."""

GAPS = (0.0, 0.05)
"""What a chain loses by each size at which it passes through no evaluated mask."""


class Ranking:
    """An order under which revealing raises the probability early and hiding lowers it early.

    The value of an order is the sum of the probabilities with the first k kept, less ``trade``
    times those with the first k hidden, k = 1..S: insertion and deletion AUC up to factors. Masks
    that were evaluated count as they came out. Others count as the model guesses, half a standard
    deviation for the worse: so a guess displaces what was evaluated only where it promises more
    even then.

    Parameters
    ----------
    archive
        What was evaluated; it may grow.
    model
        With ``predict`` and ``weights``, as :class:`GaussianProcess` has them.

    Attributes
    ----------
    order
        Superpixels, the most important first: (S,).
    trade
        Weight of deletion beside insertion. :meth:`settle` sets it before it chooses: 0.001 plus
        2 (1 - I)^2, times a part. I is the mean probability with the first k kept, in the order
        that it had, by plain guesses.
    floor
        Sum of the probabilities with the first k kept, 0 < k < S, below which no order is taken.
    """

    def __init__(self, archive: Archive, model: Any) -> None:
        self._archive, self._model = archive, model
        self._best, self._seen = np.zeros(0, int), 0  # the best of each size, of so many masks
        self._hoped: list[Order] = []  # those last asked about
        self._looked_up: _Beliefs | None = None
        self.order: Order = np.arange(archive.masks.shape[1])
        self.trade, self.floor = TRADE, -np.inf

    def settle(self, part: float = 1.0) -> None:
        """Take a better order, where the archive suggests one."""
        short = 1 - float(self._belief(first_kept(self.order)[1:], 0).mean())
        self.trade = part * (LEAST + TRADE * short**2)
        orders = [self.order, *self._hoped, *self._suggestions()]
        self.order = orders[int(self.values(orders).argmax())]

    def climb(self, some: Order) -> None:
        """Take an order one move of some superpixels away, where one is better even with doubt."""
        self.order = self.better(self.order, some, -DOUBT)

    def questions(self, n: int, rng: np.random.Generator) -> Masks:
        """Up to n masks not evaluated yet that decide the order: (n, S).

        First those of the order itself: up to a quarter with its first superpixels hidden, then
        those with them kept. What is still missing comes from orders some moves away that are
        better if guesses err by half a standard deviation, by one, by two.
        """
        self.settle()
        self.climb(self._parts(rng)[0])
        kept = first_kept(self.order)[1:]
        none = kept[:0]
        found: dict[bytes, Mask] = {}
        _add(found, self._doubtful(none, ~kept), n // 4)
        _add(found, self._doubtful(kept, none), n)
        self._hoped = []
        for hope in HOPES:
            if len(found) < n:
                self._hoped.append(self._far(rng, hope))
                kept = first_kept(self._hoped[-1])[1:]
                _add(found, self._doubtful(kept, ~kept), n)
        return np.array(list(found.values()), bool).reshape(-1, len(self.order))

    def attribution(self, rng: np.random.Generator, rounds: int) -> NDArray[np.float64]:
        """The model's weights, dealt out in the order that is best founded: (S,), in log-odds.

        First insertion is raised, then deletion lowered as long as insertion keeps half of its lead
        on the order that greedy search would find, by plain guesses; all of it, where it has none.
        Each time at most so many rounds of climbing; fewer, where no superpixel's move is a gain
        any more.
        """
        # Until it is done neither the model nor the archive changes.
        self._looked_up = _Beliefs(self._archive, self._model)
        self._conclude(rng, rounds, FIRST)
        most = self._insertion(self.order, -DOUBT)
        self.floor = most - (1 - LEAD) * max(most - self._insertion(self._grown(), 0), 0)
        self._conclude(rng, rounds, THEN)
        self._looked_up, self.floor = None, -np.inf
        values = np.empty(len(self.order))
        values[self.order] = np.sort(self._model.weights())[::-1]
        return values

    def _conclude(self, rng: np.random.Generator, rounds: int, part: float) -> None:
        for _ in range(2):  # the first may weigh deletion by a mere numbering
            self.settle(part)
        idle = 0
        for some in islice(cycle(self._parts(rng)), rounds):
            before = self.order
            self.climb(some)
            idle = idle + len(some) if self.order is before else 0
            if idle >= len(self.order):
                break

    def _insertion(self, order: Order, trust: float) -> float:
        """Sum of the probabilities with the first k kept, 0 < k < S."""
        return float(self._belief(first_kept(order)[1:-1], trust).sum())

    def _grown(self) -> Order:
        """The order that two-sided greedy search would find, were plain guesses true.

        In turn the most probable superpixels are added to those kept, from none on, and those least
        missed are left out, from all on.
        """
        kept, full = np.zeros(len(self.order), bool), np.ones(len(self.order), bool)
        first: list[int] = []
        last: list[int] = []
        while (left := np.flatnonzero(full & ~kept)).size:
            mask, end = (kept, first) if len(first) <= len(last) else (full, last)
            masks = np.repeat(mask[None], len(left), axis=0)
            masks[np.arange(len(left)), left] ^= True
            best = left[np.argsort(-self._belief(masks, 0), kind="stable")]
            some = best[: -(-len(self.order) // GROWN)]
            mask[some] ^= True
            end += some.tolist()
        return np.array(first + last[::-1])

    def better(self, order: Order, some: Order, trust: float) -> Order:
        """The best order one move away; the order itself where none gains.

        A move takes one superpixel to another place: all moves of some superpixels are looked at.
        Guesses are taken with so many standard deviations of trust.
        """
        first = first_kept(order)
        kept, hidden = self._sides(first[1:-1], trust)
        now, room = kept - self.trade * hidden, kept.sum() - self.floor
        places = np.flatnonzero(np.isin(order, some)).tolist()
        moved = np.concatenate([_moved(first, order, start) for start in places])
        others, away = self._sides(moved, trust)
        changes = (others - self.trade * away).reshape(len(places), -1) - now
        rises = others.reshape(len(places), -1) - kept
        best, most = order, SAME
        for start, change, rise in zip(places, changes, rises, strict=True):
            gains = _summed(change, start)
            if room < np.inf:  # the search, which asks for no floor, needn't sum
                gains[_summed(rise, start) < -room - SAME] = -np.inf
            end = int(gains.argmax())
            if gains[end] > most:
                best, most = np.insert(np.delete(order, start), end, order[start]), gains[end]
        return best

    def values(self, orders: list[Order]) -> NDArray[np.float64]:
        """The value of each order, higher is better; minus infinity below the floor."""
        chains = np.concatenate([first_kept(order)[1:] for order in orders])
        kept, hidden = (p.reshape(len(orders), -1) for p in self._sides(chains, -DOUBT))
        values: NDArray[np.float64] = (kept - self.trade * hidden).sum(axis=1)
        values[kept[:, :-1].sum(axis=1) < self.floor - SAME] = -np.inf
        return values

    def _parts(self, rng: np.random.Generator) -> list[Order]:
        """All superpixels in random order, in parts of as many as are looked at at once."""
        size = len(self.order)
        drawn, n = rng.permutation(size), max(1, LOOKED_AT // size)
        return [drawn[start : start + n] for start in range(0, size, n)]

    def _far(self, rng: np.random.Generator, hope: float) -> Order:
        """An order some moves away, to which guesses taken with hope lead."""
        order = self.order
        for _ in range(STEPS):
            better = self.better(order, self._parts(rng)[0], hope)
            if better is order:
                break
            order = better
        return order

    def _doubtful(self, kept: Masks, hidden: Masks) -> Masks:
        """Those not evaluated yet, first those whose worth may be furthest above the guess."""
        masks = np.concatenate([kept, hidden])
        sign = np.repeat([1, -self.trade], [len(kept), len(hidden)])
        new = self._archive.find_all(masks) < 0
        if not new.any():
            return masks[:0]
        mean, deviation = self._model.predict(masks[new])
        sign = sign[new]
        above = sign * (sigmoid(mean + np.sign(sign) * deviation) - sigmoid(mean))
        return masks[new][np.argsort(-above, kind="stable")]

    def _worth(self, masks: Masks, trust: float) -> NDArray[np.float64]:
        """What having a mask in an order's chain is worth: (N,).

        Guesses count as ``trust`` standard deviations better than they are, or worse where that is
        below 0. Better is higher for the kept part, lower for the hidden one.
        """
        kept, hidden = self._sides(masks, trust)
        return kept - self.trade * hidden

    def _sides(self, masks: Masks, trust: float) -> tuple[NDArray[np.float64], ...]:
        """What is believed of masks and, guesses the other way, of what they hide: (N,) each."""
        n = len(masks)
        both = self._belief(np.concatenate([masks, ~masks]), np.repeat([trust, -trust], n))
        return both[:n], both[n:]

    def _belief(self, masks: Masks, trust: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (N,): as they came out, or as guessed, so many deviations higher."""
        looked_up = self._looked_up or _Beliefs(self._archive, self._model)
        return looked_up(masks, trust)

    def _suggestions(self) -> list[Order]:
        """Orders by the model's weights, by membership along the front, and by chains."""
        weights = self._model.weights()
        members = self._archive.masks[self._archive.front_rows()]
        n_segments = len(weights)
        # A front mask stands for all sizes up to the next one's.
        steps = np.diff([*members.sum(axis=1), n_segments])
        member = (members * steps[:, None]).sum(axis=0) / n_segments
        rank = np.argsort(np.argsort(weights)) / n_segments
        blends = [member + share * rank for share in (0.01, 0.3, 1.0)]
        blends += [rank + chain for chain in self._longest_chains()]
        return [np.argsort(-blend, kind="stable") for blend in [*blends, weights]]

    def _longest_chains(self) -> list[NDArray[np.float64]]:
        """How many masks of the best chain of nested evaluated ones keep each superpixel: (S,).

        By dynamic programming over the best of each size, one for each of ``GAPS``; between two
        masks of a chain their worth is interpolated, less the gap's loss.
        """
        masks = self._nodes()
        worth = self._worth(masks, -DOUBT)
        sizes, kept = masks.sum(axis=1), masks.astype(np.float32)
        small, large = np.nonzero(kept @ (1 - kept).T == 0)
        gaps, first = sizes[large] - sizes[small], worth[small]
        # From one to the other the sum over t = 1..gap of first + (second - first) t / gap.
        steps = gaps * first + (worth[large] - first) * (gaps + 1) / 2
        chains = []
        for loss in GAPS:
            gains = np.full((len(masks), len(masks)), -np.inf)
            gains[large, small] = steps - loss * (gaps - 1)
            chains.append(_kept(masks, gains))
        return chains

    def _nodes(self) -> Masks:
        """The masks most probable of each size, from the empty to the full one."""
        new = np.arange(self._seen, len(self._archive))
        rows, self._seen = np.r_[self._best, new], len(self._archive)
        sizes, p = self._archive.masks[rows].sum(axis=1), self._archive.probabilities[rows]
        order = np.lexsort((-p, sizes))
        first = np.r_[True, sizes[order][1:] != sizes[order][:-1]]
        place = np.arange(len(order)) - np.flatnonzero(first)[np.cumsum(first) - 1]
        self._best = rows[order[place < WIDTH]]
        masks = self._archive.masks[self._best]
        full, empty = full_and_empty(masks.shape[1])
        inner = masks.any(axis=1) & ~masks.all(axis=1)
        return np.vstack([empty, masks[inner], full])


class _Beliefs:
    """What the archive, or else the model, says of masks; each is looked up once."""

    def __init__(self, archive: Archive, model: Any) -> None:
        self._archive, self._model = archive, model
        self._rows: dict[bytes, int] = {}
        # The probability evaluated, else NaN; mean and standard deviation of the logit guessed.
        self._table = np.zeros((0, 3))

    def __call__(self, masks: Masks, trust: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities (N,): as they came out, or as guessed, so many deviations higher."""
        keys = mask_keys(masks)
        new = [key for key in dict.fromkeys(keys) if key not in self._rows]
        if new:
            self._look_up(new, masks.shape[1])
        p, mean, deviation = self._table[[self._rows[key] for key in keys]].T
        return np.where(np.isnan(p), sigmoid(mean + trust * deviation), p)

    def _look_up(self, keys: list[bytes], n_segments: int) -> None:
        masks = np.frombuffer(b"".join(keys), bool).reshape(-1, n_segments)
        found = np.zeros((len(keys), 3))
        found[:, 0] = self._archive.known(masks)
        unknown = np.isnan(found[:, 0])
        if unknown.any():
            found[unknown, 1], found[unknown, 2] = self._model.predict(masks[unknown])
        self._rows |= zip(keys, range(len(self._rows), len(self._rows) + len(keys)), strict=True)
        self._table = np.concatenate([self._table, found])


def _kept(masks: Masks, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many masks of the chain with the largest sum of steps keep each superpixel: (S,).

    Masks come by size; row j of the steps (N, N) has those to the j-th.
    """
    total, before = np.zeros(len(masks)), np.zeros(len(masks), int)
    starts = np.flatnonzero(np.diff(masks.sum(axis=1))) + 1
    for start, stop in zip(starts, [*starts[1:], len(masks)], strict=True):
        reach = total[:start] + steps[start:stop, :start]
        before[start:stop] = reach.argmax(axis=1)
        total[start:stop] = reach.max(axis=1)
    place, kept = len(masks) - 1, np.zeros(masks.shape[1])
    while place:
        place = before[place]
        kept += masks[place]
    return kept


def _summed(changes: NDArray[np.float64], start: int) -> NDArray[np.float64]:
    """What changes of masks (S - 1,) sum up to if the superpixel at a place goes to each: (S,)."""
    earlier, later = changes[:start][::-1].cumsum()[::-1], changes[start:].cumsum()
    return np.concatenate([earlier, [0], later])


def _moved(first: Masks, order: Order, start: int) -> Masks:
    """What a chain becomes where the superpixel at a place goes elsewhere: (S - 1, S).

    Row r < start, if it goes to r or before: the first r and itself. Row r >= start, if it goes to
    r + 1 or behind: the first r + 2 without itself. ``first`` are masks of the first 0, …, S.
    Of a, b, c, d with b going elsewhere (start 1): row 0 is b; rows 1 and 2 are a c and a c d.
    """
    rows = np.arange(len(order) - 1)
    masks: Masks = first[np.where(rows < start, rows, rows + 2)]
    masks[:, order[start]] = rows < start
    return masks


def _add(found: dict[bytes, Mask], masks: Masks, most: int) -> None:
    """Add masks that aren't there yet, until there are so many."""
    for key, mask in zip(mask_keys(masks), masks, strict=True):
        if len(found) < most:
            found.setdefault(key, mask)
