"""One registry for everything that can be named: a name, a function, its parameters.

Segmenters, fills, operators, algorithms, objectives and backends are plain functions that
stand in a :class:`Registry` under a name. Users name them in a *spec*, the name followed by
parameters: ``"slic:n_segments=80,compactness=5"``. Other packages add to a registry through
Python entry points in the group ``deap_xai.<kind>s``, ``deap_xai.fills`` for instance.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from numbers import Integral, Real
from types import ModuleType
from typing import Any, TypeAlias, TypeVar

from deap_xai.errors import SettingError
from deap_xai.specs import parse_spec
from deap_xai.wording import meant, shortened

__all__ = [
    "FILLED",
    "REGISTRIES",
    "Registry",
    "Spec",
    "behind",
    "check_call",
    "parameters",
    "registry",
]

F = TypeVar("F", bound=Callable[..., Any])

Spec: TypeAlias = "str | Callable[..., Any]"
"""How users name a thing: ``"name:parameter=value,…"``, or the function itself."""

REGISTRIES: dict[str, Registry] = {}
"""Every registry by its kind, in the order that they are made: what ``deap-xai list`` prints."""


FILLED = frozenset(
    "individual individuals ind1 ind2 k population toolbox stats halloffame verbose "
    "rng neighbours evaluator".split()
)
"""Parameters that a caller fills in by name, so that no spec sets them: DEAP's own for operators
and algorithms, then what the toolbox knows of the picture and of chance."""

RATES = frozenset(("cxpb", "mutpb", "indpb", "p", "again", "rate", "share"))
"""Names of probabilities and shares: DEAP's, and our own."""

COUNTS = frozenset(("tournsize", "shortlist", "draws", "k", "n_segments"))
"""Numbers of things, of which there must be one at least."""

WHOLE = ("int", "int | None", int)
"""What a function says of parameters that are whole numbers."""


class Registry:
    """Functions of one kind by name.

    Parameters
    ----------
    kind
        Singular noun for messages: ``"fill"``. Its plural names the entry-point group.
    library
        A module whose public functions also answer by name (DEAP's ``tools`` for operators).
    takes
        What its functions are called with, by position; nothing: that isn't checked here.
    ready
        What may be given beside a name, for messages.
    unfit
        Names of the library that answer, but aren't offered.

    Examples
    --------
    >>> fruits = Registry("fruit")
    >>> @fruits.register
    ... def apple(tree, n=3):
    ...     return ["apple"] * n
    >>> fruits.resolve("apple:n=2")("tree")
    ['apple', 'apple']
    >>> fruits.resolve("aple")
    Traceback (most recent call last):
    ...
    deap_xai.errors.SettingError: unknown fruit 'aple'; did you mean 'apple'? known: apple
    """

    def __init__(
        self,
        kind: str,
        library: ModuleType | None = None,
        takes: Sequence[str] = (),
        unfit: Collection[str] = (),
        ready: str = "a function",
    ) -> None:
        self.kind = kind
        self._ready = ready
        self._unfit = unfit
        self._takes = takes
        self._library = library
        self._functions: dict[str, Callable[..., Any]] = {}

    def register(self, function: F) -> F:
        """Add a function under its own name; usable as a decorator.

        Raises
        ------
        SettingError
            If it has no name, or this package has one of that name, which settings and reports
            go on naming.
        """
        name = getattr(function, "__name__", None)
        if name is None:
            raise SettingError(
                f"a {self.kind} is registered under its own name, and {shortened(function)} has "
                "none; wrap it in a function"
            )
        if _is_ours(self._functions.get(name)) and not _is_ours(function):
            raise SettingError(
                f"the {self.kind} {name!r} is deap_xai's own; give yours another name"
            )
        self._functions[name] = function
        return function

    def names(self) -> list[str]:
        """Names of everything registered here or by entry points, sorted."""
        return sorted({*self._functions, *self._plugins})

    def library_names(self) -> list[str]:
        """The library's crossovers, mutations and selections that are offered too, sorted."""
        found = [] if self._library is None else sorted(vars(self._library))
        kinds = [name for name in found if re.match("(cx|mut|sel)[A-Z]", name)]
        return [name for name in kinds if name not in self._functions and name not in self._unfit]

    def get(self, name: str) -> Callable[..., Any]:
        """The function of that name.

        Raises
        ------
        SettingError
            If nothing has that name; the message lists the closest and all known names.
        """
        if name in self._functions:
            return self._functions[name]
        if name in self._plugins:
            self._functions[name] = self._load(self._plugins[name])
            return self._functions[name]
        if self._library is not None and callable(found := getattr(self._library, name, None)):
            return found
        raise SettingError(self._unknown(name))

    def resolve(self, spec: Spec) -> Callable[..., Any]:
        """The function that a spec names, with the spec's parameters bound.

        A callable is returned as it is.

        Raises
        ------
        SettingError
            If the name or a parameter is unknown, the spec can't be read, or the function can't
            be called as this kind's are.
        """
        if isinstance(spec, str):
            function = self._named(spec)
        elif callable(spec):
            function = spec
        else:
            raise SettingError(
                f"{self.kind} must be a name, such as {self.names()[0]!r}, or {self._ready}; "
                f"got {type(spec).__name__}"
            )
        if self._takes:
            check_call(self.kind, function, self._takes)
        return function

    def parameters(self, function: Callable[..., Any]) -> Mapping[str, Any]:
        """As :func:`parameters`, without what this kind's functions are called with."""
        every = inspect.signature(function).parameters.items()
        by_place = [k for k, p in every if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        data, known = by_place[: len(self._takes)], parameters(function)
        return {key: default for key, default in known.items() if key not in data}

    def _named(self, spec: str) -> Callable[..., Any]:
        name, values = parse_spec(spec)
        function = self.get(name)
        known = self.parameters(function)
        for key in values:
            if key not in known:
                options = ", ".join(f"{k}={_shown(v)}" for k, v in known.items()) or "none"
                raise SettingError(
                    f"{self.kind} {name!r} has no parameter {key!r}; its parameters: {options}"
                )
            self._check_value(name, key, values[key], known[key])
            is_count = key in COUNTS and not isinstance(known[key], float)
            if is_count or _annotation(function, key) in WHOLE:
                self._check_whole(name, key, values[key])
        for key in _required(function) - values.keys():
            raise SettingError(
                f"{self.kind} {name!r} needs its parameter {key!r}: {name}:{key}=VALUE"
            )
        return functools.partial(function, **values) if values else function

    def _check_value(self, name: str, key: str, value: Any, default: Any) -> None:
        """No text where the default is a number, no number where it is a text, no rate over 1.

        DEAP's functions have no annotations, so that names tell what is a rate, unless the default
        tells otherwise: a plug-in's parameter of that name may be something else.
        """
        is_rate = key in RATES and (not isinstance(default, Real) or 0 <= float(default) <= 1)
        if is_rate and not (isinstance(value, Real) and 0 <= float(value) <= 1):
            raise SettingError(f"{self.kind} {name!r}: {key} must be within 0..1; got {value!r}")
        for kind, expected, other in ((Real, "a number", str), (str, "a text", Real)):
            if isinstance(default, kind) and isinstance(value, other):
                raise SettingError(
                    f"{self.kind} {name!r}: {key} must be {expected}, such as {default!r}; got "
                    f"{value!r}"
                )

    def _check_whole(self, name: str, key: str, value: Any) -> None:
        if value is None and key not in COUNTS:
            return
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if whole and (value > 0 or key not in COUNTS):
            return
        least = " of at least 1" if key in COUNTS else ""
        raise SettingError(
            f"{self.kind} {name!r}: {key} must be a whole number{least}; got {value!r}"
        )

    @functools.cached_property
    def _plugins(self) -> dict[str, Any]:
        """Entry points by name.

        Looked for once, since that means opening many files: what is installed later is seen by
        the next process.
        """
        plural = self.kind + "s"
        return {point.name: point for point in entry_points(group=f"deap_xai.{plural}")}

    def _load(self, plugin: Any) -> Callable[..., Any]:
        try:
            return plugin.load()
        except Exception as error:  # anything may go wrong in code that isn't ours
            raise SettingError(
                f"the plug-in {plugin.value!r} for {self.kind} {plugin.name!r} can't be loaded: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _unknown(self, name: str) -> str:
        known = self.names()
        hint = meant(name, [*known, *self.library_names()]) or ";"
        more = f", or any of {self._library.__name__}" if self._library is not None else ""
        form = "; expected name:parameter=value" if "=" in name else ""
        # DEAP's names begin with what they are for: who wants a mutation has no use for crossovers.
        prefix = re.match("[a-z]+(?=[A-Z])", name)
        kin = [one for one in known if prefix and re.match(f"{prefix[0]}[A-Z]", one)] or known
        return f"unknown {self.kind} {name!r}{hint} known: {', '.join(kin)}{more}{form}"


def registry(kind: str, **settings: Any) -> Registry:
    """Make a :class:`Registry`, with its arguments, and enter it in :data:`REGISTRIES`."""
    REGISTRIES[kind] = Registry(kind, **settings)
    return REGISTRIES[kind]


def check_call(
    what: str,
    function: Callable[..., Any],
    takes: Sequence[str],
    given: Iterable[str] = (),
    hint: str = "get anything else in its spec, name:parameter=value, or from functools.partial",
) -> None:
    """See now, not amid a run, that a function can be called as it will be.

    Parameters
    ----------
    what
        It is, for the message: ``"objective"``.
    function
        What will be called.
    takes
        What it is called with, by position.
    given
        What it is called with beside these, by name.
    hint
        What else it must do, for the message.

    Raises
    ------
    SettingError
        If it takes less or needs more.

    Examples
    --------
    >>> check_call("fill", lambda view: view, ["view", "segments"])
    Traceback (most recent call last):
    ...
    deap_xai.errors.SettingError: fill '<lambda>' can't be called with (view, segments): too many \
    positional arguments; ...
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-ins have none
        return
    try:
        bound = signature.bind_partial(*takes, **dict.fromkeys(given)).arguments
        if lacking := [
            key for key, p in signature.parameters.items() if key not in bound and _needed(p)
        ]:
            raise TypeError(f"it also needs {', '.join(lacking)}")
    except TypeError as error:
        plain = behind(function)
        name = getattr(plain, "__name__", type(plain).__name__)
        raise SettingError(
            f"{what} {name!r} can't be called with ({', '.join(takes)}): {error}; it must take "
            f"what is in the brackets, and {hint}"
        ) from error


def _needed(parameter: inspect.Parameter) -> bool:
    several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and not several


def _is_ours(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("deap_xai.")


def behind(function: Any) -> Any:
    """The function behind a ``functools.partial``; anything else as it is."""
    return function.func if isinstance(function, functools.partial) else function


def parameters(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The parameters that a spec may set, with their defaults (``...`` where there is none).

    Left out are positional-only ones, which carry the data, and, unless they are keyword-only,
    those in :data:`FILLED`.

    Examples
    --------
    >>> from deap import tools
    >>> dict(parameters(tools.selTournament))
    {'tournsize': ..., 'fit_attr': 'fitness'}
    """
    return {
        name: ... if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
        or (parameter.kind is parameter.POSITIONAL_OR_KEYWORD and name not in FILLED)
    }


def _annotation(function: Callable[..., Any], key: str) -> Any:
    return inspect.signature(function).parameters[key].annotation


def _shown(default: Any) -> str:
    return "…" if default is ... else repr(default)


def _required(function: Callable[..., Any]) -> set[str]:
    """Keyword-only parameters without a default. DEAP's have none: its rates are filled later."""
    return {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    }
