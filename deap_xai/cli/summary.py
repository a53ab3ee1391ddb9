"""``deap-xai summary``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from deap_xai.cli.group import main
from deap_xai.cli.options import make_folder

__all__ = ["summary"]


@main.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False), metavar="RUN")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write maps.png, summary.json and, if some are alike, groups.png.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def summary(run: Path, out: Path | None, as_json: bool) -> None:
    """Say what a classifier looked at, and where it may cheat.

    Class by class, over all explanations of RUN, which is a folder that deap-xai batch made; it
    need not be finished.
    """
    from deap_xai.plotting import save_png, use_files_only
    from deap_xai.runs import summary as summarise
    from deap_xai.runs.words import large_groups

    use_files_only()
    found = summarise(run)
    text = json.dumps(found.to_dict(), indent=2)
    click.echo(text if as_json else found.table())
    if out is None:
        return
    make_folder(out)
    figures = {"maps.png": found.plot_maps()}
    if large_groups(found):
        figures["groups.png"] = found.plot_groups()
    try:
        for name, figure in figures.items():
            save_png(figure, out / name)
        (out / "summary.json").write_text(text + "\n")
    except OSError as error:
        raise click.ClickException(f"can't write to {out}: {error.strerror}") from error
    click.echo(f"wrote {', '.join(figures)} and summary.json to {out}", err=True)
