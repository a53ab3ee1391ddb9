"""Is the smallest sufficient mask really found, where it can be known?

Question: with so few superpixels that every mask can be tried, in what share of seeds does the
search evaluate an exact optimum of "smallest with p >= 0.9 p(full)" within 150 model calls?
Demo networks on unseen creatures, and SqueezeNet on real photographs where they are at hand.

Command: python benchmarks/exact.py
Output: results/exact.csv, one row a problem, and a table. Takes about 15 minutes on 2 cores.
"""

from __future__ import annotations

from typing import Any

import _common
import numpy as np
from joblib import Parallel, delayed

from deap_xai import Explainer
from deap_xai.archive import Archive
from deap_xai.certificates import all_masks
from deap_xai.demo import creature
from deap_xai.demo.show import FIRST_SEED

CALLS, SHARE = 150, 0.9


def main() -> None:
    """Enumerate each problem, search it with many seeds, print and write."""
    parser = _common.arguments(__doc__, "exact")
    parser.add_argument("--algorithms", nargs="+", default=["eaSurrogate", "eaNSGA2"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=6)
    parser.add_argument("--segments", default="slic:n_segments=14")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.smoke:
        options.seeds, options.pictures, options.segments, options.jobs = (
            1,
            1,
            "grid:n_segments=6",
            1,
        )
    problems: list[tuple[str, Any]] = [
        (f"demo:name={name}", FIRST_SEED + 100 + i)
        for name in ("resnet", "densenet", "mobilenet")
        for i in range(options.pictures)
    ]
    folder = _common.data_folder()
    if folder is not None and not options.smoke:
        photographs = _common.labelled_photographs(folder)[1::2]
        problems += [("squeezenet1_1", path) for path, _ in photographs[: options.pictures]]
    rows = Parallel(n_jobs=options.jobs)(
        delayed(_row)(model, what, options.segments, options.algorithms, options.seeds)
        for model, what in problems
    )
    summary = [
        {
            "algorithm": name,
            "models": kind,
            "problems": len(part),
            "seeds": options.seeds,
            f"exact optimum within {CALLS} calls": round(
                float(np.mean([r[name] for r in part])), 4
            ),
            "median calls": float(np.median([r[f"{name}, median calls"] for r in part])),
        }
        for name in options.algorithms
        for kind in ("demo", "squeezenet1_1")
        if (part := [r for r in rows if r["model"].startswith(kind)])
    ]
    _common.print_table(summary)
    if not options.smoke:
        _common.write_table(options.out, rows, segments=options.segments)
        _common.write_table(options.out.with_stem(options.out.stem + "_summary"), summary)


def _row(model: str, what: Any, segments: str, algorithms: list[str], seeds: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)  # one process a core
    _common.data_folder()
    image = creature(what, watermark="random").image if isinstance(what, int) else what
    settings: dict[str, Any] = {"segments": segments, "device": "cpu"}
    evaluator = Explainer(model, batch_size=64, **settings).evaluator(image)
    masks = all_masks(evaluator.n_segments)
    everything = Archive(masks, evaluator.probabilities(masks))
    threshold = SHARE * float(everything.probabilities[-1])
    optimum = int(masks[everything.probabilities >= threshold].sum(axis=1).min())
    row: dict[str, Any] = {
        "model": model,
        "picture": getattr(what, "name", what),
        "n_segments": evaluator.n_segments,
        "optimum": optimum,
    }
    for name in algorithms:
        calls = [
            _calls_to(Explainer(model, algorithm=name, seed=s, budget=CALLS, **settings), image,
                      threshold, optimum)
            for s in range(seeds)
        ]  # fmt: skip
        row[name] = float(np.mean(np.isfinite(calls)))
        row[f"{name}, median calls"] = float(np.median(calls))
    return row


def _calls_to(explainer: Explainer, image: Any, threshold: float, optimum: int) -> float:
    """Model calls until a mask of that size reaches the threshold; infinity: it was not found."""
    evaluator = explainer.evaluator(image)
    explainer.search(evaluator)
    archive = evaluator.archive
    hit = (archive.probabilities >= threshold) & (archive.masks.sum(axis=1) <= optimum)
    return float(hit.argmax()) + 1 if hit.any() else np.inf


if __name__ == "__main__":
    main()
