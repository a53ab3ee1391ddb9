"""What visitors can choose from: the registries, in words that fit a menu."""

from __future__ import annotations

import re
from collections.abc import Iterable

from deap_xai.algorithms import algorithms, defaults_of
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
    "heeds",
    "is_demo",
    "model_choices",
    "operator_choices",
    "segmenter_choices",
]

Choices = list[tuple[str, str]]
"""What a menu shows, and the spec that it stands for."""

PREFIXES = {"mate": "cx", "mutate": "mut", "select": "sel", "bits": "init"}

BITS = (
    "cxOnePoint cxTwoPoint cxUniform mutFlipBit mutShuffleIndexes selBest selRandom "
    "selRoulette selSPEA2 selStochasticUniversalSampling selTournament selWorst"
).split()
"""Those of ``deap.tools`` that work on bits without further parameters."""

WORDS = {
    "eaElitist": "Good candidates have offspring, and the best survive unchanged",
    "eaGreedy": "One piece at a time, each time the best",
    "eaMuPlusLambda": "Parents at random, and the best of parents and offspring survive",
    "eaNSGA2": "Seeks the best candidate of every size at once (NSGA-II)",
    "eaNSGA3": "Seeks few pieces that are enough and that can't be missed either (NSGA-III)",
    "eaRandom": "Candidates at random",
    "eaSurrogate": "Learns which pieces matter, and asks about what promises most",
    "eaUMDA": "Learns how often good candidates have each piece (UMDA)",
    "cxOnePoint": "Swap all pieces after one place in their numbering",
    "cxTwoPoint": "Swap the pieces between two places in their numbering",
    "cxUniform": "Swap each piece with a probability",
    "cxRegion": "Swap one connected region",
    "mutBoundary": "Grow or shrink the kept part by one piece at its boundary",
    "mutDensify": "Add each hidden piece with a small probability",
    "mutFlipBit": "Switch each piece with a probability",
    "mutShuffleIndexes": "Exchange pieces with others at random",
    "mutSparsify": "Drop each kept piece with a small probability",
    "mutStep": "Drop one piece, add one, or do both; now and then once more",
    "mutSwap": "Drop one piece and add another, so that their number stays",
    "selBest": "The best alone",
    "selNSGA2": "The best of every size, spread evenly",
    "selRandom": "Anybody",
    "selRoulette": "Each with a probability that grows with how good it is",
    "selSPEA2": "Those that no others beat, spread evenly (SPEA-II)",
    "selStochasticUniversalSampling": "As by roulette, but evenly spread",
    "selTournament": "The best of a few, again and again",
    "selWorst": "The worst alone, to see that the choice matters",
    "initBernoulli": "Each piece kept with a probability",
    "initSizes": "Of every size, from one piece to all",
    "color": "One colour everywhere, white unless it is named",
    "mean": "Each piece in its own mean colour",
    "blur": "The picture, blurred",
    "noise": "Pixels of random colours",
    "inpaint": "Each piece as its surroundings suggest",
}
"""What visitors are told, who know neither DEAP nor superpixels."""

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


def heeds(algorithm: str, role: str) -> bool:
    """Whether the operator that plays a role has a part in an algorithm."""
    name = algorithm.partition(":")[0]
    known = name in algorithms.names()  # of a module's own nothing is known
    return not known or role not in defaults_of(algorithms.get(name)).idle


def counts_pieces(segmenter: str) -> bool:
    """Whether a segmenter is told how many pieces to make, and its spec doesn't say so already."""
    return ":" not in segmenter and "n_segments" in parameters(segmenters.get(segmenter))


def _choices(registry: Registry, names: Iterable[str], given: str) -> Choices:
    names = [*names]
    specs = names if given in names else [given, *names]
    return [(f"{spec}: {_about(registry, spec)}", spec) for spec in specs]


def _about(registry: Registry, spec: str) -> str:
    name = spec.partition(":")[0]
    first = summary(registry.get(name)).partition(". ")[0].rstrip(".")
    return WORDS.get(name) or re.sub(r" \([^)]*\)$", "", first)  # where it comes from
