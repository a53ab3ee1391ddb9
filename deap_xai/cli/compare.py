"""``deap-xai compare``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from deap_xai.cli.group import INTERRUPTED, main
from deap_xai.cli.options import explainer_settings, key_and_spec, model_options

__all__ = ["compare"]

LEFT_OUT = ("model", "pick", "seconds", "patience", "seed", "engine", "precision")
"""Options of one explanation that mean nothing where runs are compared at equal model calls."""

KINDS: dict[str, Callable[[str], Any]] = {"population": int, "objectives": str.split}
"""What becomes of a level's text, where it isn't a spec."""

EXAMPLES = """\b
Examples:
  deap-xai compare frog.jpg toad.jpg --vary mate=cxUniform --vary mate=cxRegion
  deap-xai compare *.jpg --model resnet50 --model vit_b_16 --algorithm eaElitist
      --vary mutate=mutFlipBit:indpb=0.05 --vary mutate=mutStep --jobs 4
  deap-xai compare *.jpg --vary algorithm=eaNSGA2 --vary algorithm=eaSurrogate
      --vary population=20 --vary population=80
  deap-xai compare frog.jpg --model mymodels:classifier --seeds 30 --out frog/
      --vary fill=mean --vary fill=blur"""


@main.command(epilog=EXAMPLES)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--vary", multiple=True, required=True, metavar="WHAT=SPEC",
              help="One level of what varies: an operator's role (mate, mutate, select, bits) or "
              "algorithm, segments, fill, population, objectives (several between blanks: "
              "'objectives=probability size'). Repeatable; every combination of levels is a "
              "variant.")  # fmt: skip
@click.option("--model", "models", multiple=True, default=["mobilenet_v2"], show_default=True,
              metavar="NAME", help="As for explain. Repeatable.")  # fmt: skip
@partial(model_options, leave_out=LEFT_OUT)
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True,
              help="Runs of each variant on each image and model.")  # fmt: skip
@click.option("--measure", type=click.Choice(["front_quality", "probability"]),
              default="front_quality", show_default=True,
              help="What is better: the best probability within k superpixels, mean over all k; "
              "or the best of all.")  # fmt: skip
@click.option("--jobs", type=int, default=1, show_default=True,
              help="Processes, one thread each; -1: one a core.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              default="deap-xai-compare", show_default=True,
              help="For finished runs, tables, pictures and the IOHprofiler export. An "
              "interrupted comparison goes on here. In its tables within_25% is the best "
              "probability with a quarter of the superpixels.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def compare(
    images: Sequence[str],
    vary: Sequence[str],
    models: Sequence[str],
    seeds: int,
    measure: str,
    jobs: int,
    out: Path,
    quiet: bool,
    **settings: Any,
) -> None:
    """Compare variants of the search at equal model calls.

    Each runs on every IMAGE with the same seeds, so that differences are taken pair by pair.
    """
    from deap_xai import comparison
    from deap_xai.plotting import use_files_only

    use_files_only()
    variants = comparison.factorial(_levels(vary))
    if len(variants) < 2:
        raise click.UsageError(
            f"--vary {vary[0]} alone leaves nothing to compare it with; give it twice at least: "
            f"--vary {vary[0]} --vary {vary[0].partition('=')[0]}=…"
        )
    base = {key: value for key, value in explainer_settings(settings).items() if value is not None}
    found = comparison.compare(
        list(images), list(models), variants, base=base, seeds=seeds, out=out, jobs=jobs,
        quiet=quiet,
    )  # fmt: skip
    click.echo(found.report(measure))
    try:
        written = found.save(out, measure)
    except OSError as error:
        raise click.ClickException(f"can't write to {out}: {error.strerror}") from error
    click.echo(f"wrote {out}: {', '.join(path.name for path in written)}", err=True)
    if any(note.startswith("interrupted") for note in found.notes):
        click.echo("stopped; the same command goes on", err=True)
        sys.exit(INTERRUPTED)
    if len(found.failures):
        sys.exit(1)


def _levels(vary: Sequence[str]) -> dict[str, list[Any]]:
    levels: dict[str, list[Any]] = {}
    for text in vary:
        what, spec = key_and_spec(text, "--vary")
        if what == "population" and not spec.isdecimal():
            raise click.BadParameter(f"{text!r}: expected a number", param_hint="--vary")
        levels.setdefault(what, []).append(KINDS.get(what, str)(spec))
    return levels
