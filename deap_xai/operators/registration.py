"""The registry of operators, which also knows all of DEAP's ``tools``."""

from deap import tools

from deap_xai.registry import registry

__all__ = ["operators"]

operators = registry("operator", library=tools)
