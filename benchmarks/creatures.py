"""Do explanations find what is truly there?

Question: on demo creatures, whose class-giving parts are known pixel by pixel, is the best mask's
probability never below the full view's; how much of the kept area lies on the true parts, and how
much of them is kept, beside random masks of the same size; and does the cheating network's
explanation contain the watermark?

And are the default's explanations smaller than those of eaElitist, the paper's algorithm, at equal
probability, and closer to the truth? For each run of eaElitist, the smallest mask on the front of
the default's run, of the same picture, seed and model calls, that is at least as probable.

Command: python benchmarks/creatures.py --budget 60 --algorithms eaSurrogate
         python benchmarks/creatures.py --budget 60 --runs 3
             --out benchmarks/results/creatures_elitist.csv
Output: results/creatures.csv, one row a run, and a table.
The first takes about 25 minutes on 2 cores.
"""

from __future__ import annotations

from typing import Any

import _common
import numpy as np
from joblib import Parallel, delayed

from deap_xai.demo.agreement import agreement
from deap_xai.demo.networks import NETWORKS
from deap_xai.demo.show import Shown, show

EQUAL = ("size at eaElitist's", "precision at eaElitist's")


def main() -> None:
    """Run every network, picture, seed and algorithm; print a summary, write every run."""
    parser = _common.arguments(__doc__, "creatures")
    parser.add_argument("--algorithms", nargs="+", default=["eaSurrogate", "eaElitist"])
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.smoke:
        options.pictures, options.runs, options.budget, options.jobs = 1, 1, 40, 1
    jobs = [
        (network, picture, run)
        for network in NETWORKS
        for picture in range(options.pictures)
        for run in range(options.runs)
    ]
    parts = Parallel(n_jobs=options.jobs)(
        delayed(_rows)(*job, options.algorithms, options.budget) for job in jobs
    )
    rows = [row for part in parts for row in part]
    summary = [
        _summary(algorithm, network, rows)
        for algorithm in options.algorithms
        for network in NETWORKS
    ]
    _common.print_table(summary)
    if not options.smoke:
        _common.write_table(options.out, rows, budget=options.budget)
        _common.write_table(options.out.with_stem(options.out.stem + "_summary"), summary)


def _rows(
    network: str, picture: int, run: int, algorithms: list[str], budget: int
) -> list[dict[str, Any]]:
    import torch

    torch.set_num_threads(1)  # one process a core
    settings = {"seed": run, "budget": budget, "device": "cpu"}
    shown = {name: show(network, picture, algorithm=name, **settings) for name in algorithms}
    rows = [_row(name, network, picture, run, one) for name, one in shown.items()]
    if "eaElitist" in shown:
        wanted = shown["eaElitist"].explanation.probability
        for row, one in zip(rows, shown.values(), strict=True):
            row |= _at_equal_probability(one, wanted)
    return rows


def _at_equal_probability(shown: Shown, wanted: float) -> dict[str, Any]:
    e = shown.explanation
    point = next((p for p in e.front if p.probability >= wanted), None)
    if point is None:
        return {"size at eaElitist's": "", "precision at eaElitist's": ""}
    precision = agreement(point.mask, e.segments, shown.truth).precision
    return {"size at eaElitist's": point.size, "precision at eaElitist's": round(precision, 4)}


def _row(algorithm: str, network: str, picture: int, run: int, shown: Shown) -> dict[str, Any]:
    e = shown.explanation
    return {
        "algorithm": algorithm,
        "network": network,
        "picture": picture,
        "seed": run,
        "right": e.target == shown.creature.label,
        "full": round(e.probability_full, 4),
        "kept": round(e.probability, 4),
        "size": e.size,
        "n_segments": e.n_segments,
        "precision": round(shown.agreement.precision, 4),
        "recall": round(shown.agreement.recall, 4),
        "random precision": round(shown.chance.precision, 4),
        "random recall": round(shown.chance.recall, 4),
        "seconds": round(e.seconds, 3),
    }


def _summary(algorithm: str, network: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    part = [r for r in rows if (r["algorithm"], r["network"]) == (algorithm, network)]
    keys = ("full", "kept", "size", "precision", "random precision", "recall", "random recall")
    return {
        "algorithm": algorithm,
        "network": network,
        "runs": len(part),
        "below the full view": sum(r["kept"] < r["full"] for r in part),
        "truth mostly kept": float(np.mean([r["recall"] > 0.5 for r in part])),
        **{key: round(float(np.mean([r[key] for r in part])), 3) for key in keys},
        **{key: _mean_of_known(part, key) for key in EQUAL},
        "reached": _reached(part),
    }


def _reached(rows: list[dict[str, Any]]) -> Any:
    """Share of the runs that have a mask as probable as eaElitist's; empty where it didn't run."""
    known = [r[EQUAL[0]] != "" for r in rows if EQUAL[0] in r]
    return round(float(np.mean(known)), 3) if known else ""


def _mean_of_known(rows: list[dict[str, Any]], key: str) -> Any:
    known = [r[key] for r in rows if r.get(key, "") != ""]
    return round(float(np.mean(known)), 3) if known else ""


if __name__ == "__main__":
    main()
