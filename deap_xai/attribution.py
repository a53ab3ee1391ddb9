"""Importance of each superpixel, read off everything that was evaluated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import Archive

__all__ = ["attribution"]


def attribution(archive: Archive, ridge: float = 1.0) -> NDArray[np.float64]:
    """How much keeping each superpixel raises the log-odds of the target: (S,).

    Coefficients of a ridge regression of the logit of the probability on the mask, over all
    evaluated masks, as LIME fits one over random masks (Ribeiro, Singh and Guestrin, KDD 2016)
    but without its distance kernel.

    Parameters
    ----------
    archive
        Evaluated masks and probabilities.
    ridge
        Penalty on the squared coefficients.

    Examples
    --------
    >>> masks = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], bool)
    >>> values = attribution(Archive(masks, np.array([0.1, 0.9, 0.1, 0.9], np.float32)))
    >>> bool(values[0] > 1 > abs(values[1]))
    True
    """
    kept = archive.masks.astype(float)
    p = np.clip(archive.probabilities.astype(float), 1e-4, 1 - 1e-4)
    logit = np.log(p / (1 - p))
    kept -= kept.mean(axis=0)
    gram = kept.T @ kept + ridge * np.eye(kept.shape[1])
    coefficients: NDArray[np.float64] = np.linalg.solve(gram, kept.T @ (logit - logit.mean()))
    return coefficients
