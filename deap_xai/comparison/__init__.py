"""Which operators are better: variants of a search, compared at equal model calls."""

from deap_xai.comparison.design import factorial
from deap_xai.comparison.result import Comparison
from deap_xai.comparison.running import compare

__all__ = ["Comparison", "compare", "factorial"]
