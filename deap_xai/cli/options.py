"""The options that make an Explainer, for every command that needs one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deap_xai.defaults import ALGORITHM, BUDGET, ENGINES, FILL, POPULATION, PRECISIONS, SEGMENTS

if TYPE_CHECKING:
    from deap_xai.explainer import Explainer

__all__ = ["explainer_settings", "key_and_spec", "make_explainer", "make_folder", "model_options"]


def model_options(
    command: Callable[..., None], leave_out: Collection[str] = ()
) -> Callable[..., None]:
    """Add the options, but those left out, to a command; :func:`make_explainer` reads them."""
    options = [
        click.option("--model", default="mobilenet_v2", show_default=True, metavar="NAME",
                     help="A torchvision classifier, 'demo', model.onnx or package.module:name."),
        click.option("--weights", type=click.Path(path_type=Path), metavar="FILE",
                     help="Weights of the model: .safetensors or .pth."),
        click.option("--classes", type=click.File(encoding="utf-8-sig"), metavar="FILE",
                     help="Class names, one a line."),
        click.option("--segments", default=SEGMENTS, show_default=True, metavar="SPEC",
                     help="Superpixels: slic, quickshift, felzenszwalb, watershed, grid."),
        click.option("--fill", default=FILL, show_default=True, metavar="SPEC",
                     help="What stands where a superpixel is hidden."),
        click.option("--algorithm", default=ALGORITHM, show_default=True, metavar="SPEC",
                     help="Who searches."),
        click.option("--set", "operators", multiple=True, metavar="ROLE=SPEC",
                     help="An operator: bits, mate, mutate, select, surrogate, acquire. "
                          "Repeatable."),
        click.option("--objective", "objectives", multiple=True, metavar="SPEC",
                     help="What to optimise; repeatable.  [default: the algorithm's]"),
        click.option("--pick", metavar="SPEC",
                     help="Point of the front: knee, best, smallest:p=0.9, within:k=5."),
        click.option("--population", default=POPULATION, show_default=True, type=click.IntRange(2),
                     help="Number of individuals."),
        click.option("--budget", type=click.IntRange(1), metavar="CALLS",
                     help=f"Model calls at most.  [default: {BUDGET}; none with --seconds or "
                          "--patience]"),
        click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Time at most."),
        click.option("--patience", type=click.IntRange(1), metavar="CALLS",
                     help="End the search after so many model calls without gain; as many again, "
                          "and one a superpixel at least, may go to dropping superpixels."),
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0),
                     help="Same seed and batch size, same explanation on one machine."),
        click.option("--device", metavar="NAME", help="cpu, cuda or mps.  [default: fastest]"),
        click.option("--engine", type=click.Choice(ENGINES),
                     help="What the search asks; 'auto' measures those installed.  "
                          "[default: torch]"),
        click.option("--precision", type=click.Choice(PRECISIONS),
                     help="Of the search; what is reported is the model's own.  [default: fp32]"),
        click.option("--batch-size", type=click.IntRange(1),
                     help="Views at once.  [default: the fastest, measured once and remembered]"),
    ]  # fmt: skip
    before = len(getattr(command, "__click_params__", []))
    for option in reversed(options):
        command = option(command)
    found: list[click.Parameter] = command.__click_params__  # type: ignore[attr-defined]
    found[before:] = [option for option in found[before:] if option.name not in leave_out]
    return command


def make_explainer(settings: dict[str, Any]) -> Explainer:
    """The explainer that the options of a command describe."""
    from deap_xai.explainer import Explainer
    from deap_xai.plotting import use_files_only

    use_files_only()
    explainer = Explainer(**explainer_settings(settings))
    if explainer.backend.choice:
        click.echo(explainer.backend.choice, err=True)
    return explainer


def explainer_settings(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a command as arguments of an Explainer."""
    settings = dict(options)
    classes = settings.pop("classes")
    try:
        names = classes and [line.strip() for line in classes if line.strip()]
    except UnicodeDecodeError as error:
        raise click.BadParameter(
            f"{classes.name} isn't text; expected class names in UTF-8, one a line",
            param_hint="--classes",
        ) from error
    operators: dict[str, str] = {}
    for role, spec in (key_and_spec(text, "--set") for text in settings["operators"]):
        if role in operators:
            raise click.BadParameter(
                f"{role!r} is given twice, {operators[role]} and {spec}; a role has one operator",
                param_hint="--set",
            )
        operators[role] = spec
    return {
        **settings,
        "operators": operators,
        "objectives": settings["objectives"] or None,
        "class_names": names,
    }


def key_and_spec(text: str, option: str) -> tuple[str, str]:
    """Split ``ROLE=SPEC``."""
    role, equals, spec = text.partition("=")
    if not equals or not spec:
        raise click.BadParameter(
            f"{text!r}: expected ROLE=SPEC, such as mate=cxTwoPoint", param_hint=option
        )
    return role.strip(), spec.strip()


def make_folder(folder: Path) -> None:
    """Make a folder for what a command writes, or say why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"can't write to {folder}: {error.strerror}") from error
