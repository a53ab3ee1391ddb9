"""The registry of operators, which also knows all of DEAP's ``tools``."""

from deap import tools

from deap_xai.registry import registry

__all__ = ["operators"]

UNFIT = frozenset(
    "cxBlend cxESBlend cxESTwoPoint cxESTwoPoints cxMessyOnePoint cxOrdered cxPartialyMatched "
    "cxSimulatedBinary cxSimulatedBinaryBounded cxTwoPoints cxUniformPartialyMatched "
    "mutESLogNormal mutGaussian mutPolynomialBounded selNSGA3WithMemory selTournamentDCD".split()
)
"""DEAP's for other individuals than bitstrings of one length, for other calls than ours, or under a
former name."""

operators = registry("operator", library=tools, unfit=UNFIT)
