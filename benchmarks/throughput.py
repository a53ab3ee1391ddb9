"""How much of a model's own speed is left when it is asked about masked views?

Question: masked views a second through the whole evaluator (rendering, batching, remembering), over
pictures a second of the bare model on the same engine in the same precision, each at its best
batch size. Every engine and precision that is installed; all in this process, in turn, medians of
rounds. Random weights, which don't change the time; 224x224.

With ``--device cuda`` also the wall time of a whole explanation of a photograph's size, with 1,000
model calls, after five to warm up; its views a second as a share of the bare model's; and the same
for the search alone, without superpixels, checks and attribution.

Command: python benchmarks/throughput.py
         python benchmarks/throughput.py --device cuda --models resnet101
Output: results/throughput.csv (one row a model, engine and precision), with pictures a second at
each batch size. Takes about 15 minutes on 2 cores.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import _common
import numpy as np
import torch
import torchvision
from scaling import picture

from deap_xai import Explainer
from deap_xai.backends import Backend, load_backend
from deap_xai.backends.engines import ENGINES
from deap_xai.backends.graph import GraphBackend
from deap_xai.backends.torch_module import TorchBackend
from deap_xai.errors import BackendError
from deap_xai.fitness import Evaluator

SIDE = 224
N_SEGMENTS = 49
ON_CPU, ON_DEVICE = (1, 2, 4, 8, 16, 32), (16, 32, 64, 128, 256)


def main() -> None:
    """Measure, print, write."""
    parser = _common.arguments(__doc__, "throughput")
    parser.add_argument("--models", nargs="+", default=["resnet50", "mobilenet_v2"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--views", type=int, help="in one measurement  [default: 32, 1024 on cuda]")
    parser.add_argument("--algorithm", default="eaNSGA2", help="of the explanation on cuda")
    parser.add_argument("--population", type=int, default=250, help="of the explanation on cuda")
    parser.add_argument("--calls", type=int, default=1000, help="of the explanation on cuda")
    options = parser.parse_args()
    on_cpu = options.device == "cpu"
    options.sizes = ON_CPU if on_cpu else ON_DEVICE
    options.views = options.views or (32 if on_cpu else 1024)
    if options.smoke:
        options.models, options.rounds, options.views, options.sizes = ["tiny"], 1, 8, (4,)
    rows = [row for name in options.models for row in measured(name, options)]
    _common.print_table(rows)
    if not options.smoke:
        facts = {"device": options.device, "threads": torch.get_num_threads()}
        if not on_cpu:
            facts["accelerator"] = torch.cuda.get_device_name()
        _common.write_table(options.out, rows, **facts)


def measured(name: str, options: Any) -> list[dict[str, Any]]:
    """One row for each engine and precision of a model."""
    side = 32 if options.smoke else SIDE
    module, image = build(name), np.random.default_rng(0).integers(0, 256, (side, side, 3))
    engines = [name for name, engine in ENGINES.items() if engine.installed]
    pairs = [(engine, p) for engine in engines for p in ENGINES[engine].precisions]
    if options.device != "cpu":
        pairs = [(engine, p) for engine, p in pairs if engine == "torch"]
    found = {pair: loaded(module, side, options.device, *pair) for pair in pairs}
    backends = {pair: backend for pair, backend in found.items() if backend is not None}
    evaluators = {
        pair: Explainer(backend, segments=f"grid:n_segments={N_SEGMENTS}", budget=10**9).evaluator(
            image.astype(np.uint8), target=0
        )
        for pair, backend in backends.items()
    }
    rng = np.random.default_rng(1)
    times: dict[tuple[Any, int, str], list[float]] = {}
    for turn in range(options.rounds + 1):  # the first warms up
        for pair, backend in backends.items():
            for size in options.sizes:
                bare = bare_seconds(backend, options.views, size, side)
                whole = evaluator_seconds(evaluators[pair], options.views, size, rng)
                if turn:
                    times.setdefault((pair, size, "bare"), []).append(bare)
                    times.setdefault((pair, size, "whole"), []).append(whole)
    rates = {key: options.views / statistics.median(values) for key, values in times.items()}
    rows = [row(name, pair, rates, options.sizes) for pair in backends]
    if options.device != "cpu":
        for one, backend in zip(rows, backends.values(), strict=True):
            one |= explanation(backend, one, options)
    return rows


def loaded(
    module: torch.nn.Module, side: int, device: str, engine: str, precision: str
) -> Backend | None:
    """The module on an engine; None, and a word of it, where this processor can't run that."""
    try:
        return load_backend(
            module, size=side, device=device, engine=engine, precision=precision, batch_size=8
        )
    except BackendError as error:  # OpenVINO has bf16 on some processors only
        print(f"{engine} {precision} left out: {error}")
        return None


def build(name: str) -> torch.nn.Module:
    """A torchvision classifier with random weights, or a tiny one."""
    torch.manual_seed(0)
    if name == "tiny":
        return torch.nn.Sequential(
            torch.nn.Conv2d(3, 8, 3, stride=2),
            torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(8, 4),
        )
    return torchvision.models.get_model(name, weights=None).eval()


def bare_seconds(backend: Backend, n: int, size: int, side: int) -> float:
    """Seconds of the bare model for n pictures that lie ready as it wants them."""
    pictures = torch.rand(size, 3, side, side)
    if isinstance(backend, TorchBackend):
        module, dtype = backend._module, backend._dtype
        inputs = pictures.to(backend.device, dtype, memory_format=torch.channels_last)
        start = time.perf_counter()
        with torch.inference_mode():
            for _ in range(-(-n // size)):
                answer = module(inputs).softmax(dim=1)
        answer.cpu()  # waits for the device
        return time.perf_counter() - start
    assert isinstance(backend, GraphBackend)
    run, batch = backend.graph(side, side).run, pictures.numpy()
    start = time.perf_counter()
    for _ in range(-(-n // size)):
        run(batch)
    return time.perf_counter() - start


def evaluator_seconds(evaluator: Evaluator, n: int, size: int, rng: np.random.Generator) -> float:
    """Seconds of the evaluator for n masks that it hasn't seen."""
    evaluator.backend.batch_size = size
    masks = rng.random((n, evaluator.n_segments)) < 0.5
    start = time.perf_counter()
    evaluator.probabilities(masks)
    return time.perf_counter() - start


def row(name: str, pair: tuple[str, str], rates: Any, sizes: Any) -> dict[str, Any]:
    """Pictures and masked views a second, and the ratio of the best of each."""
    bare = {size: rates[pair, size, "bare"] for size in sizes}
    whole = {size: rates[pair, size, "whole"] for size in sizes}
    return {
        "model": name,
        "engine": pair[0],
        "precision": pair[1],
        "bare pictures a second": round(max(bare.values()), 1),
        "masked views a second": round(max(whole.values()), 1),
        "ratio": round(max(whole.values()) / max(bare.values()), 3),
        "best batch size": max(whole, key=lambda size: whole[size]),
        **{f"bare at {size}": round(rate, 1) for size, rate in bare.items()},
    }


def explanation(backend: Backend, one: dict[str, Any], options: Any) -> dict[str, Any]:
    """Wall time of a whole explanation and of its search, and their shares of the bare speed."""
    backend.batch_size = one["best batch size"]
    explainer = Explainer(
        backend,
        algorithm=options.algorithm,
        population=options.population,
        budget=options.calls,
    )
    pictures = [picture(500, 375, seed) for seed in range(options.rounds)]
    for seed in range(5):
        explainer.explain(picture(500, 375, 100 + seed))
    done = [explainer.explain(image) for image in pictures]
    searches = [search(explainer, image) for image in pictures]
    seconds, calls = statistics.median_low((e.seconds, e.model_calls) for e in done)
    spent, asked = statistics.median_low(searches)
    bare = one["bare pictures a second"]
    return {
        "model calls": calls,
        "seconds of an explanation": round(seconds, 3),
        "share of the bare speed": round(calls / seconds / bare, 3),
        "seconds of the search": round(spent, 3),
        "its share": round(asked / spent / bare, 3),
    }


def search(explainer: Explainer, image: np.ndarray) -> tuple[float, int]:
    """Seconds of a search alone, and its model calls."""
    evaluator = explainer.evaluator(image)
    before, start = evaluator.calls, time.perf_counter()
    explainer.search(evaluator)
    return time.perf_counter() - start, evaluator.calls - before


if __name__ == "__main__":
    main()
