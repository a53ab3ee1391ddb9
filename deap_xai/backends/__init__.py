"""Classifiers behind one protocol: a function, a torch module, torchvision's by name, a file."""

from deap_xai.backends import files  # registers its backend
from deap_xai.backends.base import Backend
from deap_xai.backends.function import FunctionBackend
from deap_xai.backends.loading import backends, load_backend

__all__ = ["Backend", "FunctionBackend", "backends", "files", "load_backend"]
