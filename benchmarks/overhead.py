"""How much time does an explanation cost beyond the model's own?

Question: wall time of a whole ``explain`` over the time that the same model needs for the same
number of images at its best batch size, both in this process; and what share of the run's time
passes outside the model. 224x224, random weights, which don't change the time.

How fast a machine runs one and the same model drifts. So each run is compared with the bare model
right before and right after it, and the ratio reported is the median of these ratios; lowest and
highest stand beside it. The bare model's best batch size is measured first. A short run goes
before: it measures the package's own batch size, which all later ones remember.

Command: python benchmarks/overhead.py
Output: results/overhead.csv, a row for each model and algorithm, and results/overhead_rounds.csv, a
row a run. Takes about half an hour on 2 cores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import _common
import numpy as np
import torch
import torchvision
from _timed import Timed

from deap_xai import Explainer

BATCH_SIZES = (1, 4, 8, 16, 32)


def bare_seconds(module: torch.nn.Module, n: int, batch_size: int) -> float:
    """Seconds of the bare model for n images, channels last, inference mode.

    Each image is another one: one batch over and over would stay in the processor's cache.
    """
    images = torch.rand(n, 3, 224, 224).to(memory_format=torch.channels_last)
    start = time.perf_counter()
    with torch.inference_mode():
        for batch in images.split(batch_size):
            module(batch).softmax(dim=1)
    return time.perf_counter() - start


def main() -> None:
    """Measure, print, write."""
    parser = _common.arguments(__doc__, "overhead")
    parser.add_argument("--models", nargs="+", default=["mobilenet_v2", "resnet50"])
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--algorithms", nargs="+", default=["eaElitist", "eaSurrogate"])
    options = parser.parse_args()
    if options.smoke:
        options.models, options.calls, options.rounds = options.models[:1], 24, 1
    rounds, rates = [], {}
    for model in options.models:
        rates[f"{model}, bare pictures a second"], found = measured(model, options)
        rounds += found
    rows = [summarised(rounds, model, name)
            for model in options.models for name in options.algorithms]  # fmt: skip
    _common.print_table(rows)
    if not options.smoke:
        _common.write_table(options.out, rows, rounds=options.rounds, **rates)
        _common.write_table(options.out.with_stem(options.out.stem + "_rounds"), rounds, **rates)


def measured(
    model: str, options: argparse.Namespace
) -> tuple[dict[int, float], list[dict[str, Any]]]:
    """The bare model's pictures a second by batch size, and a row for each run."""
    torch.manual_seed(0)
    module = torchvision.models.get_model(model, weights=None).eval()
    module = module.to(memory_format=torch.channels_last)
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    bare_seconds(module, 16, 8)  # warm up
    Explainer(Timed(module, size=224, device="cpu"), budget=24).explain(image)
    n = options.calls
    times: dict[int, list[float]] = {}
    for size in [8] if options.smoke else 3 * BATCH_SIZES:
        times.setdefault(size, []).append(bare_seconds(module, n // 4, size))
    rates = {size: round(n // 4 / statistics.median(taken), 1) for size, taken in times.items()}
    best = max(rates, key=lambda size: rates[size])
    rows, before = [], bare_seconds(module, n, best)
    for number in range(options.rounds):
        for name in options.algorithms:
            backend = Timed(module, size=224, device="cpu")
            e = Explainer(backend, segments="grid:n_segments=49", algorithm=name,
                          budget=n).explain(image)  # fmt: skip
            after = bare_seconds(module, n, best)
            alone = (before + after) / 2 * e.model_calls / n
            before = after
            rows.append(
                {
                    "model": model,
                    "algorithm": name,
                    "round": number,
                    "model calls": e.model_calls,
                    "seconds": round(e.seconds, 3),
                    "bare model, seconds": round(alone, 3),
                    "bare model's batch size": best,
                    "batch size": backend.batch_size,
                    "ratio": round(e.seconds / alone, 3),
                    "share of time outside the model": round(1 - backend.seconds / e.seconds, 3),
                }
            )
            print(rows[-1], flush=True)
    return rates, rows


def summarised(rounds: list[dict[str, Any]], model: str, name: str) -> dict[str, Any]:
    """Medians over the rounds of a model and an algorithm, and the range of the ratios."""
    mine = [row for row in rounds if (row["model"], row["algorithm"]) == (model, name)]
    out: dict[str, Any] = {"model": model, "algorithm": name, "rounds": len(mine)}
    for column in ("model calls", "seconds", "bare model, seconds", "ratio"):
        out[column] = round(statistics.median(row[column] for row in mine), 3)
    ratios = [row["ratio"] for row in mine]
    outside = statistics.median(row["share of time outside the model"] for row in mine)
    return out | {"lowest": min(ratios), "highest": max(ratios),
                  "share of time outside the model": round(outside, 3)}  # fmt: skip


if __name__ == "__main__":
    main()
