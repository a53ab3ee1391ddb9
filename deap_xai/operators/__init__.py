"""Operators for bitstrings over superpixels, beside DEAP's own.

Plain functions under DEAP's naming. A parameter named ``rng`` receives the toolbox's random
generator, one named ``neighbours`` the superpixels' adjacency matrix (S, S), bool.
"""

from deap_xai.operators.crossover import cxRegion
from deap_xai.operators.initialisation import initBernoulli, initSizes
from deap_xai.operators.many import on_masks
from deap_xai.operators.mutation import mutBoundary, mutDensify, mutSparsify, mutStep, mutSwap
from deap_xai.operators.registration import operators
from deap_xai.operators.selection import assignCrowdingDist, selNSGA2, sortNondominated

__all__ = [
    "assignCrowdingDist",
    "cxRegion",
    "initBernoulli",
    "initSizes",
    "mutBoundary",
    "mutDensify",
    "mutSparsify",
    "mutStep",
    "mutSwap",
    "on_masks",
    "operators",
    "selNSGA2",
    "sortNondominated",
]
