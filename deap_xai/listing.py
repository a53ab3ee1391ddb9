"""Everything that can be named, as text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from deap_xai.errors import SettingError
from deap_xai.registry import REGISTRIES, Registry
from deap_xai.wording import meant

__all__ = ["listing", "summary"]


def listing(kinds: Sequence[str] = ()) -> str:
    """Names by kind, each with its parameters and their defaults and what it does.

    Parameters
    ----------
    kinds
        Plurals: ``"segmenters"``, ``"fills"``, ``"operators"``, ``"algorithms"``,
        ``"objectives"``, ``"picks"``, ``"backends"``, ``"engines"``, ``"models"``, or one of
        these in the singular; none of them means all, but for the models' names.

    Raises
    ------
    SettingError
        If a kind is unknown.
    """
    known = {f"{kind}s": registry for kind, registry in REGISTRIES.items()}
    sections = []
    for name in kinds or [*known, "engines"]:
        kind = f"{name.removesuffix('s')}s"
        if kind == "models":
            from deap_xai.backends.torchvision_models import torchvision_names

            sections.append("models\n  " + "\n  ".join(torchvision_names()))
        elif kind == "engines":
            sections.append(_engines())
        elif kind in known:
            sections.append(_section(kind, known[kind]))
        else:
            every = [*known, "engines", "models"]
            hint = meant(name, every) or ";"
            raise SettingError(f"unknown kind {name!r}{hint} known: {', '.join(every)}")
    if not kinds:
        sections.append("models\n  torchvision's classifiers: deap-xai list models names them")
    return "\n\n".join(sections)


def _engines() -> str:
    from deap_xai.backends.engines import ENGINES

    lines = ["engines"]
    for name, engine in ENGINES.items():
        missing = "" if engine.installed else f'; needs pip install "deap-xai[{engine.extra}]"'
        lines += [f"  {name}", f"      {engine.summary}: {', '.join(engine.precisions)}{missing}"]
    return "\n".join(lines)


def _section(kind: str, registry: Registry) -> str:
    lines = [kind, *(_entry(registry, name) for name in registry.names())]
    if others := registry.library_names():
        text = f"and from deap.tools: {', '.join(others)}"
        lines.append(textwrap.fill(text, 96, initial_indent="  ", subsequent_indent="  "))
    return "\n".join(lines)


def _entry(registry: Registry, name: str) -> str:
    try:
        function = registry.get(name)
    except SettingError as error:  # a plug-in that is broken; the others are fine
        return f"  {name}\n      {error}"
    values = ",".join(
        f"{key}={'…' if value is ... else value}"
        for key, value in registry.parameters(function).items()
    )
    head = f"{name}:{values}" if values else name
    return f"  {head}\n      {summary(function)}"


def summary(function: Callable[..., Any]) -> str:
    """The first paragraph of a function's docstring in one line, without Sphinx's marks."""
    first = (function.__doc__ or "").strip().split("\n\n")[0]
    return re.sub(r":\w+:|`", "", " ".join(first.split()))
