"""Other methods on the same evaluator: same superpixels, same fill, same counted calls."""

from __future__ import annotations

import numpy as np
from deap import base
from lime.lime_base import LimeBase
from sklearn.metrics import pairwise_distances

from deap_xai.algorithms import eaGreedy
from deap_xai.fitness import Evaluator
from deap_xai.metrics import nested
from deap_xai.objectives import resolve_objectives
from deap_xai.toolbox import make_toolbox

KERNEL_WIDTH = 0.25  # the default of LimeImageExplainer


def lime(evaluator: Evaluator, samples: int = 1000, seed: int = 0) -> np.ndarray:
    """LIME's weights (S,), from its package's sampling, kernel and regression; then its replay.

    The replay evaluates the nested masks of the 1, 2, …, S heaviest superpixels, which is how
    LIME's ranking becomes a front. Sampling, distances and kernel are those of
    ``lime.lime_image.LimeImageExplainer.explain_instance`` (lime 0.2).
    """
    rng = np.random.RandomState(seed)  # as lime does
    data = rng.randint(0, 2, samples * evaluator.n_segments).reshape(samples, -1)
    data[0] = 1
    p = evaluator.probabilities(data.astype(bool))
    distances = pairwise_distances(data, data[:1], metric="cosine").ravel()

    def kernel(distance: np.ndarray) -> np.ndarray:
        return np.sqrt(np.exp(-(distance**2) / KERNEL_WIDTH**2))

    _, pairs, _, _ = LimeBase(kernel, random_state=rng).explain_instance_with_data(
        data, np.stack([1 - p, p], axis=1), distances, 1, evaluator.n_segments,
        feature_selection="auto",
    )  # fmt: skip
    weights = np.full(evaluator.n_segments, -np.inf)
    for index, weight in pairs:
        weights[index] = weight
    evaluator.probabilities(nested(weights)[1:])
    return weights


def greedy(evaluator: Evaluator, direction: str = "both") -> np.ndarray:
    """Ranks (S,) in which greedy search takes the superpixels, the first the highest."""
    toolbox: base.Toolbox = make_toolbox(evaluator, resolve_objectives(["probability"]))
    steps, _ = eaGreedy(toolbox.population(n=1), toolbox, direction=direction)
    n = evaluator.n_segments
    ranks = np.zeros(n)
    masks = np.array([np.array(step, bool) for step in steps])
    grown = masks[::2] if direction == "both" else masks
    shrunk = masks[1::2] if direction == "both" else masks[:0]
    before = np.zeros(n, bool)
    for place, mask in enumerate(grown):
        ranks[mask & ~before] = n - place
        before = mask
    before = np.ones(n, bool)
    for place, mask in enumerate(shrunk):
        ranks[before & ~mask] = place - n
        before = mask
    return ranks
