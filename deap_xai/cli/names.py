"""``deap-xai list``."""

from __future__ import annotations

from collections.abc import Sequence

import click

from deap_xai.cli.group import main

__all__ = ["list_names"]


@main.command("list")
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
def list_names(kinds: Sequence[str]) -> None:
    """Print everything that can be named, with its parameters.

    KIND is a heading of what it prints, such as fills, to see that alone; or models.
    """
    import deap_xai.explainer  # noqa: F401  # fills the registries
    from deap_xai.listing import listing

    click.echo(listing(kinds))
