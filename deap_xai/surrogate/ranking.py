"""An order of superpixels, the most important first, from all that was evaluated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import Archive, mask_keys
from deap_xai.typing import Masks

__all__ = ["Ranking"]

Order = NDArray[np.intp]

TRADE = 0.2
"""What deletion counts beside insertion, which is the harder to win."""

MOVES, REACH = 12, 8
"""Orders tried in a round, and how many places a superpixel moves at most."""


class Ranking:
    """An order under which revealing raises the probability early and hiding lowers it early.

    The value of an order is the sum of the probabilities with the first k kept, minus a fifth of
    that with the first k hidden, k = 1..S: insertion and deletion AUC up to a factor. Masks that
    were evaluated count as they came out, others as the model guesses. The order is improved by
    moving one superpixel at a time.

    Parameters
    ----------
    archive
        What was evaluated; it may grow.
    model
        With ``guess`` and ``weights``, as :class:`GaussianProcess` has them.

    Attributes
    ----------
    order
        Superpixels, the most important first: (S,).
    """

    def __init__(self, archive: Archive, model: Any) -> None:
        self._archive, self._model = archive, model
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

    def attribution(self) -> NDArray[np.float64]:
        """The model's weights, dealt out in the order: (S,), in log-odds."""
        values = np.empty(len(self.order))
        values[self.order] = np.sort(self._model.weights())[::-1]
        return values

    def values(self, orders: list[Order]) -> NDArray[np.float64]:
        """The value of each order, higher is better."""
        masks = np.concatenate([_chains(order) for order in orders])
        p = self._belief(masks).reshape(len(orders), 2, -1).sum(axis=2)
        return p[:, 0] - TRADE * p[:, 1]

    def _belief(self, masks: Masks) -> NDArray[np.float64]:
        """Probabilities: evaluated ones as they came out, others as the model guesses."""
        places = self._archive.find_all(masks)
        known = places >= 0
        p = np.empty(len(masks))
        p[known] = self._archive.probabilities[places[known]]
        if not known.all():
            keys = mask_keys(masks[~known])
            number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
            unique = np.frombuffer(b"".join(number), bool).reshape(len(number), -1)
            p[~known] = self._model.guess(unique)[[number[key] for key in keys]]
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
        return [np.argsort(-blend, kind="stable") for blend in [*blends, weights]]

    def _moved(self, rng: np.random.Generator) -> Order:
        n = len(self.order)
        start = int(rng.integers(n))
        step = int(rng.integers(1, REACH + 1)) * (1 if rng.random() < 0.5 else -1)
        end = min(max(start + step, 0), n - 1)
        moved = self.order.tolist()
        moved.insert(end, moved.pop(start))
        return np.array(moved)


def _chains(order: Order) -> Masks:
    """Masks with the first 1, …, S kept, then with them hidden: (2·S, S)."""
    rank = np.empty(len(order), int)
    rank[order] = np.arange(len(order))
    kept = rank < np.arange(1, len(order) + 1)[:, None]
    return np.concatenate([kept, ~kept])
