"""A Gaussian process over masks: what the classifier will probably say, and how sure that is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from deap_xai.archive import best_by_size
from deap_xai.fitness import Evaluator
from deap_xai.operators import operators
from deap_xai.surrogate.geometry import Geometry, geometry
from deap_xai.typing import Masks, Probabilities

__all__ = ["GaussianProcess"]

Floats = NDArray[np.floating[Any]]

REACH, TINT, OWN = 0.18, 25.0, 0.3
"""Of the prior's correlation: distance, colour difference, and the share that is each one's own."""

CENTRE = 0.25
"""Width of the prior's belief that what matters is in the middle."""

CAP, SLACK = 256, 64
"""Observations kept, and how many more may gather before the oldest are forgotten."""


class _Points(NamedTuple):
    """Masks as the kernel needs them: M (N, S), M·R (N, S) and the norms sqrt(m·R·m) (N,)."""

    masks: Floats
    spread: Floats
    norms: Floats


@operators.register
class GaussianProcess:
    """The logit of the target's probability as a Gaussian process over masks.

    With R the prior correlation of superpixels (near and alike in colour: alike in effect) and
    the inner product <m, m'> = m·R·m', the kernel of two masks is

        linear · <m, m'> / <1, 1>  +  curve · angle / (angle + 1 - cos(m, m'))

    The first part is a Bayesian linear model with correlated weights; the second, a rational
    function of the angle between masks, is whatever isn't additive. The mean runs from the empty
    to the full view's logit with the share kept, the middle counting more. Observations with a
    low probability count less: their noise is noise · (1 + doubt·(1-p)²). Rasmussen and Williams,
    "Gaussian Processes for Machine Learning", 2006, chapter 2.

    New observations extend the Cholesky factor; beyond some 300, the least useful are forgotten,
    so that a step costs the same however long the search.

    Parameters
    ----------
    evaluator
        Of the image: its segments and view give the prior.
    linear, curve
        Prior variances of the two parts.
    angle
        How fast the second part fades.
    noise, doubt
        See above.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        linear: float = 40.0,
        curve: float = 16.0,
        angle: float = 1.0,
        noise: float = 0.05,
        doubt: float = 30.0,
    ) -> None:
        self._set_prior(geometry(evaluator.segments, evaluator.view))
        self._linear, self._curve, self._angle = linear / self._total, curve, angle
        self._noise_level, self._doubt = noise, doubt
        self._masks = np.zeros((0, evaluator.n_segments), np.float32)
        self._p = np.zeros(0)

    def _set_prior(self, known: Geometry) -> None:
        n = len(known.areas)
        alike = (1 - OWN) * known.alikeness(REACH, TINT) + OWN * np.eye(n)
        self._correlation = alike.astype(np.float32)
        self._total = float(alike.sum())
        self._share = known.central(CENTRE)

    def __len__(self) -> int:
        return len(self._p)

    def update(self, masks: Masks, probabilities: Probabilities) -> None:
        """Learn masks (N, S), and the target's probability under each, (N,).

        The first ones should hold the full and the empty mask, between which the mean runs.
        """
        if not len(masks):
            return
        new, p = np.asarray(masks, np.float32), np.asarray(probabilities, float)
        first = not len(self)
        if first:
            sizes, logits = new.sum(axis=1), _logit(p)
            self._low, self._high = logits[sizes.argmin()], logits[sizes.argmax()]
        self._masks, self._p = np.concatenate([self._masks, new]), np.concatenate([self._p, p])
        if len(self) > CAP + SLACK:
            self._forget()
        if first or len(self) == CAP:
            self._refit()
        else:
            self._extend(len(new))
        self._alpha = solve_triangular(self._factor.T, self._whitened, check_finite=False)
        surprise = (self._whitened @ self._whitened + 10) / (len(self) + 10)
        self._amplitude = float(np.clip(surprise, 1, 4))  # a poor fit makes for wider doubts

    def predict(self, masks: Masks) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the logit under masks (N, S): (N,) and (N,)."""
        points, mean, explained = self._posterior(masks)
        # The empty mask is at a right angle to all masks, itself among them.
        right = self._angle / (1 + self._angle)
        curve = self._curve * np.where(points.masks.any(axis=1), 1, right)
        prior = self._linear * points.norms**2 + curve
        variance = self._amplitude * (prior - np.einsum("ij,ij->j", explained, explained))
        return mean, np.sqrt(np.maximum(variance, 1e-6))

    def predict_jointly(self, masks: Masks) -> tuple[Floats, Floats]:
        """Mean and covariance of the logits under masks (N, S): (N,) and (N, N)."""
        points, mean, explained = self._posterior(masks)
        return mean, self._amplitude * (self._kernel(points, points) - explained.T @ explained)

    def guess(self, masks: Masks) -> Floats:
        """The most likely probability under masks (N, S): (N,), 0..1. Cheaper than predict."""
        points = self._points(masks)
        logit = self._mean(points) + self._kernel(self._known, points).T @ self._alpha
        return 1 / (1 + np.exp(-logit))

    def weights(self) -> Floats:
        """What keeping each superpixel adds to the logit in the linear part's mean: (S,)."""
        learnt = self._linear * (self._known.spread.T @ self._alpha)
        return (self._high - self._low) * self._share + learnt

    def sample_weights(self, n: int, rng: np.random.Generator) -> Floats:
        """Weights of the linear part drawn from their posterior: (n, S)."""
        explained = solve_triangular(
            self._factor, self._linear * self._known.spread, lower=True, check_finite=False
        )
        covariance = self._linear * self._correlation - explained.T @ explained
        # The kernels are in single precision: a difference of them may be a little below zero.
        jitter = 1e-4 * self._linear * np.eye(len(covariance))
        root = cholesky(covariance + jitter, lower=True, check_finite=False)
        return self.weights() + (root @ rng.standard_normal((len(root), n))).T

    def _points(self, masks: NDArray[Any]) -> _Points:
        masks = np.asarray(masks, np.float32)
        spread = masks @ self._correlation
        return _Points(masks, spread, np.sqrt(np.maximum((spread * masks).sum(axis=1), 1e-6)))

    def _kernel(self, one: _Points, two: _Points) -> Floats:
        inner = one.spread @ two.masks.T
        cosine = inner / one.norms[:, None] / two.norms[None]
        return self._linear * inner + self._curve / (1 + (1 - cosine) / self._angle)

    def _mean(self, points: _Points) -> Floats:
        return self._low + (self._high - self._low) * (points.masks @ self._share)

    def _noise(self, p: Floats) -> Floats:
        return self._noise_level * (1 + self._doubt * (1 - p) ** 2)

    def _residual(self) -> Floats:
        return _logit(self._p) - self._mean(self._known)

    def _posterior(self, masks: Masks) -> tuple[_Points, Floats, Floats]:
        points = self._points(masks)
        kernel = self._kernel(self._known, points)
        mean = self._mean(points) + kernel.T @ self._alpha
        return points, mean, solve_triangular(self._factor, kernel, lower=True, check_finite=False)

    def _refit(self) -> None:
        self._known = self._points(self._masks)
        kernel = self._kernel(self._known, self._known) + np.diag(self._noise(self._p))
        self._factor = cholesky(kernel, lower=True, check_finite=False)
        self._whitened = solve_triangular(
            self._factor, self._residual(), lower=True, check_finite=False
        )

    def _extend(self, n: int) -> None:
        """Add rows for the last n observations to the Cholesky factor."""
        new, p = self._points(self._masks[-n:]), self._p[-n:]
        side = solve_triangular(
            self._factor, self._kernel(self._known, new), lower=True, check_finite=False
        )
        corner = self._kernel(new, new) + np.diag(self._noise(p)) - side.T @ side
        corner = cholesky(corner, lower=True, check_finite=False)
        before = len(self._whitened)
        factor = np.zeros((before + n, before + n))
        factor[:before, :before], factor[before:, :before] = self._factor, side.T
        factor[before:, before:] = corner
        residual = _logit(p) - self._mean(new) - side.T @ self._whitened
        added = solve_triangular(corner, residual, lower=True, check_finite=False)
        self._factor, self._whitened = factor, np.concatenate([self._whitened, added])
        self._known = _Points(*map(np.concatenate, zip(self._known, new, strict=True)))

    def _forget(self) -> None:
        """Keep the ends, half of the cap for the best of their size, half for the latest."""
        sizes = self._masks.sum(axis=1).astype(int)
        behind = best_by_size(self._masks.astype(bool), self._p)[sizes] - self._p
        behind[:2] = -1
        keep = np.zeros(len(self), bool)
        keep[np.argsort(behind, kind="stable")[: CAP // 2]] = True
        keep[np.flatnonzero(~keep)[-(CAP - CAP // 2) :]] = True
        self._masks, self._p = self._masks[keep], self._p[keep]


def _logit(p: Floats) -> Floats:
    p = np.clip(p, 1e-4, 1 - 1e-5)  # near 1 small differences still tell good masks apart
    return np.log(p / (1 - p))
