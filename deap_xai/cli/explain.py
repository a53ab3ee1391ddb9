"""``deap-xai explain``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deap_xai.cli.group import INTERRUPTED, main, raised_at
from deap_xai.cli.options import make_explainer, make_folder, model_options
from deap_xai.cli.progress import progress
from deap_xai.errors import BackendError, DeapXaiError
from deap_xai.files import PAGES, check_page
from deap_xai.wording import counted, decimal, known

if TYPE_CHECKING:
    from deap_xai.certificates import Consensus
    from deap_xai.explainer import Explainer
    from deap_xai.explanation import Explanation

__all__ = ["explain", "stems"]

EXAMPLES = """\b
Examples:
  deap-xai explain frog.jpg
  deap-xai explain frog.jpg --model resnet50 --weights resnet50.pth --out frog/
  deap-xai explain frog.jpg --target "tree frog" --fill blur --budget 400
  deap-xai explain frog.jpg --set mate=cxTwoPoint --set mutate=mutFlipBit:indpb=0.05
  deap-xai explain frog.jpg --report frog.html --seeds 5
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
@click.option("--report", type=click.Path(path_type=Path), metavar="PATH",
              help="Write a page to look at: a file; for several images a folder.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(2), metavar="N",
              help="Explain with N seeds from --seed up, and say how far they agree.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object an image.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def explain(
    images: Sequence[str],
    target: str | None,
    out: Path | None,
    report: Path | None,
    seeds: int | None,
    as_json: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Show which parts of an image are enough for the model's answer."""
    explainer = make_explainer(settings)
    explainer.check_roles()  # now, not once for each image
    names = stems(images)
    pages = [] if report is None else _pages(report, names)
    _check_outputs(images, pages, [] if out is None else [out / f"{name}.png" for name in names])
    for folder in [*(page.parent for page in pages[:1]), *([] if out is None else [out])]:
        make_folder(folder)
    failures = 0
    for number, (image, stem) in enumerate(zip(images, names, strict=True)):
        try:
            with progress(Path(image).name, explainer.picked, quiet) as bar:
                explanation, agreed = _explained(explainer, image, target, seeds, bar)
            # First, since no full disk can take it away.
            if as_json:
                click.echo(json.dumps({"image": image, **_facts(explanation, agreed)}))
            else:
                click.echo(_sentence(image, explanation, agreed))
            if out is not None:
                _write(explanation, out / stem)
            if pages:
                page = explanation.report(pages[number], image=image, consensus=agreed)
                click.echo(f"wrote {page}", err=True)
        except BrokenPipeError:  # whoever reads this has seen enough
            raise
        except (Exception, SystemExit) as error:  # whatever a model raises, the others' turns come
            ours = isinstance(error, (DeapXaiError, OSError))
            told = str(error) if ours else f"{type(error).__name__}: {error} ({raised_at(error)})"
            failures += 1
            click.echo(f"Error: {click.format_filename(image)}: {told}", err=True)
            continue
        _stop_if(explanation, agreed, seeds, len(images), len(images) - number - 1)
    if failures:
        sys.exit(1)


def _explained(
    explainer: Explainer, image: str, target: str | None, seeds: int | None, bar: Any
) -> tuple[Explanation, Consensus | None]:
    """The explanation and, where several seeds were asked for, what they agree on."""
    try:
        if seeds is None:
            return explainer.explain(image, target, bar), None
        from deap_xai.certificates import consensus

        agreed = consensus(explainer, image, target, seeds, bar)
        return agreed.explanations[0], agreed
    except BrokenPipeError as error:  # the model's own; the terminal's ends the command
        raise BackendError(f"the model was asked and raised BrokenPipeError: {error}") from error


def _stop_if(
    explanation: Explanation, agreed: Consensus | None, seeds: int | None, images: int, left: int
) -> None:
    """Leave, where Ctrl-C came amid an image: whoever pressed it wants no more of them."""
    done = len(agreed.explanations) if agreed else 0
    few = done < (seeds or 0)
    if few:
        click.echo(f"Stopped: {done} of {seeds} seeds are in this", err=True)
    if left and (few or explanation.interrupted):
        click.echo(f"Stopped: {left} of {images} images weren't begun", err=True)
    if few or explanation.interrupted:
        sys.exit(INTERRUPTED)


def _pages(report: Path, names: Sequence[str]) -> list[Path]:
    """Where each image's page goes; known before the first search, so that none is lost."""
    if len(names) == 1 and not report.is_dir():
        return [report]
    if report.suffix.lower() in PAGES and not report.is_dir():
        raise click.UsageError(
            f"--report {report} names one page for {len(names)} images; name a folder, such as "
            f"--report {report.with_suffix('')}"
        )
    return [report / f"{name}.html" for name in names]


def _check_outputs(images: Sequence[str], pages: Sequence[Path], pictures: Sequence[Path]) -> None:
    """See before the first search that nothing of the user's would be written over."""
    for page in pages:
        check_page(page)
    given = {Path(image).resolve() for image in images}
    for picture in pictures:
        if picture.resolve() in given:
            raise click.UsageError(
                f"--out {picture.parent} would write over {picture}, which is to be explained; "
                "name another folder"
            )


def _facts(explanation: Explanation, agreed: Consensus | None) -> dict[str, Any]:
    if agreed is None:
        return explanation.to_dict()
    shared = {"seeds": len(agreed.explanations), "jaccard": known(agreed.jaccard)}
    shares = {name: getattr(agreed, name).tolist() for name in ("kept", "low", "high")}
    return {**explanation.to_dict(), "consensus": {**shared, **shares}}


def _sentence(image: str, explanation: Explanation, agreed: Consensus | None) -> str:
    e = explanation
    lines = [
        f"{click.format_filename(image)}: {e.target_name}",
        f"  full view     {e.probability_full:.3f}",
        f"  kept part     {e.probability:.3f}  ({e.size} of {e.n_segments} superpixels)",
        f"  the rest      {decimal(e.probability_rest)}",
        f"  nothing       {decimal(e.probability_empty)}",
        f"  {counted(e.model_calls, 'model call')} in {e.seconds:.1f} s",
    ]
    if agreed is not None and len(agreed.explanations) > 1:
        runs, overlap = agreed.explanations, f"{agreed.jaccard:.2f}"
        calls, seconds = sum(run.model_calls for run in runs), sum(run.seconds for run in runs)
        lines += [
            f"  {len(runs)} seeds overlap by {overlap} (1: the same superpixels)",
            f"  {counted(calls, 'model call')} in {seconds:.1f} s for all of them",
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
    picture = stem.with_name(stem.name + ".png")
    save_png(explanation.plot(), picture)
    click.echo(f"wrote {picture} and {saved}", err=True)
