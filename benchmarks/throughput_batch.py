"""How much of a GPU's own speed is left over many images?

Question: model calls a second over many images, with 1,000 calls an image: one after another and as
a list, in one process; and as runs of ``batch`` over 8 and 16 processes that share the GPU. Each
as a share of what the bare model does with pictures that lie ready, at its best batch size.
Random weights, which don't change the time.

A run's rate is that of its second half, until as many images are left as there are processes: the
first half loads and warms up. The time until its first image is given apart.

With ``--mps`` NVIDIA's Multi-Process Service runs beside the runs of ``batch``, so that the kernels
of several processes share the GPU instead of taking turns.

Command: python benchmarks/throughput_batch.py
         python benchmarks/throughput_batch.py --mps
Output: results/throughput_batch.csv (one row a way, added to those that are there).
Written as it goes. Takes about eight minutes on an H100.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import _common
import pyarrow.parquet as pq
import torch
from PIL import Image
from scaling import picture
from throughput import bare_seconds, build

import deap_xai as dx
from deap_xai.backends import Backend
from deap_xai.runs import Tally

SIZES = (128, 256, 512)
COLUMNS = (
    "accelerator",
    "model",
    "algorithm",
    "precision",
    "way",
    "images",
    "until the first, s",
    "seconds an image",
    "calls a second",
    "bare pictures a second",
    "share",
)
Row = dict[str, Any]


def main() -> None:
    """Measure, print, write."""
    parser = _common.arguments(__doc__, "throughput_batch")
    parser.add_argument("--model", default="resnet101")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--algorithm", default="eaNSGA2")
    parser.add_argument("--population", type=int, default=250)
    parser.add_argument("--calls", type=int, default=1000, help="an image")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--mps", action="store_true", help="with NVIDIA's Multi-Process Service")
    parser.add_argument("--few", type=int, default=6, help="images in one process")
    options = parser.parse_args()
    if options.images < 4 * max(options.workers) and not options.smoke:
        parser.error("give four images a process at least, or the second half says nothing")
    if options.smoke:
        options.model, options.device, options.precision = "squeezenet1_1", "cpu", ["fp32"]
        options.images, options.workers, options.calls, options.few = 8, [1, 2], 12, 2
        options.population, options.batch_size = 4, 4
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = folder / "weights.pth"
        torch.save(build(options.model).state_dict(), weights)
        (folder / "images").mkdir()
        for seed in range(options.images):
            Image.fromarray(picture(500, 375, seed)).save(folder / "images" / f"{seed}.jpg")
        file = _common.RowFile(folder / "smoke.csv" if options.smoke else options.out, COLUMNS)
        for precision in options.precision:
            settings = settings_of(options, precision, weights)
            for row in measured(folder, settings, options):
                file.add(row)
                print(row, flush=True)
        _common.print_table(file.rows)


def settings_of(options: argparse.Namespace, precision: str, weights: Path) -> Row:
    """An explainer's, beside the model's name."""
    return {
        "weights": str(weights),
        "device": options.device,
        "engine": "torch",
        "precision": precision,
        "batch_size": options.batch_size,
        "algorithm": options.algorithm,
        "population": options.population,
        "budget": options.calls,
    }


def measured(folder: Path, settings: Row, options: argparse.Namespace) -> Iterator[Row]:
    """One row a way, as soon as it is measured."""
    explainer = dx.Explainer(options.model, **settings)
    rate = max(bare(explainer.backend, size) for size in ((4,) if options.smoke else SIZES))
    facts = {
        "accelerator": torch.cuda.get_device_name() if options.device == "cuda" else "none",
        "model": options.model,
        "algorithm": f"{options.algorithm}, population {options.population}",
        "precision": settings["precision"],
    }
    few = sorted((folder / "images").iterdir())[: options.few]
    alone = iter(()) if options.mps else in_one_process(explainer, few)
    for row in chain(alone, in_many(folder, settings, options)):
        share = row["calls a second"] / rate
        yield facts | row | {"bare pictures a second": round(rate), "share": round(share, 3)}


def in_many(folder: Path, settings: Row, options: argparse.Namespace) -> Iterator[Row]:
    """Runs of so many processes each."""
    for workers in options.workers:
        out = folder / f"{settings['precision']}_{workers}"
        watch = Watch(workers)
        with multi_process_service(folder) if options.mps else nullcontext():
            dx.batch(
                folder / "images", options.model, out, workers=workers, progress=watch, **settings
            )
        row = watch.row(calls_of(out))
        yield row | {"way": f"{row['way']}{', MPS' * options.mps}"}


@contextmanager
def multi_process_service(folder: Path) -> Iterator[None]:
    """Through which processes that are started meanwhile use the GPU."""
    os.environ["CUDA_MPS_PIPE_DIRECTORY"] = os.environ["CUDA_MPS_LOG_DIRECTORY"] = str(folder)
    control = "nvidia-cuda-mps-control"
    subprocess.run([control, "-d"], check=True, timeout=30)
    try:
        yield
    finally:
        subprocess.run([control], input="quit", text=True, check=True, timeout=60)
        del os.environ["CUDA_MPS_PIPE_DIRECTORY"], os.environ["CUDA_MPS_LOG_DIRECTORY"]


def bare(backend: Backend, size: int) -> float:
    """Pictures a second of the bare model, in the median of three times four batches."""
    bare_seconds(backend, size, size, 224)
    return 4 * size / statistics.median(bare_seconds(backend, 4 * size, size, 224) for _ in "abc")


def in_one_process(explainer: dx.Explainer, paths: list[Path]) -> Iterator[Row]:
    """One after another, and as a list."""
    explainer.explain(paths)  # warm
    for path in paths:
        explainer.explain(path)
    for way in ("one after another", "a list"):
        start = time.perf_counter()
        found = explainer.explain(paths) if way == "a list" else list(map(explainer.explain, paths))
        seconds = time.perf_counter() - start
        calls = sum(one.model_calls for one in found)
        yield {
            "way": way,
            "images": len(paths),
            "until the first, s": "",
            "seconds an image": round(seconds / len(paths), 3),
            "calls a second": round(calls / seconds, 1),
        }


def calls_of(run: Path) -> float:
    """Model calls an image, in the mean."""
    return float(pq.read_table(run / "results.parquet")["model_calls"].to_numpy().mean())


class Watch:
    """Notes when images are done."""

    def __init__(self, workers: int) -> None:
        self.workers, self.start = workers, time.perf_counter()
        self.times: list[float] = []

    def __call__(self, tally: Tally) -> None:
        """Called with every tally."""
        if tally.failed:
            raise RuntimeError("an image failed")
        if tally.explained:
            self.times.append(time.perf_counter() - self.start)

    def row(self, calls: float) -> Row:
        """The rate of the second half."""
        first, last = len(self.times) // 2 - 1, len(self.times) - self.workers
        seconds = (self.times[last] - self.times[first]) / (last - first)
        return {
            "way": f"batch, {self.workers} process{'es' * (self.workers > 1)}",
            "images": len(self.times),
            "until the first, s": round(self.times[0], 1),
            "seconds an image": round(seconds, 3),
            "calls a second": round(calls / seconds, 1),
        }


if __name__ == "__main__":
    main()
