"""How does the cost of explanations grow with the work?

Question: seconds and peak memory as one thing grows: superpixels 25 to 800, the image 0.1 to 24
megapixels, model calls 100 to 10,000, images 1 to 100 one after another and together. Each row in
a process of its own, so that its peak memory is its own. The classifier has random weights, which
change neither time nor memory; for the model calls it is a formula of the mask, so that what is
left is the search itself.

Command: python benchmarks/scaling.py
         python benchmarks/scaling.py --device cuda --model resnet101 --batch-size 128
Output: results/scaling_superpixels.csv, scaling_megapixels.csv, scaling_calls.csv and
scaling_images.csv, and the tables. Takes some 35 minutes on 2 cores, mostly for the images.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import _common
import numpy as np
import PIL.Image
from scipy.linalg import solve_triangular

from deap_xai import Explainer
from deap_xai.backends.base import Backend
from deap_xai.fitness import Evaluator
from deap_xai.images import load_image
from deap_xai.segmentation import segment

SIZES = {
    "superpixels": (25, 50, 100, 200, 400, 800),
    "megapixels": (0.1, 0.4, 1.6, 6, 24),
    "calls": (100, 300, 1000, 3000, 10000),
    "images": (1, 3, 10, 30, 100),
}
SMOKE = {"superpixels": (25, 50), "megapixels": (0.1, 0.4), "calls": (50, 100), "images": (1, 3)}

Row = dict[str, Any]


def classifier(settings: Mapping[str, Any]) -> Backend:
    """A torchvision model at 224x224 with random weights, which counts its own seconds; warm."""
    import torch
    import torchvision
    from _timed import Timed

    torch.manual_seed(0)
    module = torchvision.models.get_model(settings["model"], weights=None)
    backend = Timed(module, size=224, device=settings["device"], batch_size=settings["batch_size"])
    warm = Explainer(backend, segments="grid:n_segments=49", budget=100)
    warm.explain([picture(224, 224, seed) for seed in range(3)])
    backend.seconds = 0.0
    return backend


class Formula(Backend):
    """A smooth function of the mask: no pixels, next to no time."""

    name = "formula"
    seconds = 0.0

    def predict(self, images: Any) -> Any:
        """Not asked: it has no use for pixels."""
        raise NotImplementedError

    def predict_masked(self, masked_view: Any, masks: Any) -> Any:
        """The more of the heavy superpixels and of the pairs are kept, the more probable."""
        start = time.perf_counter()
        rng = np.random.default_rng(0)
        weights = rng.normal(0.5, 1, masks.shape[1])
        pairs = rng.integers(0, masks.shape[1], (2, masks.shape[1]))
        raw = masks @ weights + (masks[:, pairs[0]] & masks[:, pairs[1]]).mean(axis=1)
        p = 1 / (1 + np.exp(2 - 5 * raw / np.maximum(weights, 0).sum()))
        self.seconds += time.perf_counter() - start
        return np.stack([1 - p, p], axis=1)


def superpixels(n: int, settings: Mapping[str, Any]) -> Row:
    """One explanation with so many superpixels."""
    image, backend = picture(500, 375), classifier(settings)
    start = time.perf_counter()
    segment(backend.view(image), f"slic:n_segments={n}")
    cut = time.perf_counter() - start
    explainer = Explainer(backend, segments=f"slic:n_segments={n}", budget=settings["budget"])
    explanation = explainer.explain(image)
    return {
        "superpixels asked for": n,
        "superpixels": explanation.n_segments,
        "segmentation, s": cut,
    } | cost(explanation.model_calls, explanation.seconds, backend)


def megapixels(n: float, settings: Mapping[str, Any]) -> Row:
    """One explanation of a JPEG file of so many megapixels."""
    backend = classifier(settings)
    height = round((n * 1e6 * 3 / 4) ** 0.5)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jpg"
        PIL.Image.fromarray(picture(round(height * 4 / 3), height)).save(path, quality=90)
        start = time.perf_counter()
        backend.view(load_image(path))
        read = time.perf_counter() - start
        explanation = Explainer(backend, budget=settings["budget"]).explain(path)
    return {"megapixels": n, "from file to view, s": read} | cost(
        explanation.model_calls, explanation.seconds, backend
    )


def calls(n: int, settings: Mapping[str, Any]) -> Row:
    """One explanation of so many calls of a formula: the search, then checks and attribution.

    A machine's speed drifts within minutes, so a fixed piece of work is timed along the way, and
    left out of the search's time; the columns in its units compare parts of a search.
    """
    backend, image = Formula(), picture(224, 224)
    Explainer(backend, segments="grid:n_segments=49", budget=50).explain(image)  # warm
    backend.seconds, marks, spent = 0.0, [], [0.0]

    def mark(evaluator: Evaluator) -> None:
        now = time.perf_counter() - backend.seconds - spent[0]
        fixed = fixed_work()
        spent[0] += fixed
        marks.append((evaluator.calls, now, fixed))

    explainer = Explainer(backend, segments="grid:n_segments=49", budget=n)
    explanation = explainer.explain(image, progress=mark)
    seconds = explanation.seconds - spent[0]
    parts = {"first tenth": (0, 0.1), "amid the search": (0.4, 0.5), "near its end": (0.7, 0.8)}
    paces = {name: pace(marks, *part) for name, part in parts.items()}
    return (
        {"budget": n}
        | {f"ms a call outside the model, {name}": ms for name, (ms, _) in paces.items()}
        | {f"in fixed works, {name}": works for name, (_, works) in paces.items()}
        | {"ms a call, all told": 1e3 * (seconds - backend.seconds) / explanation.model_calls}
        | cost(explanation.model_calls, seconds, backend)
    )


def pace(marks: list[tuple[int, float, float]], start: float, end: float) -> tuple[float, float]:
    """Milliseconds a call between two shares of all calls; and the same over the fixed work's."""
    first, last = (
        next(i for i, mark in enumerate(marks) if mark[0] >= share * marks[-1][0])
        for share in (start, end)
    )
    asked = max(marks[last][0] - marks[first][0], 1)
    seconds = (marks[last][1] - marks[first][1]) / asked
    fixed = statistics.median(mark[2] for mark in marks[first : last + 1])
    return 1e3 * seconds, seconds / fixed


def fixed_work() -> float:
    """Seconds of a fixed piece of linear algebra: a clock that slows down with the machine."""
    start = time.perf_counter()
    kernel = 1 / (2 - np.cos(np.outer(np.arange(300), np.arange(300)) / 300))
    solve_triangular(np.eye(300) + kernel, kernel, lower=True, check_finite=False)
    return time.perf_counter() - start


def images(n: int, settings: Mapping[str, Any], together: bool) -> Row:
    """So many explanations, one after another or together."""
    backend = classifier(settings)
    explainer = Explainer(backend, budget=settings["budget"])
    pictures = [picture(500, 375, seed) for seed in range(n)]
    start = time.perf_counter()
    found = explainer.explain(pictures) if together else [explainer.explain(x) for x in pictures]
    seconds = time.perf_counter() - start
    way = "together" if together else "one after another"
    model_calls = sum(explanation.model_calls for explanation in found)
    return {"images": n, "way": way} | cost(model_calls, seconds, backend)


def cost(model_calls: int, seconds: float, backend: Any) -> Row:
    """The columns that all tables share."""
    row = {
        "model calls": model_calls,
        "seconds": round(seconds, 3),
        "outside the model, s": round(seconds - backend.seconds, 3),
        "calls a second": round(model_calls / seconds, 1),
        "peak memory, MB": round(peak_memory() / 1e6),
    }
    if getattr(getattr(backend, "device", None), "type", "cpu") == "cuda":
        import torch

        row["device memory, MB"] = round(torch.cuda.max_memory_allocated() / 1e6)
    return row


def peak_memory() -> int:
    """The most that this process ever held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with some noise, which superpixels find something in: (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = PIL.Image.fromarray(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8))
    smooth = np.asarray(coarse.resize((width, height), PIL.Image.Resampling.BICUBIC))
    return smooth ^ rng.integers(0, 8, smooth.shape).astype(np.uint8)


TABLES: dict[str, Callable[..., Row]] = {
    "superpixels": superpixels,
    "megapixels": megapixels,
    "calls": calls,
    "images": images,
}


def alone(function: Callable[[], Row]) -> Row:
    """What the function returns in a new process."""
    pool = multiprocessing.get_context("spawn").Pool(1)
    try:
        return pool.apply(function)
    finally:
        pool.close()
        pool.join()


def rows_of(table: str, options: argparse.Namespace) -> Iterator[Row]:
    """The rows of a table, as they are measured."""
    settings = {
        "model": options.model,
        "device": options.device,
        "batch_size": options.batch_size,
        "budget": options.budget,
    }
    sizes = (SMOKE if options.smoke else SIZES)[table]
    ways = [{"together": False}, {"together": True}] if table == "images" else [{}]
    for n, way in product(sizes, ways):
        function = partial(TABLES[table], n, settings, **way)
        yield function() if options.smoke else alone(function)


def main() -> None:
    """Measure, print, write."""
    parser = _common.arguments(__doc__, "scaling")
    parser.add_argument("--tables", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--device", default="cpu", help="cpu, cuda, mps, …")
    parser.add_argument("--model", default="mobilenet_v2", help="one of torchvision's classifiers")
    parser.add_argument("--batch-size", type=int, help="views at once, if not the usual number")
    parser.add_argument("--budget", type=int, default=200, help="model calls an explanation")
    options = parser.parse_args()
    if options.smoke:
        options.model, options.budget = "squeezenet1_1", 16
    for table in options.tables:
        rows = []
        for row in rows_of(table, options):
            print(row, flush=True)
            rows.append(row)
        print(f"\n{table}\n")
        _common.print_table(rows)
        if not options.smoke:
            path = options.out.with_stem(f"{options.out.stem}_{table}")
            facts = {"model": options.model, "device": options.device, "budget": options.budget}
            if table == "calls":
                facts = {"model": "a formula of the mask"}
            _common.write_table(path, rows, **facts)


if __name__ == "__main__":
    main()
