"""``deap-xai demo``."""

from __future__ import annotations

from pathlib import Path

import click

from deap_xai.cli.group import main
from deap_xai.defaults import ALGORITHM

__all__ = ["demo"]


@main.command()
@click.option("--algorithm", default=ALGORITHM, show_default=True, metavar="SPEC",
              help="Who searches.")  # fmt: skip
@click.option("--pictures", default=3, show_default=True, type=click.IntRange(1),
              help="Creatures for each network.")  # fmt: skip
@click.option("--budget", default=150, show_default=True, type=click.IntRange(1), metavar="CALLS",
              help="Model calls for each explanation.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Chance.")
@click.option("--out", default="deap-xai-demo.png", show_default=True, metavar="FILE",
              type=click.Path(path_type=Path, dir_okay=False), help="The picture.")  # fmt: skip
def demo(algorithm: str, pictures: int, budget: int, seed: int, out: Path) -> None:
    """Explain four small networks where the true answer is known.

    They look at made-up creatures. Three are honest: a ResNet, a DenseNet and a MobileNet. The
    fourth cheats. No download.
    """
    from tqdm import tqdm

    from deap_xai.demo.networks import NETWORKS
    from deap_xai.demo.show import drawn, show, table
    from deap_xai.plotting import save_png, use_files_only

    use_files_only()
    if out.suffix.lower() != ".png":
        raise click.BadParameter(f"{str(out)!r} doesn't end in .png", param_hint="--out")
    settings = {"algorithm": algorithm, "budget": budget, "seed": seed, "device": "cpu"}
    pairs = [(name, number) for name in NETWORKS for number in range(pictures)]
    shown = []
    for name, number in tqdm(pairs, "creatures", leave=False, disable=None):
        shown.append(show(name, number, **settings))
        if shown[-1].explanation.interrupted:
            raise click.Abort
    click.echo(table(shown))
    try:
        save_png(drawn(shown), out)
    except OSError as error:
        raise click.ClickException(f"can't write {out}: {error.strerror}") from error
    click.echo(f"wrote {out}")
