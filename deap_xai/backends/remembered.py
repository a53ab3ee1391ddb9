"""What was measured on this machine, kept for the next run."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deap_xai.files import write_whole

__all__ = ["key_of", "recall", "remember"]

PACKAGES = ("deap-xai", "numpy", "torch", "onnxruntime", "openvino")
"""Those whose versions a measurement depends on."""


def key_of(*facts: Any) -> str:
    """A key for what was measured: of the facts, the machine and the packages' versions."""
    known = [*facts, platform.node(), platform.machine(), _processor(), os.cpu_count()]
    known += [(name, _version(name)) for name in PACKAGES]
    return hashlib.sha256(repr(known).encode()).hexdigest()[:32]


def recall(key: str) -> dict[str, Any]:
    """What was remembered under a key; empty where nothing was, or it can't be read."""
    try:
        found = json.loads((_folder() / f"{key}.json").read_text())
    except (OSError, ValueError, RuntimeError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(key: str, facts: dict[str, Any]) -> None:
    """Write facts under a key, whole or not at all; where nothing can be written, nothing is."""
    with suppress(OSError, RuntimeError):  # who has no home has no folder
        _folder().mkdir(parents=True, exist_ok=True)
        write_whole(_folder() / f"{key}.json", json.dumps(facts).encode())


def _folder() -> Path:
    """``$XDG_CACHE_HOME/deap_xai``, by default ``~/.cache/deap_xai``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "deap_xai"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line
    return platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
