"""What is compared: problems, variants, seeds, and the base that all variants share."""

from __future__ import annotations

import itertools
import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from deap_xai import __version__
from deap_xai.algorithms import algorithms, defaults_of, unheeded
from deap_xai.backends import Backend, load_backend
from deap_xai.defaults import ALGORITHM, BUDGET
from deap_xai.errors import DeapXaiError, SettingError
from deap_xai.explainer import Explainer
from deap_xai.identity import identity
from deap_xai.images import image_name, load_image
from deap_xai.objectives import resolve_objectives, told
from deap_xai.processes import one_thread
from deap_xai.specs import parse_spec
from deap_xai.toolbox import DEFAULT_OPERATORS, as_roles
from deap_xai.typing import Image
from deap_xai.wording import meant, shortened

__all__ = ["Design", "Run", "factorial", "make_design"]

SEARCH = ("segments", "fill", "algorithm", "operators", "objectives", "population")
"""Settings of an Explainer that a variant may set."""

MODEL = ("weights", "device", "transform", "size", "class_names", "batch_size")
"""Settings that belong to the model."""


class Run(NamedTuple):
    """One search: the names of its model, image and variant, and its seed."""

    model: str
    image: str
    variant: str
    seed: int


class Loaded(NamedTuple):
    """What was seen of a model when it was loaded: a hash of it, and its best batch size."""

    digest: str
    batch_size: int


@dataclass(frozen=True)
class Design:
    """Everything that a comparison runs."""

    images: Mapping[str, Image]
    models: Mapping[str, Any]
    variants: Mapping[str, Mapping[str, Any]]
    base: Mapping[str, Any]
    budget: int
    seeds: Sequence[int]

    def runs(self) -> list[Run]:
        """All runs; variants innermost, so that an interrupted comparison is a fair one."""
        names = itertools.product(self.models, self.images, self.seeds, self.variants)
        return [Run(model, image, variant, seed) for model, image, seed, variant in names]

    def model_settings(self) -> dict[str, Any]:
        """What of the base is for the model."""
        found = {key: value for key, value in self.base.items() if key in MODEL}
        names = found.get("class_names")
        if names is not None and not isinstance(names, str):  # arrays aren't hashable
            found["class_names"] = list(names)
        return found

    def search_settings(self, variant: str) -> dict[str, Any]:
        """The base with the variant laid over it; of operators, role by role."""
        base = {key: value for key, value in self.base.items() if key in SEARCH}
        given = self.variants[variant]
        roles = {**(base.get("operators") or {}), **(given.get("operators") or {})}
        return {**base, **given, "operators": roles, "budget": self.budget}

    def unheeded(self) -> list[str]:
        """What to know of variants whose objectives or operators have no part in their search."""
        found = []
        for variant in self.variants:
            settings = self.search_settings(variant)
            algorithm = algorithms.resolve(settings.get("algorithm") or ALGORITHM)
            given = settings.get("objectives")
            names = [told(one) for one in resolve_objectives(given)] if given else []
            told_of = unheeded(algorithm, names, settings["operators"])
            found += [f"{variant}: {text}" for text in told_of]
        own = [given.get("operators") or {} for given in self.variants.values()]
        return found + [
            f"the {role} operator of the base has no part: every variant has its own"
            for role in self.base.get("operators") or {}
            if all(role in operators for operators in own)
        ]

    def identities(self, loaded: Mapping[str, Loaded]) -> dict[str, Any]:
        """What each name means, to be kept beside the runs."""
        return {
            "version": __version__,
            "budget": self.budget,
            "model settings": identity(self.model_settings()),
            "models": {
                name: [identity(model), loaded[name].digest] for name, model in self.models.items()
            },
            "images": {name: identity(image) for name, image in self.images.items()},
            "variants": {name: identity(self._with_files(name)) for name in self.variants},
        }

    def _with_files(self, variant: str) -> dict[str, Any]:
        """The variant's settings, with the picture that a fill names beside its name."""
        settings = self.search_settings(variant)
        fill = settings.get("fill")
        path = parse_spec(fill)[1].get("path") if isinstance(fill, str) else None
        return settings if path is None else {**settings, "picture": Path(str(path))}

    def loaded(self) -> dict[str, Loaded]:
        """Load every model once and set up every variant, so that mistakes show now.

        Batch sizes are measured here, once for all runs.

        Raises
        ------
        SettingError
            If a variant can't be set up, or two names are one model's.
        """
        found: dict[str, Loaded] = {}
        with one_thread():  # as runs have it
            for name, model in self.models.items():
                backend = load_backend(model, **self.model_settings())
                for variant in self.variants if not found else [next(iter(self.variants))]:
                    self._set_up(variant, backend)
                found[name] = Loaded(backend.digest(), backend.batch_size)
        # What a function or an object of the user's holds may not be seen by its digest.
        named = [name for name, model in self.models.items() if isinstance(model, str)]
        _check_apart("model", {name: found[name].digest for name in named})
        return found

    def _set_up(self, variant: str, backend: Backend) -> None:
        image = next(iter(self.images.values()))
        try:
            explainer = Explainer(backend, **self.search_settings(variant))
            explainer.check_roles()  # a toolbox takes any
            explainer.toolbox(image)
        except DeapXaiError as error:
            raise SettingError(f"variant {variant!r}: {error}") from error


def make_design(
    images: Any,
    models: Any,
    variants: Mapping[str, Mapping[str, Any]],
    base: Mapping[str, Any],
    seeds: int | Sequence[int],
) -> Design:
    """A design from what the user gave, with a name for everything.

    Raises
    ------
    SettingError
        If something is missing, an image or a model comes twice, or a setting isn't one that may
        vary.
    """
    variants = _texts(variants, "variant") if isinstance(variants, Mapping) else {}
    if len(variants) < 2:
        raise SettingError(
            "variants must map two names at least to settings, such as "
            "{'uniform': {'operators': {'mate': 'cxUniform'}}, …}"
        )
    for name, settings in variants.items():
        _check_names(f"variant {name!r}", settings, SEARCH)
    _check_names("base", base, (*SEARCH, *MODEL, "budget"))
    named = _named(images, image_name, "image")
    loaded = {name: load_image(image) for name, image in named.items()}
    _check_apart("image", {name: identity(one) for name, one in loaded.items()})
    models = _named(models, _model_name, "model")
    _check_apart("model", {name: _same_model(one) for name, one in models.items()})
    return Design(
        images=loaded,
        models=models,
        variants=variants,
        base=dict(base),
        budget=BUDGET if base.get("budget") is None else base["budget"],
        seeds=_seeds(seeds),
    )


def factorial(levels: Mapping[str, Iterable[Any]]) -> dict[str, dict[str, Any]]:
    """Every combination of the levels given, as variants with names.

    Parameters
    ----------
    levels
        What varies and its levels: a setting of the Explainer (``segments``, ``fill``,
        ``algorithm``, ``objectives``, ``population``) or the role of an operator (``mate``,
        ``mutate``, ``select``, ``bits``, …).

    Raises
    ------
    SettingError
        If something is neither, or two levels have the same name.

    Examples
    --------
    >>> for name, settings in factorial({"mate": ["cxUniform", "cxRegion"]}).items():
    ...     print(name, settings)
    cxUniform {'operators': {'mate': 'cxUniform'}}
    cxRegion {'operators': {'mate': 'cxRegion'}}
    >>> list(factorial({"population": [20, 40], "mutate": ["mutStep", "mutFlipBit:indpb=0.1"]}))
    ['population=20 + mutStep', 'population=20 + mutFlipBit:indpb=0.1',
     'population=40 + mutStep', 'population=40 + mutFlipBit:indpb=0.1']
    """
    known = {*SEARCH, *_roles()} - {"operators"}
    for key in levels:
        if key not in known:
            raise SettingError(_unknown(key, sorted(known)))
        if isinstance(levels[key], str):
            raise SettingError(f"levels of {key!r} must be a list; got {levels[key]!r}")
    options = [[(key, level) for level in found] for key, found in levels.items()]
    variants: dict[str, dict[str, Any]] = {}
    for chosen in itertools.product(*options):
        name = " + ".join(_label(key, level) for key, level in chosen)
        if name in variants:
            raise SettingError(
                f"two variants would be called {name!r}; give each level once, or name the "
                "variants yourself, in a mapping from names to settings"
            )
        variants[name] = {key: level for key, level in chosen if key in SEARCH}
        roles = {key: level for key, level in chosen if key not in SEARCH}
        if roles:
            variants[name]["operators"] = roles
    return variants


def _roles() -> set[str]:
    """Every role of an operator that a toolbox or an algorithm of ours asks for."""
    found = set(DEFAULT_OPERATORS)
    for name in algorithms.names():
        with suppress(SettingError):  # a plug-in that can't be loaded
            found.update(defaults_of(algorithms.get(name)).operators)
    return found


def _label(key: str, level: Any) -> str:
    if isinstance(level, str):
        return level
    if callable(level):
        return str(getattr(level, "__name__", type(level).__name__))
    if isinstance(level, (list, tuple)) and all(isinstance(part, str) for part in level):
        return " ".join(level)
    return f"{key}={level}"


def _check_names(what: str, settings: Mapping[str, Any], known: Sequence[str]) -> None:
    reasons = {
        "seed": "seeds are given to compare itself",
        "seconds": "runs are compared at equal model calls: give a budget in base",
        "patience": "runs are compared at equal model calls: give a budget in base",
        "budget": "all variants have the same budget: give it in base",
    }
    if not isinstance(settings, Mapping):
        raise SettingError(
            f"{what} must map settings to values, such as {{'population': 20}}; got "
            f"{shortened(settings)}"
        )
    for key in settings:
        if key not in known:
            raise SettingError(f"{what}: {reasons.get(key) or _unknown(key, list(known))}")
    try:
        as_roles(settings.get("operators"))
    except SettingError as error:
        raise SettingError(f"{what}: {error}") from error


def _unknown(key: str, known: list[str]) -> str:
    hint = meant(key, known) or ";"
    return f"nothing called {key!r} can be set here{hint} known: {', '.join(known)}"


def _named(given: Any, name_of: Any, what: str) -> dict[str, Any]:
    """Things by name: as given, or named by what they are; the second frog becomes frog-2."""
    if isinstance(given, Mapping):
        found = _texts(given, what)
    else:
        found = {}
        for thing in given if isinstance(given, (list, tuple, Iterator)) else [given]:
            stem = name_of(thing)
            free = (stem if n == 1 else f"{stem}-{n}" for n in itertools.count(1))
            found[next(name for name in free if name not in found)] = thing
    if not found:
        raise SettingError(f"no {what} was given; expected at least one")
    return found


def _check_apart(what: str, known: Mapping[str, Any]) -> None:
    """Refuse two names for one thing: in the tests they would count as two problems."""
    first: dict[Any, str] = {}
    for name, thing in known.items():
        other = first.setdefault(thing, name)
        if other != name:
            raise SettingError(
                f"the {what}s {other!r} and {name!r} are the same; a copy is no further problem, "
                "it would only make differences look surer than they are: give each once"
            )


def _same_model(model: Any) -> Any:
    """What is equal for one model given twice: its name, its file's path or the object."""
    return os.path.normpath(model) if isinstance(model, str | os.PathLike) else id(model)


def _texts(given: Mapping[Any, Any], what: str) -> dict[str, Any]:
    """The same with its names as text, which tables and pictures need: 20 becomes "20"."""
    found = {str(name): thing for name, thing in given.items()}
    if len(found) < len(given):
        raise SettingError(f"two {what}s have the same name as text; got {list(given)!r}")
    return found


def _seeds(given: Any) -> list[int]:
    """So many seeds, or those given; never one rounded or read from text."""
    several = given
    with suppress(TypeError):
        several = range(operator.index(given))
    try:
        found = [operator.index(seed) for seed in several]
    except TypeError:
        found = []
    if not found or len(set(found)) < len(found) or not 0 <= min(found) <= max(found) < 2**63:
        raise SettingError(
            "seeds must be a number above 0 or distinct seeds, whole numbers of at least 0 "
            "and below 2**63; "
            f"got {given!r}"
        )
    return found


def _model_name(model: Any) -> str:
    if isinstance(model, str):
        return model
    if isinstance(model, Backend):
        return model.name
    return str(getattr(model, "__name__", type(model).__name__))
