"""Explain image classifiers by evolving which superpixels to keep, with DEAP.

>>> import deap_xai as dx
>>> explainer = dx.Explainer("demo", budget=100)

Public names load when they are first used, so that ``import deap_xai`` is instant.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deap_xai.backends import Backend
    from deap_xai.comparison import compare
    from deap_xai.explainer import Explainer
    from deap_xai.explanation import Explanation
    from deap_xai.images import load_image
    from deap_xai.runs import batch, summary

__version__ = "0.1.0"
__all__ = ["Backend", "Explainer", "Explanation", "batch", "compare", "load_image", "summary"]

_HOMES = {
    "Backend": "backends",
    "Explainer": "explainer",
    "Explanation": "explanation",
    "batch": "runs",
    "compare": "comparison",
    "load_image": "images",
    "summary": "runs",
}

# By default OpenMP threads wait by spinning for milliseconds: where other work shares the cores, a
# search slows down many times over. Not to spin at all costs a third where they are free; this is
# some microseconds. Torch reads it when it loads: where it was imported before, nothing changes.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'deap_xai' has no attribute {name!r}")
    return getattr(importlib.import_module(f"deap_xai.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
