"""``deap-xai batch``."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import click

from deap_xai.cli.group import INTERRUPTED, main
from deap_xai.cli.options import explainer_settings, model_options
from deap_xai.cli.progress import batch_progress

__all__ = ["batch"]

EXAMPLES = """\b
Examples:
  deap-xai batch photos/ --model resnet50 --out run/
  deap-xai batch photos.csv --model mymodels:classifier --out run/ --workers 8
  deap-xai batch photos/ --out run/ --cluster dask --address tcp://10.0.0.1:8786
  deap-xai summary run/"""


@main.command(epilog=EXAMPLES)
@click.argument("images", metavar="FOLDER|LIST|CSV")
@model_options
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False),
              metavar="DIR", help="Folder of the run; an unfinished one goes on.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), metavar="N",
              help="Processes on this machine.  [default: one a core; fewer on a GPU]")  # fmt: skip
@click.option("--cluster", type=click.Choice(["dask", "ray"]),
              help="Spread over a cluster instead.")  # fmt: skip
@click.option("--address", metavar="URL", help="Where the cluster's scheduler is.")
@click.option("--quiet", "-q", is_flag=True,
              help="No progress: no bar on a terminal, no line a minute in a log.")  # fmt: skip
def batch(
    images: str,
    out: Path,
    workers: int | None,
    cluster: str | None,
    address: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Explain many images, on all cores or on a cluster.

    They are those of a folder and the folders below it, or what a list names. A LIST has one path a
    line, or # and a comment; a CSV has a column "path" and perhaps "target" (the class to explain)
    and "label" (the true class). Stopped or killed, the same command goes on where it was, and
    tries again what failed. An image's seed comes from --seed and the image's own bytes, so it is
    another than that of ``explain``.
    """
    from deap_xai.plotting import use_files_only
    from deap_xai.runs import batch as run

    use_files_only()
    settings = explainer_settings(options)
    model = settings.pop("model")
    try:
        with batch_progress(quiet) as report:
            tally = run(
                images, model, out, workers=workers, cluster=cluster, address=address,
                progress=report, **settings,
            )  # fmt: skip
    except KeyboardInterrupt:
        click.echo(f"stopped; what is explained is in {out}; the same command goes on", err=True)
        sys.exit(INTERRUPTED)
    if "auto" in (settings["engine"], settings["precision"]):
        click.echo(_searched_on(out), err=True)
    earlier = f", {tally.earlier} of them before" if tally.earlier else ""
    click.echo(
        f"{tally.explained} of {tally.total} images explained{earlier}: {out / 'results.parquet'}"
    )
    if tally.failed:
        lines = [f"{tally.failed} failed: {out / 'failures.csv'}", *_why(out)]
        click.echo("\n".join(lines), err=True)
    if not tally.explained:
        sys.exit(1)
    click.echo(f"Next: deap-xai summary {shlex.quote(str(out))}")


def _searched_on(out: Path) -> str:
    from deap_xai.runs.folder import RunFolder

    chosen = RunFolder(out).settings()
    return f"auto took {chosen['engine']} in {chosen['precision']} for this run"


def _why(out: Path) -> list[str]:
    """Of the commonest kinds of error how many there were, and one as an example."""
    from deap_xai.runs.folder import RunFolder

    failures = list(RunFolder(out).failures().values())
    kinds = Counter(failure.error for failure in failures)
    examples = {failure.error: failure for failure in reversed(failures)}
    lines = []
    for kind, count in kinds.most_common(3):
        example = examples[kind]
        image, reason = (" ".join(text.split()) for text in (example.image, example.reason))
        lines.append(f"  {count} x {kind}, such as {image:.80}: {reason:.200}")
    return lines
