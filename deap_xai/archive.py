"""Every distinct mask that was evaluated, in order: all that an explanation knows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.typing import Mask, Masks, Probabilities

__all__ = [
    "Archive",
    "FrontPoint",
    "best_by_size",
    "best_within",
    "front",
    "front_quality",
    "front_rows",
    "full_and_empty",
    "mask_keys",
    "running_front_quality",
]


class Archive:
    """Masks and the target's probabilities, in the order evaluated.

    Attributes
    ----------
    masks
        (N, S), bool, all distinct.
    probabilities
        (N,), float32, 0..1: of the target class under each mask.

    Examples
    --------
    >>> archive = Archive(np.array([[1, 1], [0, 1]], bool), np.array([0.9, 0.4], np.float32))
    >>> len(archive), archive.find(np.array([False, True]))
    (2, 1)
    >>> archive.find(np.array([True, False])) is None
    True
    """

    def __init__(self, masks: Masks, probabilities: Probabilities) -> None:
        self._masks = np.asarray(masks, dtype=bool)
        self._probabilities = np.asarray(probabilities, dtype=np.float32)
        self._length = len(self._masks)
        self._index = {key: i for i, key in enumerate(mask_keys(self._masks))}
        self._front, self._front_of = list[int](), 0

    @classmethod
    def empty(cls, n_segments: int) -> Archive:
        """An archive with no mask yet, for masks of ``n_segments`` superpixels."""
        return cls(np.zeros((0, n_segments), bool), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return self._length

    @property
    def masks(self) -> Masks:
        """All masks, (N, S)."""
        return self._masks[: self._length]

    @property
    def probabilities(self) -> Probabilities:
        """The target's probability under each mask, (N,)."""
        return self._probabilities[: self._length]

    def find(self, mask: Mask) -> int | None:
        """Where a mask stands in the archive, or None."""
        return self._index.get(np.asarray(mask, dtype=bool).tobytes())

    def find_all(self, masks: Masks) -> NDArray[np.intp]:
        """Where each of the masks (N, S) stands in the archive, -1 where it doesn't: (N,)."""
        found = self._index.get
        return np.array([found(key, -1) for key in mask_keys(masks)], np.intp)

    def known(self, masks: Masks) -> NDArray[np.float64]:
        """The target's probability under masks (N, S), NaN where one wasn't evaluated: (N,).

        Examples
        --------
        >>> archive = Archive(np.array([[1, 1], [0, 1]], bool), np.array([0.5, 0.25]))
        >>> archive.known(full_and_empty(2)).tolist()
        [0.5, nan]
        """
        places = self.find_all(masks)
        if not len(self):
            return np.full(len(places), np.nan)
        return np.where(places < 0, np.nan, self.probabilities[places].astype(float))

    def front_rows(self) -> list[int]:
        """Where the non-dominated masks stand; see :func:`front_rows`.

        It looks only at what was added since it was last asked, so that a search may ask often.
        """
        if self._front_of < len(self):
            # Those before come first, as of equal masks the first counts.
            rows = np.array([*self._front, *range(self._front_of, len(self))])
            places = front_rows(self._masks[rows], self._probabilities[rows])
            self._front, self._front_of = rows[places].tolist(), len(self)
        return list(self._front)

    def add(self, masks: Masks, probabilities: Probabilities) -> None:
        """Append masks that aren't in it yet."""
        end = self._length + len(masks)
        if end > len(self._masks):
            # Doubling keeps the cost of each mask constant however many there are.
            room = max(end, 2 * len(self._masks)) - len(self._masks)
            self._masks = np.pad(self._masks, ((0, room), (0, 0)))
            self._probabilities = np.pad(self._probabilities, (0, room))
        self._masks[self._length : end] = masks
        self._probabilities[self._length : end] = probabilities
        self._index.update(zip(mask_keys(masks), range(self._length, end), strict=True))
        self._length = end


def mask_keys(masks: Masks) -> list[bytes]:
    r"""What tells masks (N, S) apart in dictionaries, N of them; ``mask.tobytes()`` is the same.

    Examples
    --------
    >>> mask_keys(np.array([[True, False]]))
    [b'\x01\x00']
    """
    rows = np.ascontiguousarray(masks, dtype=bool)
    # One type as wide as a row: faster than row by row.
    return rows.view(np.dtype((np.void, rows.shape[1]))).ravel().tolist() if len(rows) else []


def reaches(probability: Any, least: Any) -> Any:
    """Whether probabilities are at least so high, in single precision: bool, as many.

    They are kept in it, and nine tenths in it are less than 0.9 as Python has it.

    Examples
    --------
    >>> kept = np.array([0.9, 0.5], np.float32)
    >>> (kept >= np.float64(0.9)).tolist(), reaches(kept, 0.9).tolist()
    ([False, False], [True, False])
    """
    return np.asarray(probability, np.float32) >= np.asarray(least, np.float32)


class FrontPoint:
    """A mask that no other beats in both probability and size.

    Attributes
    ----------
    mask
        (S,), bool.
    probability
        Of the target, 0..1.
    size
        Number of superpixels kept.
    """

    __slots__ = ("mask", "probability", "size")

    def __init__(self, mask: Mask, probability: float) -> None:
        self.mask = mask
        self.probability = float(probability)
        self.size = int(mask.sum())

    def __repr__(self) -> str:
        return f"FrontPoint(size={self.size}, probability={self.probability:.3f})"


def front(archive: Archive) -> list[FrontPoint]:
    """The archive's non-dominated masks over probability and size, from small to large.

    The empty mask is left out: it explains nothing.

    Examples
    --------
    >>> masks = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [1, 1, 0]], bool)
    >>> front(Archive(masks, np.array([0.8, 0.5, 0.6, 0.9], np.float32)))
    [FrontPoint(size=1, probability=0.600), FrontPoint(size=2, probability=0.900)]
    """
    masks, probabilities = archive.masks, archive.probabilities
    return [FrontPoint(masks[i].copy(), probabilities[i]) for i in archive.front_rows()]


def front_rows(masks: Masks, probabilities: Probabilities) -> list[int]:
    """Where the non-dominated masks (N, S) stand, from small to large; the empty one left out."""
    sizes, best, rows = masks.sum(axis=1), -1.0, []
    for index in np.lexsort((-probabilities, sizes)):
        if sizes[index] and probabilities[index] > best:
            best = probabilities[index]
            rows.append(int(index))
    return rows


def best_within(archive: Archive) -> Probabilities:
    """The best probability among masks that keep at most k superpixels, for k = 1..S: (S,).

    Examples
    --------
    >>> masks = np.array([[0, 0], [1, 1], [1, 0]], bool)
    >>> best_within(Archive(masks, np.array([0.1, 0.8, 0.3], np.float32)))
    array([0.3, 0.8], dtype=float32)
    """
    return best_by_size(archive.masks, archive.probabilities)[1:]


def best_by_size(masks: Masks, probabilities: NDArray[Any]) -> NDArray[Any]:
    """The best probability among masks (N, S) of at most k superpixels, for k = 0..S: (S + 1,)."""
    best = np.zeros(masks.shape[1] + 1, probabilities.dtype)
    np.maximum.at(best, masks.sum(axis=1), probabilities)
    return np.maximum.accumulate(best)


def front_quality(archive: Archive) -> float:
    """Mean over k = 1..S of the best probability within k superpixels: 0..1, higher is better.

    It is the area under the front of probability against size, with size as a share of S; where
    nothing at all is more probable than the front, under that.

    Examples
    --------
    >>> masks = np.array([[1, 1], [1, 0]], bool)
    >>> round(front_quality(Archive(masks, np.array([0.8, 0.4], np.float32))), 2)
    0.6
    """
    return float(best_within(archive).mean())


def running_front_quality(archive: Archive) -> NDArray[np.float64]:
    """The front quality after 1, 2, …, N model calls: (N,), 0..1, never falling.

    Examples
    --------
    >>> masks = np.array([[1, 1], [1, 0]], bool)
    >>> running_front_quality(Archive(masks, np.array([0.8, 0.4], np.float32))).round(2)
    array([0.4, 0.6])
    """
    n, n_segments = archive.masks.shape
    best = np.zeros((n, n_segments + 1))
    best[np.arange(n), archive.masks.sum(axis=1)] = archive.probabilities
    np.maximum.accumulate(best, axis=0, out=best)
    np.maximum.accumulate(best, axis=1, out=best)
    return best[:, 1:].mean(axis=1)


def full_and_empty(n_segments: int) -> Masks:
    """The mask that keeps everything and the one that keeps nothing: (2, S).

    Examples
    --------
    >>> full_and_empty(3).astype(int).tolist()
    [[1, 1, 1], [0, 0, 0]]
    """
    return np.repeat([[True], [False]], n_segments, axis=1)
