"""What visitors can choose from: the registries, in words that fit a menu."""

from __future__ import annotations

import re
from collections.abc import Iterable

from deap_xai.algorithms import algorithms
from deap_xai.backends.torchvision_models import torchvision_names
from deap_xai.demo.networks import NETWORKS
from deap_xai.listing import summary
from deap_xai.masking import fills
from deap_xai.operators import operators
from deap_xai.registry import Registry, parameters
from deap_xai.segmentation import segmenters

__all__ = [
    "algorithm_choices",
    "counts_pieces",
    "fill_choices",
    "is_demo",
    "model_choices",
    "operator_choices",
    "segmenter_choices",
]

Choices = list[tuple[str, str]]
"""What a menu shows, and the spec that it stands for."""

PREFIXES = {"mate": "cx", "mutate": "mut", "select": "sel", "bits": "init"}

BITS = (
    "cxOnePoint cxTwoPoint cxUniform mutFlipBit mutShuffleIndexes selBest selNSGA2 selRandom "
    "selRoulette selSPEA2 selStochasticUniversalSampling selTournament selWorst"
).split()
"""Those of ``deap.tools`` that work on bits without further parameters."""

DEMO = "demo:name="


def is_demo(model: str) -> bool:
    """Whether a model knows only the made-up creatures."""
    return model == "demo" or model.startswith(DEMO)


def model_choices(given: str) -> Choices:
    """The given model, the demo's and torchvision's."""
    own = [(f"made-up creatures: {name}", f"{DEMO}{name}") for name in NETWORKS]
    known = {name for _, name in own} | set(names := torchvision_names())
    first = [] if given in known else [(given, given)]
    return [*first, *own, *((f"photographs: {name}", name) for name in names)]


def algorithm_choices(given: str) -> Choices:
    """Every algorithm."""
    return _choices(algorithms, algorithms.names(), given)


def fill_choices(given: str) -> Choices:
    """Every fill that needs no parameter."""
    free = [name for name in fills.names() if ... not in parameters(fills.get(name)).values()]
    return _choices(fills, free, given)


def segmenter_choices(given: str) -> Choices:
    """Every segmenter."""
    return _choices(segmenters, segmenters.names(), given)


def operator_choices(role: str, given: str | None) -> Choices:
    """The operators for a role; the empty spec leaves it to the algorithm."""
    names = [n for n in (*operators.names(), *BITS) if n.startswith(PREFIXES[role])]
    return [("as the search does by itself", ""), *_choices(operators, names, given or names[0])]


def counts_pieces(segmenter: str) -> bool:
    """Whether a segmenter is told how many pieces to make, and its spec doesn't say so already."""
    return ":" not in segmenter and "n_segments" in parameters(segmenters.get(segmenter))


def _choices(registry: Registry, names: Iterable[str], given: str) -> Choices:
    names = [*names]
    specs = names if given in names else [given, *names]
    return [(f"{spec}: {_about(registry, spec)}", spec) for spec in specs]


def _about(registry: Registry, spec: str) -> str:
    whole = summary(registry.get(spec.partition(":")[0]))
    return re.sub(r" \([^)]*\)", "", whole).rstrip(".")
