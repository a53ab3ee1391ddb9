"""Evolutionary loops in DEAP's shape: (population, toolbox, …) to (population, logbook)."""

from deap_xai.algorithms.distribution import UMDA, eaUMDA
from deap_xai.algorithms.elitist import eaElitist
from deap_xai.algorithms.multiobjective import eaMuPlusLambda, eaNSGA2, eaNSGA3
from deap_xai.algorithms.registration import (
    Defaults,
    algorithm,
    algorithms,
    defaults_of,
    unbred,
    unheeded,
)
from deap_xai.algorithms.rivals import eaGreedy, eaRandom
from deap_xai.algorithms.surrogate import eaSurrogate

__all__ = [
    "UMDA",
    "Defaults",
    "algorithm",
    "algorithms",
    "defaults_of",
    "eaElitist",
    "eaGreedy",
    "eaMuPlusLambda",
    "eaNSGA2",
    "eaNSGA3",
    "eaRandom",
    "eaSurrogate",
    "eaUMDA",
    "unbred",
    "unheeded",
]
