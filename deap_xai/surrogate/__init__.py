"""A cheap model of what the classifier will say, and whom to ask next because of it."""

from deap_xai.surrogate.acquisition import acqExpectedGain, expected_gain
from deap_xai.surrogate.gaussian_process import GaussianProcess
from deap_xai.surrogate.ranking import Ranking

__all__ = [
    "GaussianProcess",
    "Ranking",
    "acqExpectedGain",
    "expected_gain",
]
