"""An explainer's settings, so that a search can be repeated."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deap_xai.objectives import Objective, registered_weight
from deap_xai.registry import behind

if TYPE_CHECKING:
    from deap_xai.explainer import Explainer

__all__ = ["described"]


def described(explainer: Explainer) -> dict[str, Any]:
    """Every setting, in values that JSON knows; functions and arrays by a name.

    ``python_only`` lists those that no text can name, so that the shell can't repeat them.
    """
    given = {key: value for key, value in explainer.given.items() if value is not None}
    names = given.pop("class_names", None)
    return {
        "model": explainer.backend.name,
        **{k: str(v) if k == "device" else _named(v) for k, v in given.items()},
        **({"class_names": f"{len(names)} names"} if names is not None else {}),
        "segments": _named(explainer.segments),
        "fill": _named(explainer.fill),
        "algorithm": _named(explainer.algorithm),
        "operators": {role: _named(spec) for role, spec in explainer.operators.items()},
        "objectives": [_objective(o) for o in explainer.objectives],
        "pick": _named(explainer.pick),
        "population": explainer.population,
        "budget": explainer.limits().calls,
        "seconds": explainer.seconds,
        "patience": explainer.patience,
        "batch_size": int(explainer.backend.batch_size),
        **({"engine": explainer.backend.engine} if explainer.backend.engine else {}),
        **({"precision": explainer.backend.precision} if explainer.backend.precision else {}),
        "python_only": _python_only(explainer),
    }


def _python_only(explainer: Explainer) -> list[str]:
    named = {
        "model": explainer.model,
        "segments": explainer.segments,
        "fill": explainer.fill,
        "algorithm": explainer.algorithm,
        **explainer.operators,
        "pick": explainer.pick,
    }
    found = [key for key, value in named.items() if not isinstance(value, str)]
    own = [o for o in explainer.objectives if o.weight != registered_weight(o)]
    shell_lacks = [key for key in ("transform", "size") if explainer.given[key] is not None]
    return [*found, *(f"objective {o.name}" for o in own), *shell_lacks]


def _objective(objective: Objective) -> str:
    """As a spec, with the weight where the name alone stands for another or none."""
    spec = _with_parameters(objective.name, objective.function)
    own = objective.weight != registered_weight(objective)
    return f"{spec} with weight {objective.weight:g}" if own else spec


def _named(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return str(type(value)(np.array(value).tolist()))  # without NumPy's own types
    if isinstance(value, (str, Path, int, np.integer)):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"array {value.shape}"
    plain = behind(value)
    return _with_parameters(str(getattr(plain, "__qualname__", type(plain).__name__)), value)


def _with_parameters(name: str, function: Any) -> str:
    bound = ",".join(f"{key}={value}" for key, value in getattr(function, "keywords", {}).items())
    return f"{name}:{bound}" if bound else name
