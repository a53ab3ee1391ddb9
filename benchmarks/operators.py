"""Which operators are best, at equal model calls?

Question: for each of eaElitist, eaNSGA2 and eaSurrogate, with everything else at its default,
which crossover, which mutation and which initialiser gives the best front after so many model
calls? Front quality is the mean over k = 1..S of the best probability within k superpixels. One
role varies at a time. Problems are the demo's honest networks on creatures that they never saw,
and, where DEAP_XAI_DATA names a folder, photographs that both real models get right. Runs are
paired by seed; tests are those of deap_xai.compare.

Command: python benchmarks/operators.py
Output: results/operators.csv, a row a pair of operators with its sentence;
results/operators_means.csv, a row an operator; results/operators_<algorithm>_<role>.png, mean
front quality against model calls; the same as text. ``--keep DIR`` keeps finished runs, so that an
interrupted benchmark goes on. Takes about 10 minutes on one core.
"""

from __future__ import annotations

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
    parser.add_argument("--creatures", type=int, default=4)
    parser.add_argument("--photographs", type=int, default=1)
    parser.add_argument("--budget", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where finished runs are kept")
    options = parser.parse_args()
    use_files_only()
    if options.smoke:
        options.algorithms, options.roles = ["eaElitist"], ["bits"]
        options.creatures, options.photographs, options.budget, options.seeds = 1, 0, 50, 1
    groups = [demo_problems(options.creatures), real_problems(options.photographs)]
    pairs, means = [], []
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for algorithm in options.algorithms:
        for role in options.roles:
            found = joined([one(*group, algorithm, role, options) for group in groups if group])
            facts = {"algorithm": algorithm, "role": role}
            pairs += [{**facts, **row} for row in found.pairs().round(4).to_dict("records")]
            summary = found.summary().round(4).reset_index().drop(columns="seconds")
            means += [{**facts, **row} for row in summary.to_dict("records")]
            print(f"\n{algorithm}, {role}\n{found.report()}")
            if not options.smoke:
                name = f"{options.out.stem}_{algorithm}_{role}.png"
                save_png(found.plot_anytime(), options.out.with_name(name))
    _common.print_table(means)
    if not options.smoke:
        given = {"budget": options.budget, "seeds": options.seeds}
        _common.write_table(options.out, pairs, **given)
        _common.write_table(options.out.with_stem(options.out.stem + "_means"), means, **given)


def demo_problems(creatures: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pictures that no network was trained on, and the honest demo networks."""
    images = {f"creature-{n}": creature(FIRST_SEED + n).image for n in range(creatures)}
    return images, {name: f"demo:name={name}" for name in DEMO}


def real_problems(photographs: int) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The first photographs at odd places that both real models get right; None without data."""
    folder = _common.data_folder()
    if folder is None or not photographs:
        print("without real models and photographs; DEAP_XAI_DATA names their folder")
        return None
    explainers = [dx.Explainer(model, device="cpu") for model in REAL]
    images: dict[str, Any] = {}
    for path, label in _common.labelled_photographs(folder)[1::2]:
        if len(images) < photographs and all(e.evaluator(path).target == label for e in explainers):
            images[path.stem] = path
    return images, {name: name for name in REAL}


def one(
    images: dict[str, Any], models: dict[str, Any], algorithm: str, role: str, options: Any
) -> Comparison:
    """All operators of a role under an algorithm."""
    base = {"algorithm": algorithm, "budget": options.budget, "device": "cpu"}
    return dx.compare(
        images,
        models,
        factorial({role: LEVELS[role]}),
        base=base,
        seeds=options.seeds,
        out=options.keep and options.keep / f"{algorithm}-{role}",
        jobs=options.jobs,
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
