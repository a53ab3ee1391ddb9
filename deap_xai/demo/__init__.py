"""Procedural pictures with known truth, and small networks trained on them."""

from deap_xai.demo.agreement import Agreement, agreement
from deap_xai.demo.creatures import CLASS_NAMES, KINDS, PARTS, SIZE, Creature, creature
from deap_xai.demo.networks import MEAN, NETWORKS, STD, build, network

__all__ = [
    "CLASS_NAMES",
    "KINDS",
    "MEAN",
    "NETWORKS",
    "PARTS",
    "SIZE",
    "STD",
    "Agreement",
    "Creature",
    "agreement",
    "build",
    "creature",
    "network",
]
