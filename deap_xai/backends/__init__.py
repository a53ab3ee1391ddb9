"""Classifiers behind one protocol: a function, a torch module, torchvision's models by name."""

from deap_xai.backends.base import Backend
from deap_xai.backends.function import FunctionBackend
from deap_xai.backends.loading import backends, load_backend

__all__ = ["Backend", "FunctionBackend", "backends", "load_backend"]
