"""The command ``deap-xai``, to which each module beside this one adds its own."""

from __future__ import annotations

import io
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from deap_xai import __version__
from deap_xai.errors import DeapXaiError

__all__ = ["INTERRUPTED", "main", "raised_at"]

INTERRUPTED = 130
"""What shells make of Ctrl-C."""


class _Group(click.Group):
    """A group that answers errors in one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # no name is worth losing a result
                stream.reconfigure(errors="backslashreplace")
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except (DeapXaiError, OSError) as error:
            raise click.ClickException(str(error)) from error
        except Exception as error:  # a value of the wrong kind may break whatever it is given to
            raise click.ClickException(
                f"{type(error).__name__}: {error} ({raised_at(error)}); is each value that was "
                "given of the right kind and size? If so, this is a mistake in deap-xai"
            ) from error


def raised_at(error: BaseException) -> str:
    """Where an error was raised: a file's name and a line."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(place.filename).name}, line {place.lineno}"


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deap-xai")
def main() -> None:
    """Explain image classifiers by evolving which superpixels to keep."""
