"""Which operators are best, at equal model calls?

Question: for each of eaElitist, eaNSGA2 and eaSurrogate, with everything else at its default, which
crossover, which mutation and which initialiser gives the best front after so many model calls?
Front quality is the mean over k = 1..S of the best probability within k superpixels. One role varies
at a time. Problems are the demo's honest networks, each on creatures that it never saw, and, where
DEAP_XAI_DATA names a folder, photographs that the real models get right. Runs are paired by seed;
tests are those of deap_xai.compare, with the problem as their unit.

Command: python benchmarks/operators.py
Output: results/operators.csv, a row a pair of operators with its sentence; results/operators_means.csv,
a row a variant; results/operators_<algorithm>_<role>.png, anytime curves; a table.
``--keep DIR`` keeps finished runs, so that an interrupted benchmark goes on. Takes about 10 minutes
on one core.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _common
import pandas as pd

import deap_xai as dx
from deap_xai.comparison import Comparison, factorial
from deap_xai.demo import creature
from deap_xai.demo.show import FIRST_SEED
from deap_xai.plotting import save_png, use_files_only

ALGORITHMS = ("eaElitist", "eaNSGA2", "eaSurrogate")

LEVELS = {
    "mate": ["cxUniform", "cxOnePoint", "cxTwoPoint", "cxRegion"],
    "mutate": ["mutFlipBit", "mutStep", "mutBoundary", "mutSwap", "mutDensify", "mutSparsify"],
    "bits": ["initBernoulli", "initSizes"],
}

DEMO = ("resnet", "densenet", "mobilenet")
REAL = ("mobilenet_v2", "squeezenet1_1")


def main() -> None:
    """Compare the operators of each role under each algorithm; print and write the tables."""
    parser = _common.arguments(__doc__, "operators")
    parser.add_argument("--algorithms", nargs="+", default=list(ALGORITHMS))
    parser.add_argument("--roles", nargs="+", default=list(LEVELS), choices=list(LEVELS))
    parser.add_argument("--creatures", type=int, default=4, help="for each demo network")
    parser.add_argument("--photographs", type=int, default=2, help="for each real model")
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where finished runs are kept")
    options = parser.parse_args()
    use_files_only()
    if options.smoke:
        options.algorithms, options.roles = ["eaElitist"], ["bits"]
        options.creatures, options.photographs, options.budget, options.seeds = 1, 0, 50, 1
    problems = list(demo_problems(options.creatures)) + list(real_problems(options.photographs))
    pairs, means = [], []
    for algorithm in options.algorithms:
        for role in options.roles:
            found = joined([one(problem, algorithm, role, options) for problem in problems])
            facts = {"algorithm": algorithm, "role": role}
            pairs += [{**facts, **row} for row in found.pairs().to_dict("records")]
            summary = found.summary().reset_index().drop(columns="seconds")
            means += [{**facts, **row} for row in summary.to_dict("records")]
            print(f"\n{algorithm}, {role}\n{found.report()}")
            if not options.smoke:
                name = f"{options.out.stem}_{algorithm}_{role}.png"
                save_png(found.plot_anytime(), options.out.with_name(name))
    _common.print_table(means)
    if not options.smoke:
        given = {"budget": options.budget, "seeds": options.seeds, "problems": len(problems)}
        _common.write_table(options.out, pairs, **given)
        _common.write_table(options.out.with_stem(options.out.stem + "_means"), means, **given)


def demo_problems(creatures: int) -> Iterator[tuple[str, str, Any]]:
    """Each honest demo network on pictures that no network was trained on."""
    for model in DEMO:
        for number in range(creatures):
            yield f"demo:name={model}", f"creature-{number}", creature(FIRST_SEED + number).image


def real_problems(photographs: int) -> Iterator[tuple[str, str, Any]]:
    """The first photographs at odd places that a real model gets right; none without the data."""
    folder = _common.data_folder()
    if folder is None:
        if photographs:
            print("no real models and photographs; DEAP_XAI_DATA names their folder")
        return
    for model in REAL if photographs else ():
        explainer, left = dx.Explainer(model, device="cpu"), photographs
        for path, label in _common.labelled_photographs(folder)[1::2]:
            if left and explainer.evaluator(path).target == label:
                left -= 1
                yield model, path.stem, path


def one(problem: tuple[str, str, Any], algorithm: str, role: str, options: Any) -> Comparison:
    """All operators of a role on one problem."""
    model, name, image = problem
    keep = options.keep and options.keep / f"{algorithm}-{role}"
    base = {"algorithm": algorithm, "budget": options.budget, "device": "cpu"}
    variants = factorial({role: LEVELS[role]})
    return dx.compare(
        {name: image}, model, variants, base=base, seeds=options.seeds, out=keep, jobs=options.jobs
    )


def joined(parts: list[Comparison]) -> Comparison:
    """Comparisons of the same variants on different problems as one."""
    notes = dict.fromkeys(note for part in parts for note in part.notes)
    frames = {
        name: pd.concat([getattr(part, name) for part in parts], ignore_index=True)
        for name in ("table", "trajectories", "failures")
    }
    return Comparison(**frames, settings=parts[0].settings, notes=tuple(notes))


if __name__ == "__main__":
    main()
