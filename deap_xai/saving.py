"""An explanation as the bytes of a file: NumPy's ``.npz`` with JSON inside; nothing is pickled."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deap_xai.archive import Archive
from deap_xai.errors import SettingError
from deap_xai.pareto import Pareto

if TYPE_CHECKING:
    from deap_xai.explanation import Explanation

__all__ = ["packed", "unpacked"]

FORMAT = 1
"""Version of the file format; a reader refuses what it doesn't know."""

SCALARS = (
    "target target_name probability probability_full probability_empty model_calls seconds seed "
    "settings warnings"
).split()
ARRAYS = "mask segments view fill attribution".split()


def packed(explanation: Explanation) -> bytes:
    """An explanation as the content of an ``.npz`` file."""
    checks, archive, own = explanation.checks, explanation.archive, explanation.reference
    scalars = {name: getattr(explanation, name) for name in SCALARS}
    arrays: dict[str, Any] = {name: getattr(explanation, name) for name in ARRAYS}
    arrays |= {"archive_masks": archive.masks, "archive_probabilities": archive.probabilities}
    if own is not None:
        arrays |= {"reference_masks": own.masks, "reference_probabilities": own.probabilities}
    front = explanation.pareto
    if front is not None:
        arrays |= {"pareto_masks": front.masks, "pareto_values": front.values}
        scalars["pareto_names"] = front.names
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        json=json.dumps({"format": FORMAT, **scalars, "rest": checks.rest}),
        fill_names=list(checks.fills),
        fill_values=list(checks.fills.values()),
        random=checks.random,
        dropped=checks.dropped,
        **arrays,
    )
    return buffer.getvalue()


def unpacked(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of the explanation in a file; those of its checks by name too.

    Raises
    ------
    SettingError
        If there is no such file or it isn't one.
    """
    try:
        # Opened here, since NumPy leaves a damaged file open.
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return _fields(dict(file))
    except Exception as error:  # zip, NumPy and JSON have errors of their own for a bad file
        raise SettingError(
            f"can't read an explanation from {os.fspath(path)}: {_reason(error)}; expected a file "
            "written by Explanation.save"
        ) from error


def _fields(arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    facts = json.loads(str(arrays["json"]))
    if facts.pop("format") != FORMAT:
        raise SettingError("it was written by another version of deap_xai")
    names, values = arrays["fill_names"], arrays["fill_values"]
    checks = {
        "rest": facts.pop("rest"),
        "fills": {str(n): float(v) for n, v in zip(names, values, strict=True)},
        "random": arrays["random"],
        "dropped": arrays["dropped"],
    }
    own = None
    if "reference_masks" in arrays:
        own = Archive(arrays["reference_masks"], arrays["reference_probabilities"])
    front = None
    if "pareto_masks" in arrays:
        named = tuple(facts["pareto_names"])
        front = Pareto(named, arrays["pareto_masks"], arrays["pareto_values"])
    return {
        **{name: arrays[name] for name in ARRAYS},
        **{name: facts[name] for name in SCALARS},
        "warnings": tuple(facts["warnings"]),
        "archive": Archive(arrays["archive_masks"], arrays["archive_probabilities"]),
        "reference": own,
        "pareto": front,
        "checks": checks,
    }


def _reason(error: Exception) -> str:
    """In words; what zip, NumPy and JSON say of another's file says nothing to who gave it."""
    if isinstance(error, SettingError):
        return str(error)
    return getattr(error, "strerror", None) or "it is a file of another kind, or damaged"
