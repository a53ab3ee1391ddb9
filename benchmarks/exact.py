"""Is the smallest sufficient mask really found, where it can be known?

Question: with so few superpixels that every mask can be tried, in what share of seeds does the
search evaluate an exact optimum of "smallest with p >= 0.9 p(full)" within 150 model calls?
Demo networks on unseen creatures; MobileNetV2 and SqueezeNet, where they are at hand, on
photographs at odd places of labels.csv, while even places were tuned on; results of earlier
versions on some of them were known.

Each problem is enumerated once, 2^S views; the searches then get these answers back.

Command: python benchmarks/exact.py
Output: results/exact.csv, a row a problem, written as it goes: started again, the script goes on
where it stopped; results/exact_summary.csv. Takes about 40 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _common
import numpy as np
from joblib import Parallel, delayed

from deap_xai import Explainer
from deap_xai.backends import Backend, load_backend
from deap_xai.budget import Budget
from deap_xai.certificates import all_masks
from deap_xai.demo import creature
from deap_xai.demo.show import FIRST_SEED
from deap_xai.fitness import Evaluator

CALLS, SHARE = 150, 0.9
NETWORKS, PRETRAINED = ("resnet", "densenet", "mobilenet"), ("mobilenet_v2", "squeezenet1_1")
KEY = ("model", "picture", "segments", "seeds")
FACTS = (*KEY, "n_segments", "optimum", "optima")
FIGURES = ("found", "median calls")


class Enumerated(Backend):
    """A model whose answer to every mask is known."""

    def __init__(self, answers: np.ndarray) -> None:
        self._answers = answers

    def predict(self, images: Any) -> Any:
        """Not asked: masks are looked up."""
        raise NotImplementedError

    def predict_masked(self, masked_view: Any, masks: Any) -> Any:
        """The rows of these masks, which are numbered as all_masks orders them."""
        return self._answers[masks @ (1 << np.arange(masks.shape[1])[::-1])]


def main() -> None:
    """Enumerate each problem, search it with many seeds, print and write."""
    parser = _common.arguments(__doc__, "exact")
    parser.add_argument("--algorithms", nargs="+", default=["eaSurrogate", "eaNSGA2"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--segments", default="slic:n_segments=14")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if options.smoke:
        options.seeds, options.pictures, options.jobs = 1, 1, 1
        options.segments = "grid:n_segments=6"
    columns = [*FACTS, *(f"{name}: {figure}" for name in options.algorithms for figure in FIGURES)]
    file = None if options.smoke else _common.RowFile(options.out, columns)
    wanted = {_key(model, what, options): (model, what) for model, what in problems(options)}
    rows = {} if file is None else {tuple(row[name] for name in KEY): row for row in file.rows}
    found = Parallel(n_jobs=options.jobs, return_as="generator_unordered")(
        delayed(_row)(*what, options.segments, options.algorithms, options.seeds)
        for key, what in wanted.items()
        if key not in rows
    )
    for row in found:
        print(row, flush=True)
        rows[tuple(str(row[name]) for name in KEY)] = row
        if file is not None:
            file.add(row)
    mine = [row for key, row in rows.items() if key in wanted]
    summary = [one for name in options.algorithms for one in summarised(mine, name)]
    _common.print_table(summary)
    if file is not None:
        facts = {"segments": options.segments, "seeds": options.seeds}
        _common.write_table(options.out.with_stem(options.out.stem + "_summary"), summary, **facts)


def problems(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """A model and a creature's seed, or a photograph."""
    for i in range(options.pictures):
        yield from ((f"demo:name={name}", FIRST_SEED + 100 + i) for name in NETWORKS)
    folder = None if options.smoke else _common.data_folder()
    if folder is not None:
        for path, _ in _common.labelled_photographs(folder)[1::2][: options.pictures]:
            yield from ((model, path) for model in PRETRAINED)


def summarised(rows: list[Any], name: str) -> Iterator[dict[str, Any]]:
    """An algorithm's figures over all problems, on creatures and on photographs."""
    for kind, models in (("all", ""), ("creatures", "demo"), ("photographs", PRETRAINED)):
        part = [row for row in rows if row["model"].startswith(models)]
        if part:
            yield {
                "algorithm": name,
                "problems": kind,
                "number": len(part),
                f"optimum found within {CALLS} calls": round(
                    float(np.mean([float(row[f"{name}: found"]) for row in part])), 4
                ),
                "median of the median calls": float(
                    np.median([float(row[f"{name}: median calls"]) for row in part])
                ),
            }


def _row(model: str, what: Any, segments: str, algorithms: list[str], seeds: int) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)  # one process a core
    image = what if isinstance(what, Path) else creature(what, watermark="random").image
    backend = (
        _common.backend(model) if isinstance(what, Path) else load_backend(model, device="cpu")
    )
    evaluator = Explainer(backend, segments=segments).evaluator(image)
    masks = all_masks(evaluator.n_segments)
    answers = evaluator.answers(masks)
    p = answers[:, evaluator.target]
    enough = p >= SHARE * float(p[-1])
    enough[0] = False  # where the fill alone is enough there would be nothing to find
    sizes = masks[enough].sum(axis=1)
    facts = (model, _name(what), segments, seeds, evaluator.n_segments, int(sizes.min()))
    row = dict(zip(FACTS, (*facts, int((sizes == sizes.min()).sum())), strict=True))
    for name in algorithms:
        calls = [
            _calls_to(name, seed, answers, evaluator, int(sizes.min())) for seed in range(seeds)
        ]
        figures = (float(np.mean(np.isfinite(calls))), float(np.median(calls)))
        row |= {f"{name}: {key}": value for key, value in zip(FIGURES, figures, strict=True)}
    return row


def _key(model: str, what: Any, options: argparse.Namespace) -> tuple[str, ...]:
    return model, _name(what), options.segments, str(options.seeds)


def _name(what: Any) -> str:
    return what.name if isinstance(what, Path) else f"creature {what}"


def _calls_to(name: str, seed: int, answers: np.ndarray, known: Evaluator, optimum: int) -> float:
    """Model calls until a mask of that size reaches the threshold; infinity: it was not found."""
    backend, full = Enumerated(answers), float(answers[-1, known.target])
    evaluator = Evaluator(backend, known.masked_view, known.target, budget=Budget(calls=CALLS))
    Explainer(backend, algorithm=name, seed=seed, budget=CALLS).search(evaluator)
    archive = evaluator.archive
    hit = (archive.probabilities >= SHARE * full) & (archive.masks.sum(axis=1) == optimum)
    return float(hit.argmax()) + 1 if hit.any() else np.inf


if __name__ == "__main__":
    main()
