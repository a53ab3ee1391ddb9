"""``deap-xai report``."""

from __future__ import annotations

from pathlib import Path

import click

from deap_xai.cli.group import main

__all__ = ["report"]


@main.command()
@click.argument("source", metavar="SAVED", type=click.Path(exists=True, path_type=Path))
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
              help="The page.  [default: SAVED.html, or index.html in SAVED/report]")  # fmt: skip
def report(source: Path, out: Path | None) -> None:
    """Make a page to look at from what was SAVED.

    A saved explanation (.npz) gives one page with everything in it; a run's folder gives a gallery
    and, beside it, a folder with its pictures.
    """
    from deap_xai.report import report_file, report_run

    is_run = source.is_dir()
    page = out or (source / "report" / "index.html" if is_run else source.with_suffix(".html"))
    try:
        written = report_run(source, page) if is_run else report_file(source, page)
        click.echo(f"wrote {written}")
    except OSError as error:
        raise click.ClickException(f"can't write {page}: {error.strerror}") from error
