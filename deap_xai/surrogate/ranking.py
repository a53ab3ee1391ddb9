"""An order of superpixels, the most important first, from all that was evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import Archive, mask_keys
from deap_xai.typing import Masks

__all__ = ["Ranking"]

Order = NDArray[np.intp]

TRADE = 0.05
"""What deletion counts beside insertion, which is the harder to win."""

HOPE, DOUBT = 0.5, 1.0
"""Standard deviations of the logit by which a guess is taken for better than it is when asking,
and for worse when concluding: what nobody looked at is worth a look, but no ground for a claim."""

MOVES, REACH = 12, 8
"""Orders tried in a round, and how many places a superpixel moves at most."""

WIDTH = 6
"""Masks of each size, the best ones, through which a chain may pass."""


class Ranking:
    """An order under which revealing raises the probability early and hiding lowers it early.

    The value of an order is the sum of the probabilities with the first k kept, minus a
    twentieth of those with the first k hidden, k = 1..S: insertion and deletion AUC up to factors.
    Masks that were evaluated count as they came out, others as the model guesses. The order is
    improved by moving one superpixel at a time.

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
    """

    def __init__(self, archive: Archive, model: Any) -> None:
        self._archive, self._model, self._trust = archive, model, HOPE
        self._best, self._seen = np.zeros(0, int), 0  # the best of each size, of so many masks
        self.order: Order = np.arange(archive.masks.shape[1])

    def settle(self) -> None:
        """Take a better start, where the archive suggests one."""
        orders = [self.order, *self._suggestions()]
        self.order = orders[int(self.values(orders).argmax())]

    def improve(self, rng: np.random.Generator, rounds: int = 3) -> list[Order]:
        """Climb by single moves; the last round's proposals, the best first."""
        proposals: list[Order] = []
        for _ in range(rounds):
            tried = [self._moved(rng) for _ in range(MOVES)]
            values = self.values([self.order, *tried])
            proposals = [tried[i] for i in np.argsort(-values[1:], kind="stable")]
            if values[1:].max() > values[0] + 1e-9:
                self.order = proposals[0]
        return proposals

    def questions(self, n: int, rng: np.random.Generator) -> Masks:
        """Up to n masks not evaluated yet that decide the order: (n, S)."""
        self.settle()
        found: list[NDArray[np.bool_]] = []
        for order in [self.order, *self.improve(rng)]:
            chains = _chains(order)
            new = chains[self._archive.find_all(chains) < 0]
            keys = {mask.tobytes() for mask in found}
            unknown = [mask for mask in new if mask.tobytes() not in keys]
            chosen = rng.permutation(len(unknown))[: n - len(found)]
            found += [unknown[i] for i in chosen]
        return np.array(found, bool).reshape(-1, len(self.order))

    def attribution(self, rng: np.random.Generator, rounds: int) -> NDArray[np.float64]:
        """The model's weights, dealt out in the order that is best founded: (S,), in log-odds."""
        self._trust = -DOUBT
        self.settle()
        self.improve(rng, rounds)
        values = np.empty(len(self.order))
        values[self.order] = np.sort(self._model.weights())[::-1]
        return values

    def values(self, orders: list[Order]) -> NDArray[np.float64]:
        """The value of each order, higher is better."""
        chains = [_chain(order) for order in orders]
        return self._worth(np.concatenate(chains)).reshape(len(orders), -1).sum(axis=1)

    def _worth(self, masks: Masks) -> NDArray[np.float64]:
        """What having a mask in an order's chain is worth: (N,)."""
        # Better is higher for kept parts, lower for hidden ones.
        return self._belief(masks, self._trust) - TRADE * self._belief(~masks, -self._trust)

    def _belief(self, masks: Masks, trust: float) -> NDArray[np.float64]:
        """Probabilities: evaluated ones as they came out, others as the model guesses."""
        places = self._archive.find_all(masks)
        known = places >= 0
        p = np.empty(len(masks))
        p[known] = self._archive.probabilities[places[known]]
        if not known.all():
            keys = mask_keys(masks[~known])
            number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
            unique = np.frombuffer(b"".join(number), bool).reshape(len(number), -1)
            mean, deviation = self._model.predict(unique)
            guess = 1 / (1 + np.exp(-(mean + trust * deviation)))
            p[~known] = guess[[number[key] for key in keys]]
        return p

    def _suggestions(self) -> list[Order]:
        """Orders by membership along the front, by the model's weights, and by both."""
        weights = self._model.weights()
        members = self._archive.masks[self._archive.front_rows()]
        n_segments = len(weights)
        # A front mask stands for all sizes up to the next one's.
        steps = np.diff([*members.sum(axis=1), n_segments])
        member = (members * steps[:, None]).sum(axis=0) / n_segments
        rank = np.argsort(np.argsort(weights)) / n_segments
        blends = [member + share * rank for share in (0.01, 0.3, 1.0)]
        blends.append(self._longest_chain(weights))
        return [np.argsort(-blend, kind="stable") for blend in [*blends, weights]]

    def _longest_chain(self, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Importance (S,) after the best chain of nested masks through evaluated ones.

        By dynamic programming over the best of each size; between two masks of the chain, worth is
        interpolated and the superpixels come in the order of their weights.
        """
        masks = self._nodes()
        sizes, worth = masks.sum(axis=1), self._worth(masks)
        inside = masks.astype(np.float32) @ ~masks.T == 0  # (N, N): i is a part of j
        gaps = np.maximum(sizes[None] - sizes[:, None], 1)
        steps = gaps * worth[:, None] + (worth[None] - worth[:, None]) * (gaps + 1) / 2
        total, before = np.zeros(len(masks)), np.zeros(len(masks), int)
        for j in range(1, len(masks)):
            reach = np.where(
                inside[:j, j] & (sizes[:j] < sizes[j]), total[:j] + steps[:j, j], -np.inf
            )
            before[j] = reach.argmax()
            total[j] = reach[before[j]]
        place, rank = len(masks) - 1, np.argsort(np.argsort(weights)) / len(weights)
        importance = rank.astype(float)
        while place:
            place = before[place]
            importance[masks[place]] += 1
        return importance

    def _nodes(self) -> Masks:
        """The best masks of each size, from the empty to the full one."""
        new = np.arange(self._seen, len(self._archive))
        rows, self._seen = np.r_[self._best, new], len(self._archive)
        masks, p = self._archive.masks[rows], self._archive.probabilities[rows]
        sizes = masks.sum(axis=1)
        order = np.lexsort((-p, sizes))
        first = np.r_[True, sizes[order][1:] != sizes[order][:-1]]
        place = np.arange(len(order)) - np.flatnonzero(first)[np.cumsum(first) - 1]
        chosen = order[place < WIDTH]
        self._best = rows[chosen]
        inner = masks[chosen][(sizes[chosen] > 0) & (sizes[chosen] < masks.shape[1])]
        ends = np.repeat([[False], [True]], masks.shape[1], axis=1)
        return np.concatenate([ends[:1], inner, ends[1:]])

    def _moved(self, rng: np.random.Generator) -> Order:
        n = len(self.order)
        start = int(rng.integers(n))
        step = int(rng.integers(1, REACH + 1)) * (1 if rng.random() < 0.5 else -1)
        end = min(max(start + step, 0), n - 1)
        moved = self.order.tolist()
        moved.insert(end, moved.pop(start))
        return np.array(moved)


def _chain(order: Order) -> Masks:
    """Masks with the first 1, …, S of an order kept: (S, S)."""
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    kept: Masks = rank < np.arange(1, len(order) + 1)[:, None]
    return kept


def _chains(order: Order) -> Masks:
    """Masks with the first 1, …, S kept, then with them hidden: (2·S, S)."""
    kept = _chain(order)
    return np.concatenate([kept, ~kept])
