"""Evolutionary loops in DEAP's shape: (population, toolbox, …) to (population, logbook)."""

from deap_xai.algorithms.elitist import eaElitist
from deap_xai.algorithms.registration import algorithms

__all__ = ["algorithms", "eaElitist"]
