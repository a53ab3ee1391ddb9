"""How much time does an explanation cost beyond the model's own?

Question: whole-run wall time of ``explain`` over the time that the same model needs for the same
number of images at its best batch size, both in this process, in turn, medians of rounds; and what
share of the run's time passes outside the model. 224x224, random weights, which don't change the
time. A short run goes before: it measures the batch size, which all later ones remember.

Command: python benchmarks/overhead.py
Output: results/overhead.csv and a table. Takes about 10 minutes on 2 cores.
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

from deap_xai import Explainer
from deap_xai.backends.torch_module import TorchBackend
from deap_xai.masking import MaskedView
from deap_xai.typing import Masks, Probabilities

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


class Timed(TorchBackend):
    """A torch backend that adds up the time in which the model is asked."""

    asked = 0.0

    def predict_masked(self, masked_view: MaskedView, masks: Masks) -> Probabilities:
        """As without the clock."""
        start = time.perf_counter()
        answer = super().predict_masked(masked_view, masks)
        self.asked += time.perf_counter() - start
        return answer


def main() -> None:
    """Measure, print, write."""
    parser = _common.arguments(__doc__, "overhead")
    parser.add_argument("--models", nargs="+", default=["mobilenet_v2", "resnet50"])
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--algorithms", nargs="+", default=["eaElitist", "eaSurrogate"])
    options = parser.parse_args()
    if options.smoke:
        options.models, options.calls, options.rounds = options.models[:1], 24, 1
    parts = [measured(name, options) for name in options.models]
    rows = [row for part, _ in parts for row in part]
    _common.print_table(rows)
    if not options.smoke:
        rates = {f"{name}, bare pictures a second": rate
                 for name, (_, rate) in zip(options.models, parts, strict=True)}  # fmt: skip
        _common.write_table(options.out, rows, rounds=options.rounds, **rates)


def measured(model: str, options: argparse.Namespace) -> tuple[list[dict[str, Any]], Any]:
    """A row for each algorithm, and the bare model's pictures a second by batch size."""
    torch.manual_seed(0)
    module = torchvision.models.get_model(model, weights=None).eval()
    module = module.to(memory_format=torch.channels_last)
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    sizes = BATCH_SIZES[2:3] if options.smoke else BATCH_SIZES
    bare_seconds(module, 16, 8)  # warm up
    Explainer(Timed(module, size=224, device="cpu"), budget=24).explain(image)
    bare: dict[int, list[float]] = {size: [] for size in sizes}
    runs: dict[str, list[tuple[float, int, float]]] = {name: [] for name in options.algorithms}
    for _ in range(options.rounds):
        for size in sizes:
            bare[size].append(bare_seconds(module, options.calls, size))
        for name in options.algorithms:
            backend = Timed(module, size=224, device="cpu")
            explainer = Explainer(backend, segments="grid:n_segments=49", algorithm=name,
                                  budget=options.calls)  # fmt: skip
            e = explainer.explain(image)
            runs[name].append((e.seconds, e.model_calls, 1 - backend.asked / e.seconds))
    medians = {size: statistics.median(times) for size, times in bare.items()}
    best = min(medians, key=lambda size: medians[size])
    rows = []
    for name in options.algorithms:
        seconds, calls, outside = (statistics.median(one) for one in zip(*runs[name], strict=True))
        alone = medians[best] * calls / options.calls
        rows.append(
            {
                "model": model,
                "algorithm": name,
                "model calls": int(calls),
                "seconds": round(seconds, 2),
                "bare model, seconds": round(alone, 2),
                "best batch size": best,
                "ratio": round(seconds / alone, 3),
                "share of time outside the model": round(outside, 3),
            }
        )
    return rows, {size: round(options.calls / value, 1) for size, value in medians.items()}


if __name__ == "__main__":
    main()
