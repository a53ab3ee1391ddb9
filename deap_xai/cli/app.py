"""``deap-xai app``."""

from __future__ import annotations

from typing import Any

import click

from deap_xai.cli.group import main
from deap_xai.cli.options import explainer_settings, model_options

__all__ = ["app"]


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), metavar="NUMBER",
              help="Where to listen.  [default: the first free one from 7860]")  # fmt: skip
@model_options
def app(port: int | None, **settings: Any) -> None:
    """Open a live page: watch the search, try the pieces yourself.

    It listens on this machine alone and asks no other for anything but a model's weights. The
    options are what visitors find chosen. Needs the extra "app".
    """
    from deap_xai.app import serve

    blocks, address = serve(explainer_settings(settings), port)
    click.echo(f"Open {address} in a browser; Ctrl-C here ends it.")
    blocks.block_thread()
