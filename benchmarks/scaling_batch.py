"""How does a run over many images scale?

Question: images an hour with 1 and 2 workers on this machine, on a local Dask and on a local Ray;
the efficiency of 2 workers, that is their rate over twice that of 1; the main process's memory and
its workers' at 100 and at 2,000 images; and how long 50,000 images would take on 16, 128 and 1,024
cores.

Rates are of the second half of each run, when every worker has loaded its model; the time until the
first image is given apart. The projection divides by the rate of one worker times the cores times
the efficiency of two, and adds the time to the first image. It assumes that cores are like this
machine's, that no more than two share a memory bus as ours do, and that the file system keeps up
(one image read and some kilobytes written per image). The one process that keeps the books has a
limit too: its own processor time per image, measured, bounds the rate.

Command: python benchmarks/scaling_batch.py
Output: results/scaling_batch.csv, a row a way and two for the memory, written as it goes: started
again, the script goes on where it stopped; results/scaling_batch_projection.csv.
Takes about 40 minutes on 2 cores, if nothing else runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import _common
import psutil
from PIL import Image

import deap_xai as dx
from deap_xai.demo import creature
from deap_xai.runs import Tally

IMAGES, CORES = 50_000, (16, 128, 1024)
KEY = ("way", "images", "model", "budget")
FIGURES = (
    "images an hour",
    "first image, s",
    "main, MB",
    "with workers, MB",
    "books, ms an image",
)


class Watch:
    """Notes when images are done, and how much memory the process and its children take."""

    def __init__(self) -> None:
        self.me = psutil.Process()
        self.start, self.cpu = time.perf_counter(), 0.0
        self.times: list[tuple[float, int]] = []
        self.main = self.all = 0

    def __call__(self, tally: Tally) -> None:
        """Called with every tally."""
        done = tally.explained + tally.failed
        if not self.times:  # what it cost to get ready is no cost per image
            self.cpu = sum(self.me.cpu_times()[:2])
        self.times.append((time.perf_counter() - self.start, done))
        if done % 20 == 0:
            self.main = max(self.main, self.me.memory_info().rss)
            self.all = max(self.all, self.main + sum(map(_rss, self.me.children(recursive=True))))

    def facts(self, one_process: bool) -> dict[str, Any]:
        """Rate, start, memory, and processor time of the books per image."""
        total = self.times[-1][1]
        half, done = next((t, n) for t, n in self.times if n >= total / 2)
        books = (sum(self.me.cpu_times()[:2]) - self.cpu) / total
        figures = (
            (total - done) / (self.times[-1][0] - half) * 3600,
            next(t for t, n in self.times if n),
            self.main / 1e6,
            self.all / 1e6,
            float("nan") if one_process else books * 1000,
        )
        return dict(zip(FIGURES, (round(figure, 3) for figure in figures), strict=True))


def main() -> None:
    """Measure every way, project, print, write."""
    parser = _common.arguments(__doc__, "scaling_batch")
    parser.add_argument("--images", type=int, default=200, help="for the rates")
    parser.add_argument("--many", type=int, default=2000, help="for the memory")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--budget", type=int, default=400)
    parser.add_argument("--ways", nargs="+", default=["1", "2", "dask", "ray"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.smoke:
            options.images = options.many = 4
            options.budget, options.ways = 20, ["1", "2"]
            options.out = Path(folder) / "smoke.csv"
        _report(options)


def _report(options: argparse.Namespace) -> None:
    jobs = [(way, way, options.images, options.budget) for way in options.ways]
    if not options.smoke:
        budget = min(options.budget, 10)  # memory doesn't depend on it
        jobs += [("2, memory", "2", n, budget) for n in (min(100, options.many), options.many)]
    file = _common.RowFile(options.out, (*KEY, *FIGURES))
    for name, way, number, calls in jobs:
        key = dict(zip(KEY, (name, number, options.model, calls), strict=True))
        if not file.has(**key):
            # A process each, so that one's memory isn't taken for another's.
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                figures = pool.submit(_measured, way, number, options.model, calls).result()
            file.add(key | figures)
            print(file.rows[-1], flush=True)
    _common.print_table(file.rows)
    settings = dict(zip(KEY[1:], (options.images, options.model, options.budget), strict=True))
    rows = [row for row in file.rows if all(row[k] == str(v) for k, v in settings.items())]
    projection = _projection(rows)
    if projection:
        print()
        _common.print_table(projection)
        path = options.out.with_stem(options.out.stem + "_projection")
        _common.write_table(path, projection, **settings)


def _measured(way: str, number: int, model: str, budget: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(number):
            Image.fromarray(creature(60_000 + seed).image).save(folder / f"{seed:05d}.png")
        how = {"workers": int(way)} if way.isdecimal() else {"cluster": way}
        watch = Watch()
        dx.batch(folder, model, folder / "run", budget=budget, device="cpu",
                 progress=watch, **how)  # fmt: skip
        return watch.facts(one_process=way == "1")


def _projection(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    found = {row["way"]: row for row in rows}
    if not {"1", "2"} <= found.keys():
        return []
    one, two = (float(found[way]["images an hour"]) for way in ("1", "2"))
    efficiency = two / (2 * one)
    books = 3.6e6 / float(found["2"]["books, ms an image"])
    projected = []
    for cores in CORES:
        rate = min(cores * one * min(efficiency, 1), books)
        hours = IMAGES / rate + float(found["2"]["first image, s"]) / 3600
        projected.append(
            {
                "cores": cores,
                "efficiency of 2": round(efficiency, 3),
                "images an hour": round(rate),
                "limited by the books": rate == books,
                f"hours for {IMAGES} images": round(hours, 3),
            }
        )
    return projected


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has ended
        return 0


if __name__ == "__main__":
    main()
