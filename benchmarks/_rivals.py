"""Other methods on the same evaluator: same superpixels, same fill, same counted calls.

Each gets an evaluator, a number of model calls and a seed, and gives an attribution (S,), higher
is more; all that it asked is in the evaluator's archive. ``METHODS`` has them by name.

PartitionExplainer needs shap, whose compiled parts lag behind new NumPy releases at times; where it
or another package can't be imported, ``missing`` says so and the method is left out. ReX wants
NumPy 1, so it runs in an environment of its own; see ``_rex.py``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from deap import base
from scipy.cluster.hierarchy import linkage

from deap_xai import Explainer
from deap_xai.algorithms import algorithms, eaGreedy
from deap_xai.attribution import attribution
from deap_xai.backends import Backend
from deap_xai.chance import seeded
from deap_xai.fitness import Evaluator
from deap_xai.masking import MaskedView
from deap_xai.objectives import resolve_objectives
from deap_xai.toolbox import make_toolbox

KERNEL_WIDTH = 0.25  # the default of LimeImageExplainer
SHOWN = 0.5  # probability with which RISE shows a superpixel, as in its paper
CHUNK = 64


def lime(evaluator: Evaluator, samples: int = 1000, seed: int = 0) -> np.ndarray:
    """LIME's weights, from its package's sampling, kernel and regression.

    Sampling, distances and kernel are those of
    ``lime.lime_image.LimeImageExplainer.explain_instance`` (lime 0.2).
    """
    from lime.lime_base import LimeBase
    from sklearn.metrics import pairwise_distances

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
    return weights


def kernel_shap(evaluator: Evaluator, calls: int, seed: int) -> np.ndarray:
    """Captum's KernelSHAP on bits: 1 shows a superpixel, 0 the fill."""
    import torch
    from captum.attr import KernelShap

    shown = torch.ones(1, evaluator.n_segments)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        values = KernelShap(_forward(evaluator)).attribute(
            shown, baselines=0 * shown, n_samples=calls, perturbations_per_eval=CHUNK
        )
    return values[0].numpy()


def ablation(evaluator: Evaluator, calls: int, seed: int) -> np.ndarray:
    """Captum's feature ablation: what is lost when one superpixel is hidden. S + 1 calls."""
    import torch
    from captum.attr import FeatureAblation

    shown = torch.ones(1, evaluator.n_segments)
    method = FeatureAblation(_forward(evaluator))
    return method.attribute(shown, baselines=0 * shown, perturbations_per_eval=CHUNK)[0].numpy()


def occlusion(evaluator: Evaluator, calls: int, seed: int) -> np.ndarray:
    """What is lost on average when a window over a superpixel is hidden. S + 1 calls.

    Zeiler and Fergus, ECCV 2014, with a superpixel and those that touch it as the window; a window
    of one superpixel would be feature ablation.
    """
    windows = evaluator.neighbours | np.eye(evaluator.n_segments, dtype=bool)
    p = evaluator.probabilities(np.vstack([np.ones_like(windows[:1]), ~windows]))
    return windows.T @ (p[0] - p[1:]) / windows.sum(axis=0)


def partition(evaluator: Evaluator, calls: int, seed: int) -> np.ndarray:
    """Shap's PartitionExplainer: Owen values over a tree of superpixels near each other."""
    import shap

    rows, columns = np.indices(evaluator.segments.shape)
    sizes = np.bincount(evaluator.segments.ravel())
    centres = [np.bincount(evaluator.segments.ravel(), c.ravel()) / sizes for c in (rows, columns)]
    with seeded(seed):  # it draws from numpy.random where nodes are equally promising
        explainer = shap.PartitionExplainer(
            lambda bits: evaluator.probabilities(bits > 0.5).astype(float),
            _Bits(evaluator.n_segments, linkage(np.stack(centres, axis=1), "ward")),
        )
        found = explainer(np.ones((1, evaluator.n_segments)), max_evals=calls, silent=True)
    return found.values[0]


class _Bits:
    """What shap calls a masker: a row of ones, with zeros where hidden."""

    def __init__(self, n_segments: int, clustering: np.ndarray) -> None:
        self.shape = (1, n_segments)
        self.clustering = clustering

    def __call__(self, mask: np.ndarray, row: np.ndarray) -> tuple[np.ndarray]:
        return ((row * mask)[None],)


def rise(evaluator: Evaluator, calls: int, seed: int) -> np.ndarray:
    """RISE: random masks, averaged with the probabilities they give as weights.

    Petsiuk, Das and Saenko, BMVC 2018, with bits of superpixels in place of an enlarged random
    grid.
    """
    n = calls - evaluator.calls  # the full view told the target
    masks = np.random.default_rng(seed).random((n, evaluator.n_segments)) < SHOWN
    return evaluator.probabilities(masks) @ masks / (n * SHOWN)


def greedy(evaluator: Evaluator, direction: str = "both") -> np.ndarray:
    """Ranks in which greedy search takes the superpixels, the first the highest."""
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


def searched(algorithm: str) -> Callable[[Evaluator, int, int], np.ndarray]:
    """One of our algorithms, random search included, with our attribution of all it asked."""

    def method(evaluator: Evaluator, calls: int, seed: int) -> np.ndarray:
        explainer = Explainer(evaluator.backend, algorithm=algorithm, seed=seed)
        explainer.search(evaluator)
        return attribution(evaluator)

    return method


def run(name: str, evaluator: Evaluator, calls: int, seed: int) -> np.ndarray:
    """The attribution of a method after at most so many model calls; the budget is lifted then.

    BudgetExhausted where the method needs more of them to say anything.
    """
    method = METHODS[name] if name in METHODS else searched(name)
    evaluator.budget.calls = calls
    try:
        return np.asarray(method(evaluator, calls, seed), float)
    finally:
        evaluator.budget.calls = None


class Remembering(Backend):
    """A backend that answers masks seen before from memory.

    Methods start anew at each number of calls, and mostly ask again what they asked at a smaller
    one. Evaluators count their calls as ever; this only saves time.
    """

    def __init__(self, backend: Backend) -> None:
        self.name, self.class_names = backend.name, backend.class_names
        self.batch_size = backend.batch_size
        self._backend = backend
        self._rows: dict[int, dict[bytes, np.ndarray]] = {}

    def view(self, image: np.ndarray) -> np.ndarray:
        """The backend's own."""
        return self._backend.view(image)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The backend's own."""
        return self._backend.predict(images)

    def predict_masked(self, masked_view: MaskedView, masks: np.ndarray) -> np.ndarray:
        """Rows (N, C): of new masks from the backend, of others from memory."""
        picture = masked_view.view, masked_view.segments, masked_view.fill
        of_picture = self._rows.setdefault(hash(tuple(a.tobytes() for a in picture)), {})
        keys = [mask.tobytes() for mask in masks]
        new = [i for i, key in enumerate(keys) if key not in of_picture]
        if new:
            answers = self._backend.predict_masked(masked_view, masks[new])
            of_picture.update((keys[i], row) for i, row in zip(new, answers, strict=True))
        return np.array([of_picture[key] for key in keys])


def missing(name: str) -> str:
    """Why a method can't run here, or nothing."""
    if name not in METHODS and name.split(":")[0] not in algorithms.names():
        known = ", ".join([*METHODS, *algorithms.names()])
        return f"there is no such method; known are {known}"
    package = PACKAGE.get(name)
    try:
        importlib.import_module(package or "numpy")
    except Exception as error:  # not there, or compiled for another NumPy
        return f"{package} can't be imported: {error}"
    return ""


def _forward(evaluator: Evaluator) -> Callable[[Any], Any]:
    """What captum calls: bits (n, S) to probabilities (n,), by the evaluator."""
    import torch

    return lambda bits: torch.from_numpy(evaluator.probabilities(bits.numpy() > 0.5))


METHODS: dict[str, Callable[[Evaluator, int, int], np.ndarray]] = {
    "lime": lime,
    "kernelshap": kernel_shap,
    "ablation": ablation,
    "partition": partition,
    "rise": rise,
    "occlusion": occlusion,
    "greedy": lambda evaluator, calls, seed: greedy(evaluator, "forward"),
    "greedy-both": lambda evaluator, calls, seed: greedy(evaluator, "both"),
}
PACKAGE = {"lime": "lime", "kernelshap": "captum", "ablation": "captum", "partition": "shap"}
UNSEEDED = ("ablation", "occlusion", "greedy", "greedy-both")
