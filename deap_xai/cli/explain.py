"""``deap-xai explain``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deap_xai.cli.group import main
from deap_xai.cli.options import make_explainer, make_folder, model_options
from deap_xai.cli.progress import progress
from deap_xai.errors import DeapXaiError

if TYPE_CHECKING:
    from deap_xai.explanation import Explanation

__all__ = ["explain", "stems"]

EXAMPLES = """\b
Examples:
  deap-xai explain frog.jpg
  deap-xai explain frog.jpg --model resnet50 --weights resnet50.pth --out frog/
  deap-xai explain frog.jpg --target "tree frog" --fill blur --budget 400
  deap-xai explain frog.jpg --set mate=cxTwoPoint --set mutate=mutFlipBit:indpb=0.05
  deap-xai explain *.jpg --json > explanations.jsonl
  deap-xai explain frog.jpg --model mymodels:classifier
  deap-xai explain frog.jpg --model "model.onnx:mean=(0.485,0.456,0.406),std=0.225"
  deap-xai explain frog.jpg --model resnet50 --engine auto --precision auto"""


@main.command(epilog=EXAMPLES)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@model_options
@click.option("--target", metavar="CLASS", help="Class to explain: name or index.  [default: top]")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Write a picture and the saved explanation of each image here.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an image.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def explain(
    images: Sequence[str],
    target: str | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Show which parts of each IMAGE were enough for the model's answer."""
    explainer = make_explainer(settings)
    if out is not None:
        make_folder(out)
    failures = 0
    for image, stem in zip(images, stems(images), strict=True):
        try:
            with progress(Path(image).name, quiet) as report:
                explanation = explainer.explain(image, target, report)
            if out is not None:
                _write(explanation, out / stem)
        except (DeapXaiError, OSError) as error:
            failures += 1
            click.echo(f"Error: {image}: {error}", err=True)
            continue
        if as_json:
            click.echo(json.dumps({"image": image, **explanation.to_dict()}))
        else:
            click.echo(_sentence(image, explanation))
    if failures:
        sys.exit(1)


def _sentence(image: str, explanation: Explanation) -> str:
    e = explanation
    lines = [
        f"{image}: {e.target_name}",
        f"  full view     {e.probability_full:.3f}",
        f"  kept part     {e.probability:.3f}  ({e.size} of {e.n_segments} superpixels)",
        f"  the rest      {e.probability_rest:.3f}",
        f"  nothing       {e.probability_empty:.3f}",
        f"  {e.model_calls} model calls in {e.seconds:.1f} s",
    ]
    return "\n".join([*lines, *(f"  Note: {warning}" for warning in e.warnings)])


def stems(images: Sequence[str]) -> list[str]:
    """A name for each image's files; a second frog.jpg from another folder becomes frog-2."""
    found: dict[str, str] = {}  # by what file systems that ignore case make of them
    for image in images:
        stem = Path(image).stem
        names = chain([stem], (f"{stem}-{n}" for n in count(2)))
        name = next(name for name in names if name.casefold() not in found)
        found[name.casefold()] = name
    return list(found.values())


def _write(explanation: Explanation, stem: Path) -> None:
    from deap_xai.plotting import save_png

    saved = explanation.save(stem.with_name(stem.name + ".npz"))
    save_png(explanation.plot(), stem.with_name(stem.name + ".png"))
    click.echo(f"wrote {saved} and {stem.name}.png", err=True)
