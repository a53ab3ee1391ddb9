"""The shell: parse and delegate. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deap_xai import __version__
from deap_xai.defaults import ALGORITHM, BUDGET, FILL, POPULATION, SEGMENTS
from deap_xai.errors import DeapXaiError

if TYPE_CHECKING:
    from deap_xai.explainer import Explainer
    from deap_xai.explanation import Explanation
    from deap_xai.fitness import Evaluator

__all__ = ["main"]

EXPLAIN_EXAMPLES = """\b
Examples:
  deap-xai explain frog.jpg
  deap-xai explain frog.jpg --model resnet50 --weights resnet50.pth --out frog/
  deap-xai explain frog.jpg --target "tree frog" --fill blur --budget 400
  deap-xai explain frog.jpg --set mate=cxTwoPoint --set mutate=mutFlipBit:indpb=0.05
  deap-xai explain *.jpg --json > explanations.jsonl
  deap-xai explain frog.jpg --model mymodels:classifier"""


class _Group(click.Group):
    """A group that answers this package's errors in one line instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DeapXaiError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deap-xai")
def main() -> None:
    """Explain image classifiers by evolving which superpixels to keep."""
    # Where other work shares the cores, OpenMP threads that wait by spinning slow a run down many
    # times over. Torch reads this when it loads, which is after here.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _model_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that make an Explainer, for every command that needs one."""
    options = [
        click.option("--model", default="mobilenet_v2", show_default=True, metavar="NAME",
                     help="A torchvision classifier, 'demo', or package.module:attribute."),
        click.option("--weights", type=click.Path(path_type=Path), metavar="FILE",
                     help="Weights of the model: .safetensors or .pth."),
        click.option("--classes", type=click.File(), metavar="FILE",
                     help="Class names, one a line."),
        click.option("--segments", default=SEGMENTS, show_default=True, metavar="SPEC",
                     help="Superpixels: slic, quickshift, felzenszwalb, watershed, grid."),
        click.option("--fill", default=FILL, show_default=True, metavar="SPEC",
                     help="What stands where a superpixel is hidden."),
        click.option("--algorithm", default=ALGORITHM, show_default=True, metavar="SPEC",
                     help="Who searches."),
        click.option("--set", "operators", multiple=True, metavar="ROLE=SPEC",
                     help="An operator: bits, mate, mutate, select. Repeatable."),
        click.option("--objective", "objectives", multiple=True, metavar="SPEC",
                     help="What to optimise; repeatable.  [default: the algorithm's]"),
        click.option("--pick", metavar="SPEC",
                     help="Point of the front: knee, best, smallest:p=0.9, within:k=5."),
        click.option("--population", default=POPULATION, show_default=True, type=click.IntRange(2),
                     help="Number of individuals."),
        click.option("--budget", type=click.IntRange(1), metavar="CALLS",
                     help=f"Model calls at most.  [default: {BUDGET}]"),
        click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Time at most."),
        click.option("--patience", type=click.IntRange(1), metavar="CALLS",
                     help="Stop after so many model calls without gain."),
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
                     help="Same seed, same explanation."),
        click.option("--device", metavar="NAME", help="cpu, cuda or mps.  [default: fastest]"),
        click.option("--batch-size", type=click.IntRange(1), help="Views at once."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@main.command(epilog=EXPLAIN_EXAMPLES)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@_model_options
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
    explainer = _explainer(settings)
    if out is not None:
        _make_folder(out)
    failures, stems = 0, _stems(images)
    for image, stem in zip(images, stems, strict=True):
        try:
            with _progress(explainer, Path(image).name, quiet) as report:
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


@main.command()
@click.option("--algorithm", default=ALGORITHM, show_default=True, metavar="SPEC",
              help="Who searches.")  # fmt: skip
@click.option("--pictures", default=3, show_default=True, type=click.IntRange(1),
              help="Creatures for each network.")  # fmt: skip
@click.option("--budget", default=300, show_default=True, type=click.IntRange(1), metavar="CALLS",
              help="Model calls for each explanation.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Chance.")
@click.option("--out", default="deap-xai-demo.png", show_default=True, metavar="FILE",
              type=click.Path(path_type=Path, dir_okay=False), help="The picture.")  # fmt: skip
def demo(algorithm: str, pictures: int, budget: int, seed: int, out: Path) -> None:
    """Explain four small networks on made-up creatures whose true answer is known.

    Three are honest: a ResNet, a DenseNet and a MobileNet. The fourth cheats. No download.
    """
    from deap_xai.demo.networks import NETWORKS
    from deap_xai.demo.show import drawn, show, table
    from deap_xai.plotting import save_png, use_files_only

    use_files_only()
    settings = {"algorithm": algorithm, "budget": budget, "seed": seed, "device": "cpu"}
    shown = [show(name, number, **settings) for name in NETWORKS for number in range(pictures)]
    click.echo(table(shown))
    try:
        save_png(drawn(shown), out)
    except OSError as error:
        raise click.ClickException(f"can't write {out}: {error.strerror}") from error
    click.echo(f"wrote {out}")


@main.command("list")
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
def list_names(kinds: Sequence[str]) -> None:
    """Print everything that can be named: segmenters, fills, operators, models, …"""
    import deap_xai.explainer  # noqa: F401  # fills the registries
    from deap_xai.listing import listing

    click.echo(listing(kinds))


def _explainer(settings: dict[str, Any]) -> Explainer:
    from deap_xai.explainer import Explainer
    from deap_xai.plotting import use_files_only

    use_files_only()
    classes = settings.pop("classes")
    operators = dict(_role(text) for text in settings.pop("operators"))
    return Explainer(
        settings.pop("model"),
        operators=operators,
        objectives=settings.pop("objectives") or None,
        class_names=classes and [line.strip() for line in classes if line.strip()],
        **settings,
    )


def _role(text: str) -> tuple[str, str]:
    role, equals, spec = text.partition("=")
    if not equals or not spec:
        raise click.BadParameter(
            f"{text!r}: expected ROLE=SPEC, such as mate=cxTwoPoint", param_hint="--set"
        )
    return role.strip(), spec.strip()


@contextmanager
def _progress(explainer: Explainer, name: str, quiet: bool) -> Iterator[Any]:
    """A progress bar over model calls; what it yields is called after every batch."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    from deap_xai.archive import front

    layout = "{desc} {bar:24} {n_fmt}/{total_fmt} calls, {remaining} left{postfix}"
    with tqdm(desc=name, bar_format=layout, leave=False, file=sys.stderr) as bar:

        def report(evaluator: Evaluator) -> None:
            bar.total = evaluator.budget.calls
            bar.n = evaluator.calls
            if points := front(evaluator.archive):
                best = points[-1]
                kept = f"{best.size}/{evaluator.n_segments}"
                bar.set_postfix_str(f"probability {best.probability:.3f}, kept {kept}")

        yield report


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


def _stems(images: Sequence[str]) -> list[str]:
    """A name for each image's files; a second frog.jpg from another folder becomes frog-2."""
    stems: dict[str, str] = {}  # by what file systems that ignore case make of them
    for image in images:
        stem = Path(image).stem
        names = chain([stem], (f"{stem}-{n}" for n in count(2)))
        name = next(name for name in names if name.casefold() not in stems)
        stems[name.casefold()] = name
    return list(stems.values())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"can't write to {folder}: {error.strerror}") from error


def _write(explanation: Explanation, stem: Path) -> None:
    from deap_xai.plotting import save_png

    saved = explanation.save(stem.with_name(stem.name + ".npz"))
    save_png(explanation.plot(), stem.with_name(stem.name + ".png"))
    click.echo(f"wrote {saved} and {stem.name}.png", err=True)
