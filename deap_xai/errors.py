"""What goes wrong, by kind.

Every message says what came, what was expected and what to do. All errors of this package
derive from :class:`DeapXaiError`, so one ``except`` (or the shell's one handler) covers them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from numbers import Integral
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deap_xai.explanation import Explanation

__all__ = [
    "BackendError",
    "BudgetExhausted",
    "DeapXaiError",
    "ImageError",
    "MissingExtraError",
    "OperatorError",
    "RunError",
    "SettingError",
    "SomeImagesFailed",
    "check_count",
    "require",
]


class DeapXaiError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageError(DeapXaiError, ValueError):
    """The image can't be read, or isn't one."""


class SettingError(DeapXaiError, ValueError):
    """A name, a parameter or a combination of settings that makes no sense."""


class BackendError(DeapXaiError, ValueError):
    """The classifier can't be loaded, or its answer isn't a table of probabilities."""


class OperatorError(DeapXaiError, TypeError):
    """A genetic operator broke DEAP's contract: what it returns, or what it wrote."""


class BudgetExhausted(DeapXaiError):
    """The evaluator's budget has ended.

    Everything evaluated until then is in the evaluator's archive. This package's algorithms
    catch it and return; DEAP's stock loops let it through to the caller.
    """


class SomeImagesFailed(DeapXaiError):
    """Not every image of a list could be explained; those that could are in here.

    Attributes
    ----------
    explanations
        One for each image, in order; None where it failed.
    errors
        What went wrong, by the image's place in the list.
    """

    def __init__(
        self,
        explanations: Sequence[Explanation | None],
        errors: Mapping[int, BaseException],
    ) -> None:
        super().__init__(explanations, errors)  # so that it can be pickled
        self.explanations, self.errors = explanations, errors

    def __str__(self) -> str:
        place, first = next(iter(self.errors.items()))
        return (
            f"{len(self.errors)} of {len(self.explanations)} images failed, the first is number "
            f"{place + 1}: {_told(first)}; the others' explanations are in "
            "this error's .explanations"
        )


def _told(error: BaseException) -> str:
    """What went wrong, with the kind where that is Python's or another's.

    Examples
    --------
    >>> _told(KeyError("mine")), _told(SettingError("no such fill"))
    ("KeyError: 'mine'", 'no such fill')
    """
    ours = isinstance(error, (DeapXaiError, KeyboardInterrupt))
    return str(error) if ours else f"{type(error).__name__}: {error}"


class RunError(DeapXaiError, RuntimeError):
    """A run over many images can't begin or go on: its settings, its folder or its workers.

    What was explained until then stays in the run's folder.
    """


class MissingExtraError(DeapXaiError, ImportError):
    """A feature needs an optional package that isn't installed."""


def check_count(name: str, value: Any, least: int) -> None:
    """See that a value is a whole number of at least so many.

    Raises
    ------
    SettingError
        If it isn't.

    Examples
    --------
    >>> check_count("workers", 0, 1)
    Traceback (most recent call last):
    ...
    deap_xai.errors.SettingError: workers must be a whole number of at least 1; got 0
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise SettingError(f"{name} must be a whole number of at least {least}; got {value!r}")


def require(module: str, extra: str) -> ModuleType:
    """Import an optional module, or say which extra installs it.

    Parameters
    ----------
    module
        Dotted name of the module.
    extra
        Name of the extra in this package's metadata that brings it.

    Raises
    ------
    MissingExtraError
        If the module isn't installed.

    Examples
    --------
    >>> require("json", extra="none").dumps([1])
    '[1]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"this needs the package {module.partition('.')[0]!r}, which is not installed; "
            f'install it with: pip install "deap-xai[{extra}]"; in a copy of the source: '
            f'pip install ".[{extra}]"'
        ) from error
