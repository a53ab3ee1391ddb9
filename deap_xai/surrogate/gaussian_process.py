"""Gaussian processes over masks: what the classifier will probably say, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from deap_xai.archive import best_by_size
from deap_xai.errors import SettingError
from deap_xai.fitness import Evaluator
from deap_xai.operators import operators
from deap_xai.typing import Masks, Probabilities

__all__ = ["GaussianProcess"]

Floats = NDArray[np.floating[Any]]

REACH, TINT, OWN = 0.18, 25.0, 0.3
"""Of the prior's correlation: distance, colour difference, and the share that is each one's own."""

CENTRE = 0.25
"""Width of the prior's belief that what matters is in the middle."""

LEAST = 0.1
"""What the least relevant superpixel counts, relative to the root mean square of all."""

RIVALS = 30
"""Other classes whose probabilities are learnt one by one; the rest of them as their sum."""

FEW, MANY = 8, 30
"""Superpixels up to which the noise is least, and from which on it is whole: the fewer there are,
the less is left that the kernel can't know."""

TINY = 1e-8
"""Probabilities below are taken for this one: their logarithms would say more than the model."""

FIRST, CAP, SLACK = 8, 256, 64
"""Observations at which the prior is first learnt anew, and again at each doubling; observations
kept; and how many more may gather before the oldest are forgotten."""

ROWS = 64
"""Of a triangular product, computed at a time."""


class _Points(NamedTuple):
    """Masks as the kernel needs them: M (N, S), M·R (N, S), the norms sqrt(m·R·m) (N,), and whether
    the two of each pair of neighbours are kept, over the root of the number of pairs E: (N, E).
    """

    masks: Floats
    spread: Floats
    norms: Floats
    pairs: Floats


@operators.register
class GaussianProcess:
    """The log-probabilities of classes as Gaussian processes over masks, and the target's logit.

    With R the prior correlation of superpixels (near and alike in colour: alike in effect) and
    the inner product <m, m'> = m·R·m', the kernel of two masks is

        linear · <m, m'> / <1, 1>  +  pairs · both(m, m') / both(1, 1)
            +  curve · angle / (angle + 1 - cos(m, m'))

    The first part is a Bayesian linear model with correlated weights. The second, where both counts
    the pairs of neighbours that m and m' keep, is what two neighbours add only together: a part
    that is whole says more than its halves. The third, a rational function of the angle between
    masks, is whatever else isn't additive. The mean runs from the empty to the full view's value
    with the share kept, the middle counting more. Observations with a low probability count less:
    their noise is noise · few · (1 + doubt·(1-p)²), where few = (min(max(S, 8), 30) / 30)².
    Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter 2.

    What is learnt is not the target's logit itself but what it is made of, log p_c less their mean,
    for the target, for the thirty other classes that came nearest, and for the sum of the rest;
    where answers don't sum to 1, to a thousandth, the others are scaled to sum to 1 - p_target.
    Each is nearly linear in the mask where their combination, log p_target - log Σ p_c, is not, and
    every answer teaches thirty numbers, not one. The logit predicted is that combination of the
    processes' means, as in Bayesian optimisation of composite functions (Astudillo and Frazier,
    ICML 2019); its deviation is that of one process over the logit. They share one kernel, so one
    Cholesky factor serves all.

    Superpixels differ in relevance, which is learnt from the answers: R becomes D·R·D, where D is
    the root of each linear weight's second moment about its prior mean, under the posterior of
    the R above: in the manner of one step of automatic relevance determination (Tipping, Journal of
    Machine Learning Research 1, 2001). This is done anew, and the rival classes are chosen anew,
    at 8, 16, 32, … observations, whenever some are forgotten, and by :meth:`fit`.

    New observations extend that factor's inverse; beyond some 300, the least useful are forgotten,
    so that a step costs the same however long the search.

    Parameters
    ----------
    evaluator
        Of the image: its segments and view give the prior, its target the class.
    linear, pairs, curve
        Prior variances of the three parts.
    angle
        How fast the third part fades.
    noise, doubt
        See above.

    Raises
    ------
    SettingError
        If one of these numbers isn't above 0 and finite; ``doubt`` may be 0.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        linear: float = 40.0,
        pairs: float = 10.0,
        curve: float = 8.0,
        angle: float = 1.0,
        noise: float = 0.02,
        doubt: float = 15.0,
    ) -> None:
        for name, value in {
            "linear": linear,
            "pairs": pairs,
            "curve": curve,
            "angle": angle,
            "noise": noise,
        }.items():
            if not 0 < value < np.inf:
                raise SettingError(
                    f"GaussianProcess: {name} must be above 0 and finite; got {value!r}"
                )
        if not 0 <= doubt < np.inf:
            raise SettingError(
                f"GaussianProcess: doubt must be 0 at least and finite; got {doubt!r}"
            )
        known = evaluator.geometry
        n = len(known.areas)
        alike = (1 - OWN) * known.alikeness(REACH, TINT) + OWN * np.eye(n)
        self._flat = alike.astype(np.float32)
        self._share, self._target = known.central(CENTRE), evaluator.target
        self._prior, self._pairs, self._curve, self._angle = linear, pairs, curve, angle
        self._one, self._other = np.nonzero(np.triu(evaluator.neighbours))
        self._noise_level, self._doubt = noise * (np.clip(n, FEW, MANY) / MANY) ** 2, doubt
        self._masks, self._p = np.zeros((0, n), np.float32), np.zeros(0)
        self._answers = list[Probabilities]()
        self._next_fit = FIRST

    def __len__(self) -> int:
        return len(self._answers)

    def update(self, masks: Masks, answers: Probabilities) -> None:
        """Learn masks (N, S), and the probability of every class under each, (N, C).

        The first ones should hold the full and the empty mask: the mean runs from the smallest to
        the largest mask known when the prior was learnt last.
        """
        for start, stop in self._steps(len(masks)):
            first = not len(self)
            if self._gather(masks[start:stop], answers[start:stop]) or first:
                self.fit()
            else:
                self._extend(stop - start)

    def gather(self, masks: Masks, answers: Probabilities) -> None:
        """As :meth:`update`, but nothing is learnt; :meth:`fit` has to be called next."""
        for start, stop in self._steps(len(masks)):
            self._gather(masks[start:stop], answers[start:stop])

    def fit(self) -> None:
        """Learn the prior anew from all observations: the ends, the rivals, the relevance."""
        answers, sizes = np.array(self._answers), self._masks.sum(axis=1)
        top = answers.max(axis=0)
        top[self._target] = np.inf
        nearest = np.argsort(-top, kind="stable")
        self._classes, self._others = nearest[: RIVALS + 1], nearest[RIVALS + 1 :]
        values = self._values(answers)
        self._low, self._high = values[sizes.argmin()], values[sizes.argmax()]
        self._condition(self._flat, values)
        if len(self) >= FIRST:
            variance = self._linear * np.diag(self._flat)
            variance = variance - (self._explained_weights() ** 2).sum(axis=0)
            moment = self._learnt_weights() ** 2 + np.maximum(variance, 0)
            relevance = np.maximum(np.sqrt(moment / moment.mean()), LEAST).astype(np.float32)
            relevance /= np.sqrt((relevance**2).mean())
            self._condition(self._flat * np.outer(relevance, relevance), values)

    def predict(self, masks: Masks) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the logit under masks (N, S): (N,) and (N,)."""
        points, mean, explained = self._posterior(masks)
        # The empty mask is at a right angle to all masks, itself among them.
        right = self._angle / (1 + self._angle)
        curve = self._curve * np.where(points.masks.any(axis=1), 1, right)
        together = self._pairs * np.einsum("ij,ij->i", points.pairs, points.pairs)
        prior = self._linear * points.norms**2 + together + curve
        variance = self._amplitude * (prior - np.einsum("ij,ij->j", explained, explained))
        return mean, np.sqrt(np.maximum(variance, 1e-6))

    def predict_jointly(self, masks: Masks) -> tuple[Floats, Floats]:
        """Mean and covariance of the logits under masks (N, S): (N,) and (N, N)."""
        points, mean, explained = self._posterior(masks)
        return mean, self._amplitude * (self._kernel(points, points) - explained.T @ explained)

    def weights(self) -> Floats:
        """What keeping each superpixel adds to the logit in the linear part's mean: (S,)."""
        return (self._high - self._low)[-1] * self._share + self._learnt_weights()

    def sample_weights(self, n: int, rng: np.random.Generator) -> Floats:
        """Weights of the linear part drawn from their posterior: (n, S)."""
        explained = self._explained_weights()
        covariance = self._linear * self._correlation - explained.T @ explained
        # The kernels are in single precision: a difference of them may be a little below zero.
        jitter = 1e-4 * self._linear * np.eye(len(covariance))
        root = root_of(covariance + jitter)
        return self.weights() + (root @ rng.standard_normal((len(root), n))).T

    def _steps(self, n: int) -> Iterator[tuple[int, int]]:
        """Parts of n masks, each up to the next fit.

        However they come, the prior is learnt at the same numbers of observations from the eighth.
        """
        start = 0
        while start < n:
            stop = min(n, start + self._next_fit - len(self))
            yield start, stop
            start = stop

    def _gather(self, masks: Masks, answers: Probabilities) -> bool:
        """Take in some more, no further than to the next fit; says whether it is due."""
        answers = _completed(answers, self._target)
        self._masks = np.concatenate([self._masks, np.asarray(masks, np.float32)])
        self._p = np.concatenate([self._p, np.asarray(answers[:, self._target], float)])
        self._answers += [row.copy() for row in answers]  # a view would keep all the others alive
        if len(self) < self._next_fit:
            return False
        if len(self) > CAP:
            self._forget()
        self._next_fit = min(2 * len(self), CAP + SLACK)
        return True

    def _condition(self, correlation: NDArray[np.float32], values: Floats) -> None:
        """Set the prior and condition on all observations."""
        self._correlation = correlation
        self._linear = self._prior / float(correlation.sum())
        self._known = self._points(self._masks)
        kernel = self._kernel(self._known, self._known) + np.diag(self._noise(self._p))
        self._inverse = _inverse(root_of(kernel))
        self._whitened = _product(self._inverse, values - self._mean(self._known))

    def _extend(self, n: int) -> None:
        """Add rows for the last n observations to the Cholesky factor's inverse."""
        new, p = self._points(self._masks[-n:]), self._p[-n:]
        side = _product(self._inverse, self._kernel(self._known, new))
        corner = self._kernel(new, new) + np.diag(self._noise(p)) - side.T @ side
        corner = _inverse(root_of(corner))
        inverse = np.pad(self._inverse, ((0, n), (0, n)))
        inverse[-n:, :-n], inverse[-n:, -n:] = -corner @ (side.T @ self._inverse), corner
        residual = self._values(np.array(self._answers[-n:])) - self._mean(new)
        added = corner @ (residual - side.T @ self._whitened)
        self._inverse, self._whitened = inverse, np.concatenate([self._whitened, added])
        self._known = _Points(*map(np.concatenate, zip(self._known, new, strict=True)))

    def _forget(self) -> None:
        """Keep the ends, half of the cap for those nearest to the front, half for the latest."""
        sizes = self._masks.sum(axis=1).astype(int)
        behind = best_by_size(self._masks.astype(bool), self._p)[sizes] - self._p
        behind[[sizes.argmin(), sizes.argmax()]] = -1
        keep = np.zeros(len(self), bool)
        keep[np.argsort(behind, kind="stable")[: CAP // 2]] = True
        keep[np.flatnonzero(~keep)[-(CAP - CAP // 2) :]] = True
        self._masks, self._p = self._masks[keep], self._p[keep]
        self._answers = [answer for answer, kept in zip(self._answers, keep, strict=True) if kept]

    def _values(self, answers: Probabilities) -> Floats:
        """What is learnt of answers (N, C): centred log-probabilities, last the logit: (N, K)."""
        chosen = answers[:, self._classes]
        if len(self._others):
            rest = answers[:, self._others].sum(axis=1, keepdims=True)
            chosen = np.concatenate([chosen, rest], axis=1)
        logs = np.log(np.maximum(chosen, TINY))
        centred = logs - logs.mean(axis=1, keepdims=True)
        return np.column_stack([centred, _logit(answers[:, self._target])]).astype(np.float32)

    def _points(self, masks: NDArray[Any]) -> _Points:
        masks = np.asarray(masks, np.float32)
        spread = masks @ self._correlation
        norms = np.sqrt(np.maximum((spread * masks).sum(axis=1), 1e-6))
        pairs = masks[:, self._one] * masks[:, self._other]
        pairs /= np.float32(max(1, len(self._one)) ** 0.5)
        return _Points(masks, spread, norms, pairs)

    def _kernel(self, one: _Points, two: _Points) -> Floats:
        inner = one.spread @ two.masks.T
        cosine = inner / one.norms[:, None] / two.norms[None]
        apart = self._curve / (1 + (1 - cosine) / self._angle)
        return self._linear * inner + self._pairs * (one.pairs @ two.pairs.T) + apart

    def _mean(self, points: _Points) -> Floats:
        share = (points.masks @ self._share)[:, None]
        return self._low + (self._high - self._low) * share

    def _noise(self, p: Floats) -> Floats:
        return self._noise_level * (1 + self._doubt * (1 - p) ** 2)

    def _posterior(self, masks: Masks) -> tuple[_Points, Floats, Floats]:
        points = self._points(masks)
        explained = _product(self._inverse, self._kernel(self._known, points))
        logs = (self._mean(points) + explained.T @ self._whitened)[:, :-1]
        top = logs[:, 1:].max(axis=1)
        rivals = np.log(np.exp(logs[:, 1:] - top[:, None]).sum(axis=1)) + top
        return points, np.clip(logs[:, 0] - rivals, *_logit(np.array([0, 1]))), explained

    @property
    def _amplitude(self) -> float:
        """Of the deviations: a poor fit makes for wider doubts."""
        whitened = self._whitened[:, -1]
        return float(np.clip((whitened @ whitened + 10) / (len(self) + 10), 1, 4))

    def _learnt_weights(self) -> Floats:
        """Mean of the linear part's weights in the logit, less the prior mean: (S,)."""
        whitened = self._whitened[:, -1]
        return self._linear * (self._known.spread.T @ (self._inverse.T @ whitened))

    def _explained_weights(self) -> Floats:
        """The root of what the observations take from the weights' prior covariance: (n, S)."""
        return _product(self._inverse, self._linear * self._known.spread)


def _completed(answers: Probabilities, target: int) -> Probabilities:
    """Answers (N, C) in which the other classes sum to 1 - p.

    Those of independent sigmoids don't, nor those of an interface that names its first few classes.
    Rows that sum to 1 stay as they are, since 1 - p loses digits near 1.
    """
    off = np.flatnonzero(abs(answers.sum(axis=1) - 1) > 1e-3)
    if not len(off):
        return answers
    answers, n = answers.copy(), answers.shape[1]
    p = answers[off, target]
    # Summed without the target: a difference would leave nothing of those far below it.
    others = np.delete(answers[off], target, axis=1).sum(axis=1)
    # Where no other class has anything, all have the same.
    even = others < TINY
    answers[off] *= np.where(even, 0, (1 - p) / np.maximum(others, TINY))[:, None]
    answers[off[even]] = ((1 - p[even]) / (n - 1))[:, None]
    answers[off, target] = p
    return answers


def _logit(p: Floats) -> Floats:
    # Near 1 small differences still tell good masks apart.
    p = np.clip(np.asarray(p, float), 1e-4, 1 - 1e-5)
    return np.log(p / (1 - p))


def _inverse(lower: Floats) -> Floats:
    """Of a lower triangular matrix (N, N)."""
    return solve_triangular(lower, np.eye(len(lower)), lower=True, check_finite=False)


def _product(lower: Floats, some: Floats) -> Floats:
    """Of a lower triangular matrix (N, N) and one (N, K): faster, as half of it is left out."""
    out = np.empty((len(lower), some.shape[1]))
    for start in range(0, len(lower), ROWS):
        stop = min(len(lower), start + ROWS)
        np.matmul(lower[start:stop, :stop], some[:stop], out=out[start:stop])
    return out


def root_of(covariance: Floats) -> Floats:
    """The lower Cholesky factor of a covariance (N, N).

    Raises
    ------
    SettingError
        If it isn't positive definite: the prior's variances are then beyond the kernels' single
        precision.
    """
    try:
        root: Floats = cholesky(covariance, lower=True, check_finite=False)
    except np.linalg.LinAlgError as error:
        raise SettingError(
            "a surrogate's covariance isn't positive definite; of a GaussianProcess linear, pairs "
            "or curve is too large beside noise: take values nearer to the defaults"
        ) from error
    return root


def sigmoid(logit: Floats) -> Floats:
    """The probability of a logit."""
    with np.errstate(over="ignore"):  # far below, 1 / infinity is right
        return 1 / (1 + np.exp(-logit))
