"""The line for the shell that repeats an explanation."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deap_xai.explanation import Explanation

__all__ = ["command_line"]

OPTIONS = "weights device segments fill algorithm pick population budget seconds patience".split()
"""Settings that are options of ``deap-xai explain`` under the same name."""


def command_line(explanation: Explanation, image: str = "", seeds: int | None = None) -> str | None:
    """The ``deap-xai explain`` that gives this explanation again, quoted for a POSIX shell.

    Parameters
    ----------
    explanation
        Its settings, seed and target.
    image
        The image's path; where it isn't known, the line has IMAGE in its place. Names of classes
        that were given stand in a file that isn't known either: CLASSES.
    seeds
        How many seeds there were, from the explanation's own up; None for one explanation.

    Returns
    -------
    The line; None where the settings hold what only Python can name, or aren't known.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> settings = {"model": "demo", "fill": "blur", "python_only": []}
    >>> made = SimpleNamespace(
    ...     settings=settings, target=3, target_name="newt", seed=0, reference=None
    ... )
    >>> command_line(made, "my frog.png")
    "deap-xai explain 'my frog.png' --model demo --target 'class 3' --fill blur --seed 0"
    """
    settings = explanation.settings
    if "model" not in settings or settings.get("python_only", ["unknown"]):
        return None
    words = ["deap-xai", "explain", f"./{image}" if image.startswith("-") else image or "IMAGE"]
    words += ["--model", settings["model"]]
    if settings.get("target", explanation.target) is not None:
        # A number alone may be the name of another class.
        words += ["--target", f"class {explanation.target}"]
    if settings.get("class_names"):
        words += ["--classes", "CLASSES"]
    for name in OPTIONS:
        if settings.get(name) is not None:
            words += [f"--{name}", str(settings[name])]
    if explanation.reference is not None or settings.get("engine") in ("onnx", "openvino"):
        words += ["--engine", settings["engine"], "--precision", settings["precision"]]
    if settings.get("engine"):  # last digits of its answers depend on how many are asked at once
        words += ["--batch-size", str(settings["batch_size"])]
    for role, spec in settings.get("operators", {}).items():
        words += ["--set", f"{role}={spec}"]
    for objective in settings.get("objectives", ()):
        words += ["--objective", str(objective)]
    words += ["--seed", str(explanation.seed)]
    return shlex.join(words if seeds is None else [*words, "--seeds", str(seeds)])
