"""How good are the explanations of other methods, at the same number of model calls?

Question: same superpixels, same fill, same backend, same counted calls (distinct masked views; the
full view that tells the target is the first): what do LIME, KernelSHAP, feature ablation,
PartitionExplainer, RISE, occlusion, greedy search one- and two-sided, random search, ReX and the
evolutionary algorithms here give?

Every method gives an attribution, and all are judged alike, by the same further masks that don't
count: its nested masks (insertion and deletion AUC); the most important fifth of the superpixels
(sufficiency); the fewest most important ones that give 0.9 of the full view's probability (size,
minimality, overlap with the truth); all masks that it asked about together with its nested ones
(front quality; of ReX, which hides boxes, the nested ones alone); the pointing game and rank
accuracy where the truth is known. Over seeds: Jaccard index of those fewest superpixels, rank
correlation of the orders. With the first seed each method also runs under a grey fill and on
watershed superpixels: Jaccard index of the areas of those fewest. Formulas and sources:
deap_xai.metrics. A method that needs more calls than are allowed has no row; those that draw
nothing have one seed.

Command: python benchmarks/rivals.py [--images DIR --labels CSV --boxes CSV --model NAME|FILE]
    [--methods …] [--calls 100 200 400 1000] [--seeds N] [--jobs N] [--out FILE]
    [--rex-python PATH]
Without --images: demo creatures with the demo networks, 3 seeds; and, where DEAP_XAI_DATA names
their folder, 10 photographs with MobileNetV2, 5 of them with boxes, one seed, no other fill or
superpixels. --labels has the columns file and class_index, and pictures that the model gets wrong
are left out; --boxes has file, xmin, ymin, xmax, ymax in pixels of the file.
Output: results/rivals.csv, one row an image, method, number of calls and seed, written as they
come: started again, it goes on where it was. results/rivals_summary.csv (means over images and 95 %
bootstrap intervals) and results/rivals.png.
Takes about 20 minutes on one core without --images.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import _common
import _rex
import _rivals
import numpy as np
from _problems import Problem, demo_problems, own_problems, photographs
from joblib import Parallel, delayed

from deap_xai import Explainer
from deap_xai.archive import front_quality
from deap_xai.backends import Backend, load_backend
from deap_xai.errors import BudgetExhausted
from deap_xai.metrics import (
    deletion_auc,
    insertion_auc,
    jaccard,
    minimality,
    nested,
    overlap,
    pointing_game,
    rank_accuracy,
    rank_correlation,
    smallest_sufficient,
    stability,
    sufficiency,
)

OURS = ("eaRandom", "eaElitist", "eaNSGA2", "eaSurrogate")
OTHERS: dict[str, dict[str, Any]] = {
    "over fills": {"fill": "grey"},
    "over segmenters": {"segments": "watershed"},
}
SHARE = 0.9  # of the full view's probability: what the fewest superpixels have to give
KEY = ("data", "image", "model", "method", "calls", "seed")
SCORES = (
    "insertion", "deletion", "sufficiency", "size", "minimality", "front quality", "pointing",
    "rank accuracy", "overlap", "over fills", "over segmenters",
)  # fmt: skip
OVER_SEEDS = ("over seeds", "order over seeds")
COLUMNS = (*KEY, "asked", "n_segments", *SCORES, "order")
DRAWN = ("insertion", "deletion", "sufficiency", "size", "front quality", "rank accuracy")
LOWER = ("deletion", "size")


def main() -> None:
    """Run every method on every problem that isn't in the file yet; print and draw what's there."""
    options = parser().parse_args()
    for path in (options.images, options.labels, options.boxes):
        if path is not None and not path.exists():
            parser().error(f"{path} isn't there")
    if options.smoke:
        with tempfile.TemporaryDirectory() as folder:
            options.out = Path(folder) / "rivals.csv"
            options.calls, options.seeds, options.jobs = [60], 2, 1
            compare(options, list(demo_problems(options))[:1])
        return
    if options.images:
        problems = list(own_problems(options))
    else:
        problems = [*demo_problems(options), *photographs(options)]
    compare(options, problems)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = _common.arguments(__doc__, "rivals")
    made.add_argument("--images", type=Path, metavar="DIR", help="folder of pictures")
    made.add_argument("--labels", type=Path, metavar="CSV", help="columns file, class_index")
    made.add_argument("--boxes", type=Path, metavar="CSV", help="file, xmin, ymin, xmax, ymax")
    made.add_argument("--model", default="mobilenet_v2", help="whatever deap-xai explain takes")
    made.add_argument("--methods", nargs="+", default=[*_rivals.METHODS, *OURS, "rex"])
    made.add_argument("--calls", nargs="+", type=int, metavar="N", help="100 400; photographs 200")
    made.add_argument("--seeds", type=int, metavar="N", help="3; photographs 1")
    made.add_argument("--jobs", type=int, default=1, metavar="N")
    made.add_argument("--rex-python", metavar="PATH", help="Python with rex-xai; see _rex.py")
    return made


def compare(options: argparse.Namespace, problems: list[Problem]) -> None:
    """Run what isn't in the file yet, then summarise all of it."""
    methods = [name for name in options.methods if usable(name, options.rex_python)]
    file = _common.RowFile(options.out, COLUMNS)
    jobs = [
        (problem, method, todo)
        for problem in problems
        for method in methods
        if (todo := missing(file, problem, method))
    ]
    run = Parallel(n_jobs=options.jobs, return_as="generator_unordered")
    for rows in run(delayed(rows_of)(*job, options.rex_python) for job in jobs):
        for row in rows:
            file.add(row)
    summary = summarised(file.rows)
    if summary:
        _common.print_table(wide(summary))
        facts = {"rows": f"those of {options.out.name}, which names the machines they ran on"}
        _common.write_table(options.out.with_stem(options.out.stem + "_summary"), summary, **facts)
        draw(summary, options.out.with_suffix(".png"))


def usable(name: str, rex_python: str | None) -> bool:
    """Whether a method can run here; says why not."""
    if name == "rex":
        why = "" if rex_python else "no Python with rex-xai; --rex-python names one, see _rex.py"
    else:
        why = _rivals.missing(name)
    if why:
        print(f"skipped {name}: {why}")
    return not why


def missing(file: _common.RowFile, problem: Problem, method: str) -> list[tuple[int, int]]:
    """Calls and seeds of a method on a problem that the file doesn't have."""
    seeds = 1 if method in _rivals.UNSEEDED else problem.seeds
    facts = {k: getattr(problem, k) for k in ("data", "image", "model")} | {"method": method}
    pairs = [(calls, seed) for seed in range(seeds) for calls in problem.calls]
    return [(c, s) for c, s in pairs if not file.has(**facts, calls=c, seed=s)]


def rows_of(
    problem: Problem, method: str, todo: list[tuple[int, int]], rex_python: str | None
) -> list[dict[str, Any]]:
    """Rows of one method on one problem; none where the model is wrong."""
    import torch

    torch.set_num_threads(1)  # one process a core
    _common.data_folder()
    backend = _rivals.Remembering(load_backend(problem.model, device="cpu"))
    if problem.target is not None:
        said = Explainer(backend).evaluator(problem.source).target
        if said != problem.target:
            print(f"{method}: left out {problem.image}, on which {problem.model} is wrong")
            return []
    facts = {k: getattr(problem, k) for k in ("data", "image", "model")} | {"method": method}
    attribute = partial(_rivals.run, method)
    if rex_python is not None and method == "rex":
        attribute = partial(_rex.rex, python=rex_python)
    rows = []
    for calls, seed in todo:
        with suppress(BudgetExhausted):  # the method needs more calls
            row = scored(problem, backend, attribute, calls, seed)
            rows.append(dict.fromkeys(COLUMNS, "") | facts | {"calls": calls, "seed": seed} | row)
    return rows


def scored(
    problem: Problem, backend: Backend, attribute: Any, calls: int, seed: int
) -> dict[str, Any]:
    """All scores of one run."""
    evaluator = Explainer(backend).evaluator(problem.source)
    values = attribute(evaluator, calls=calls, seed=seed)
    row: dict[str, Any] = {"asked": evaluator.calls, "n_segments": evaluator.n_segments}
    row["insertion"] = insertion_auc(evaluator, values)  # asks the nested masks, for the front
    row["front quality"] = front_quality(evaluator.archive)
    row["deletion"] = deletion_auc(evaluator, values)
    row["sufficiency"] = sufficiency(evaluator, nested(values)[math.ceil(len(values) / 5)])
    mask = smallest_sufficient(evaluator, values, SHARE)
    full = float(evaluator.probabilities(np.ones((1, len(mask)), bool))[0])
    row |= {"size": int(mask.sum()), "minimality": minimality(evaluator, mask, SHARE * full)}
    if problem.truth is not None and problem.truth.any():
        row["pointing"] = pointing_game(values, evaluator.segments, problem.truth)
        row["rank accuracy"] = rank_accuracy(values, evaluator.segments, problem.truth)
        row["overlap"] = overlap(mask, evaluator.segments, problem.truth)
    if problem.variants and seed == 0:
        for name, settings in OTHERS.items():
            other = Explainer(backend, **settings).evaluator(problem.source)
            kept = smallest_sufficient(other, attribute(other, calls=calls, seed=seed), SHARE)
            row[name] = jaccard(mask[evaluator.segments], kept[other.segments])
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
    return rounded | {"order": " ".join(map(str, np.argsort(-values, kind="stable")))}


def summarised(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Mean over images, and its interval, of each score of each method at each number of calls."""
    summary = []
    for key in sorted({(r["data"], r["method"], int(r["calls"])) for r in rows}, key=_place):
        mine = [r for r in rows if (r["data"], r["method"], int(r["calls"])) == key]
        images: dict[Any, list[dict[str, str]]] = {}
        for row in mine:
            images.setdefault((row["image"], row["model"]), []).append(row)
        each = [of_image(part) for part in images.values()]
        for score in (*SCORES, *OVER_SEEDS):
            values = [one[score] for one in each if not np.isnan(one[score])]
            if values:
                mean, low, high = interval(np.array(values))
                facts = dict(zip(("data", "method", "calls"), key, strict=True))
                facts |= {"score": score, "images": len(values)}
                summary.append(facts | {"mean": mean, "low": low, "high": high})
    return summary


def _place(key: tuple[str, str, int]) -> tuple[str, int, int, str]:
    known = [*_rivals.METHODS, "rex", *OURS]
    return key[0], key[2], known.index(key[1]) if key[1] in known else len(known), key[1]


def of_image(rows: list[dict[str, str]]) -> dict[str, float]:
    """Scores on one image: means over seeds, and how alike the seeds are; NaN where unknown."""
    one = dict.fromkeys((*SCORES, *OVER_SEEDS), float("nan"))
    for score in SCORES:
        values = [float(row[score]) for row in rows if row[score] != ""]
        one[score] = float(np.mean(values)) if values else float("nan")
    if len(rows) > 1:
        orders = [np.array(row["order"].split(), int) for row in rows]
        ranks = [np.argsort(order) for order in orders]
        sizes = [int(row["size"]) for row in rows]
        one["over seeds"] = stability([r < k for r, k in zip(ranks, sizes, strict=True)], jaccard)
        one["order over seeds"] = stability(ranks, rank_correlation)
    return one


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, and the 95 % bootstrap interval of the mean by percentiles (Efron, 1979)."""
    drawn = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return round(float(values.mean()), 4), round(float(low), 4), round(float(high), 4)


def wide(summary: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a method and number of calls, for reading."""
    lines: dict[Any, dict[str, Any]] = {}
    for row in summary:
        key = {k: row[k] for k in ("data", "method", "calls")}
        line = lines.setdefault(
            tuple(key.values()), key | dict.fromkeys((*SCORES, *OVER_SEEDS), "")
        )
        around = f" [{row['low']:.3g}, {row['high']:.3g}]" if row["images"] > 1 else ""
        line[row["score"]] = f"{row['mean']:.3g}{around}"
    return list(lines.values())


def draw(summary: list[dict[str, Any]], path: Path) -> None:
    """Means and intervals of some scores; a row of panels for creatures, one for photographs."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    groups = list(dict.fromkeys(r["data"] for r in summary))
    methods = list(dict.fromkeys(r["method"] for r in summary))[::-1]
    height = 0.24 * len(methods) * len(groups) + 1.4
    figure, axes = plt.subplots(
        len(groups), len(DRAWN), figsize=(13, height), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for data, row_axes in zip(groups, axes, strict=True):
        mine = [r for r in summary if r["data"] == data]
        calls = sorted({r["calls"] for r in mine})
        for score, panel in zip(DRAWN, row_axes, strict=True):
            for i, n in enumerate(calls):
                part = [r for r in mine if (r["score"], r["calls"]) == (score, n)]
                places = np.array([methods.index(r["method"]) for r in part]) - 0.3 * i / len(calls)
                means = np.array([r["mean"] for r in part])
                low, high = (np.array([r[k] for r in part]) for k in ("low", "high"))
                colour = plt.cm.viridis(0.75 * (1 - (i + 1) / len(calls)))
                panel.errorbar(
                    means, places, xerr=[means - low, high - means], fmt="o", ms=3.5, lw=1,
                    color=colour, label=f"{n} model calls",
                )  # fmt: skip
            panel.set_title(
                f"{score}, {'lower' if score in LOWER else 'higher'} is better", fontsize=8
            )
            panel.set_yticks(range(len(methods)), methods, fontsize=8)
            panel.tick_params(axis="x", labelsize=7)
            panel.grid(axis="y", lw=0.3)
            panel.spines[["top", "right", "left"]].set_visible(False)
        row_axes[0].set_ylabel(data)
        row_axes[-1].legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
