"""How much time does an explanation cost beyond the model's own?

Question: whole-run wall time of ``explain`` over the time that the same model needs for the same
number of images at its best batch size, both in this process, in turn, medians of rounds.
MobileNetV2 at 224x224, random weights (they don't change the time) unless the real ones are there.

Command: python benchmarks/overhead.py
Output: results/overhead.csv and a table. Takes about 5 minutes on 2 cores.
"""

from __future__ import annotations

import statistics
import time

import _common
import numpy as np
import torch
import torchvision

from deap_xai import Explainer
from deap_xai.backends.torch_module import TorchBackend

BATCH_SIZES = (1, 4, 8, 16, 32)


def bare_seconds(module: torch.nn.Module, n: int, batch_size: int) -> float:
    """Seconds of the bare model for n images, channels last, inference mode."""
    batch = torch.rand(batch_size, 3, 224, 224).to(memory_format=torch.channels_last)
    start = time.perf_counter()
    with torch.inference_mode():
        for _ in range(-(-n // batch_size)):
            module(batch).softmax(dim=1)
    return time.perf_counter() - start


def main() -> None:
    """Measure, print, write."""
    parser = _common.arguments(__doc__, "overhead")
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--algorithms", nargs="+", default=["eaElitist"])
    options = parser.parse_args()
    if options.smoke:
        options.calls, options.rounds = 24, 1
    torch.manual_seed(0)
    module = torchvision.models.mobilenet_v2(weights=None).eval()
    module = module.to(memory_format=torch.channels_last)
    backend = TorchBackend(module, size=224, device="cpu")
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    sizes = BATCH_SIZES[2:3] if options.smoke else BATCH_SIZES
    bare_seconds(module, 16, 8)  # warm up
    bare: dict[int, list[float]] = {size: [] for size in sizes}
    runs: dict[str, list[tuple[float, int]]] = {name: [] for name in options.algorithms}
    for _ in range(options.rounds):
        for size in sizes:
            bare[size].append(bare_seconds(module, options.calls, size))
        for name in options.algorithms:
            explainer = Explainer(backend, segments="grid:n_segments=49", algorithm=name,
                                  budget=options.calls)  # fmt: skip
            explanation = explainer.explain(image)
            runs[name].append((explanation.seconds, explanation.model_calls))
    medians = {size: statistics.median(times) for size, times in bare.items()}
    best = min(medians, key=lambda size: medians[size])
    rows = []
    for name in options.algorithms:
        seconds = statistics.median(seconds for seconds, _ in runs[name])
        calls = runs[name][0][1]
        rows.append(
            {
                "algorithm": name,
                "model calls": calls,
                "seconds": round(seconds, 2),
                "bare model, seconds": round(medians[best] * calls / options.calls, 2),
                "best batch size": best,
                "ratio": round(seconds / (medians[best] * calls / options.calls), 3),
            }
        )
    _common.print_table(rows)
    if not options.smoke:
        bare_rates = {size: round(options.calls / value, 1) for size, value in medians.items()}
        _common.write_table(options.out, rows, **{"bare pictures a second": bare_rates})


if __name__ == "__main__":
    main()
