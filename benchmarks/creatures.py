"""Do explanations find what is truly there?

Question: on demo creatures, whose class-giving parts are known pixel by pixel, is the best mask's
probability never below the full view's; how much of the kept area lies on the true parts, and how
much of them is kept, beside random masks of the same size; and does the cheating network's
explanation contain the watermark?

Command: python benchmarks/creatures.py
Output: results/creatures.csv, one row a run, and a table.
Takes about 30 minutes on 2 cores with two algorithms.
"""

from __future__ import annotations

from typing import Any

import _common
import numpy as np
from joblib import Parallel, delayed

from deap_xai.demo.networks import NETWORKS
from deap_xai.demo.show import show


def main() -> None:
    """Run every network, picture, seed and algorithm; print a summary, write every run."""
    parser = _common.arguments(__doc__, "creatures")
    parser.add_argument("--algorithms", nargs="+", default=["eaElitist"])
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--budget", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.smoke:
        options.pictures, options.runs, options.budget, options.jobs = 1, 1, 40, 1
    jobs = [
        (algorithm, network, picture, run)
        for algorithm in options.algorithms
        for network in NETWORKS
        for picture in range(options.pictures)
        for run in range(options.runs)
    ]
    rows = Parallel(n_jobs=options.jobs)(delayed(_row)(*job, options.budget) for job in jobs)
    summary = [
        _summary(algorithm, network, rows)
        for algorithm in options.algorithms
        for network in NETWORKS
    ]
    _common.print_table(summary)
    if not options.smoke:
        _common.write_table(options.out, rows, budget=options.budget)
        _common.write_table(options.out.with_stem(options.out.stem + "_summary"), summary)


def _row(algorithm: str, network: str, picture: int, run: int, budget: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)  # one process a core
    shown = show(network, picture, algorithm=algorithm, seed=run, budget=budget, device="cpu")
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
    }


if __name__ == "__main__":
    main()
