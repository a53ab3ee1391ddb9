"""Which candidates to spend model calls on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.errors import SettingError
from deap_xai.operators import operators
from deap_xai.surrogate.gaussian_process import root_of, sigmoid
from deap_xai.typing import Masks

__all__ = ["acqExpectedGain", "expected_gain"]

Floats = NDArray[np.floating[Any]]

# Gauss-Hermite quadrature of the standard normal distribution.
NODES, MASS = np.polynomial.hermite_e.hermegauss(15)
MASS = MASS / MASS.sum()

RAMP = 0.01
"""Width of the ramp at a sufficient probability."""


def expected_gain(
    mean: Floats,
    deviation: Floats,
    sizes: NDArray[Any],
    best: Floats,
    worth: Callable[[Floats], Floats] = lambda p: p,
) -> Floats:
    """How much each candidate is expected to add to the area under the front: (N,).

    The sum over k >= size of E[(p - best_k)^+], where the logit of p is normal: expected
    improvement (Jones, Schonlau and Welch, Journal of Global Optimization 13, 1998) of the front's
    area, which is its hypervolume. By 15-point quadrature.

    Parameters
    ----------
    mean, deviation
        Of the logit of each candidate's probability, (N,).
    sizes
        Superpixels that each keeps, (N,), 1 at least.
    best
        Best probability within k superpixels so far, k = 0..S: (S + 1,), not decreasing.

    Examples
    --------
    >>> best = np.array([0.0, 0.2, 0.5])
    >>> sure = expected_gain(np.array([0.0]), np.array([1e-9]), np.array([1]), best)
    >>> sure.round(3).tolist()  # 0.5 instead of 0.2 at k = 1
    [0.3]
    """
    p = sigmoid(mean[:, None] + deviation[:, None] * NODES)
    return _gain(worth(p), sizes, worth(best)) @ MASS


@operators.register
def acqExpectedGain(
    masks: Masks,
    model: Any,
    best: Floats,
    full: float,
    n: int,
    /,
    rng: np.random.Generator,
    *,
    shortlist: int = 32,
    draws: int = 32,
    share: float = 0.9,
    lift: float = 0.3,
) -> NDArray[np.intp]:
    """Pick n candidates, one by one, each by its expected gain given those already picked.

    The best by :func:`expected_gain` form a shortlist; on it the gain beyond the others picked is
    averaged over joint draws from the model, so that a batch doesn't ask the same thing twice. The
    rest of the shortlist follows: worth breeding from, if not worth a model call yet.

    Parameters
    ----------
    masks
        Candidates not evaluated yet, (N, S).
    model
        With ``predict`` and ``predict_jointly``, as :class:`GaussianProcess` has them.
    best
        Best probability within k superpixels so far, (S + 1,).
    full
        The full view's probability.
    n
        How many to pick for the next batch.
    rng
        Source of chance.
    shortlist, draws
        Size of the shortlist and number of joint draws.
    share, lift
        A probability of ``share`` of the full view's or more counts ``lift`` more, so that the
        smallest sufficient mask is sought. The step is a ramp, a hundredth wide: last bits of a
        probability, which depend on the batch size, must not decide.

    Returns
    -------
    Indices of candidates, none twice: first the n picked, or all where there are fewer; then the
    others of the shortlist, the most promising first. Where n is more than the shortlist, those
    beyond it follow it by their own expected gain.

    Raises
    ------
    SettingError
        If ``lift`` is below 0.
    """

    def worth(p: Floats) -> Floats:
        return p + lift * np.clip((p - share * full) / RAMP + 0.5, 0, 1)

    if lift < 0:
        raise SettingError(f"lift must be 0 at least: more is better; got {lift!r}")
    if not len(masks):
        return np.zeros(0, np.intp)
    sizes = np.maximum(masks.sum(axis=1), 1)
    mean, deviation = model.predict(masks)
    single = expected_gain(mean, deviation, sizes, best, worth)
    order = np.argsort(-single, kind="stable")
    top = order[:shortlist]
    mean, covariance = model.predict_jointly(masks[top])
    # In single precision: what follows is done for each one picked.
    drawn = worth(_draw(mean, covariance, draws, rng)).astype(np.float32)
    fits = (np.arange(len(best)) >= sizes[top][:, None]).astype(np.float32)
    reached = np.repeat(worth(best)[None].astype(np.float32), draws, axis=0)
    values, beyond = drawn.T[:, :, None].copy(), np.empty((draws, *fits.shape), np.float32)
    wanted = min(n, len(top))
    picked = [0][:wanted]  # the shortlist is in order, so its first is the first picked
    while len(picked) < wanted:
        np.maximum(reached, np.outer(drawn[picked[-1]], fits[picked[-1]]), out=reached)
        np.subtract(values, reached[:, None], out=beyond)
        np.maximum(beyond, 0, out=beyond)
        # Where no draw gains, the candidate's own expectation still ranks it.
        score = np.einsum("ck,ck->c", beyond.sum(axis=0), fits) + 1e-9 * single[top]
        score[picked] = -1
        picked.append(int(score.argmax()))
    return np.concatenate([top[picked], np.delete(top, picked), order[shortlist:n]])


def _gain(values: Floats, sizes: NDArray[Any], best: Floats) -> Floats:
    """Sum over k >= size of (value - best_k)^+ for values (N, Q): (N, Q)."""
    total = np.concatenate([[0], np.cumsum(best)])
    low = sizes[:, None]
    high = np.maximum(np.searchsorted(best, values), low)
    return (high - low) * values - (total[high] - total[low])


def _draw(mean: Floats, covariance: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Probabilities drawn jointly, (N, n)."""
    jitter = 1e-4 + 1e-6 * covariance.max()
    root = root_of(covariance + jitter * np.eye(len(mean)))
    return sigmoid(mean[:, None] + root @ rng.standard_normal((len(mean), n)))
