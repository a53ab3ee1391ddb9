"""How much sooner is an explanation done than stock LIME's, at a front at least as good?

Question: wall time from image to result of ``lime``'s own LimeImageExplainer, used as in its
tutorial for PyTorch (1,000 samples, batches of 10, a predict function that converts, normalises and
asks the module), over that of ``Explainer.explain`` with a budget set beforehand. Same model, same
view, same black fill, same threads; loading the model counts for neither. Engine ``torch``, and
``auto`` in any precision or, as on a processor without bf16, in fp32; the default search, and one
that thinks less about each question; with LIME's superpixels (quickshift, cut anew by both, which
alone takes a good part of a second) and with those of this package's default, slic.

Whether the front is as good is checked, not assumed, by the model itself in its own precision.
On the same superpixels front quality is the mean over k = 1..S of the best probability within k of
them; on others the mean over a = 0.01, 0.02, …, 1 of the best within a share a of the view's area.
LIME's front has its 1,000 samples and the nested masks of its heaviest superpixels.

Photographs where the model is right, every ``--every``-th of them; models whose published weights
aren't there have random ones, as the table says. A machine's speed drifts within minutes: LIME is
timed before and after the explanations of each engine, and the mean of the two is what they are
compared with.

Command: DEAP_XAI_DATA=FOLDER python benchmarks/speed_vs_lime.py
Output: results/speed_vs_lime.csv (one row a photograph, model, engine, superpixels, search, budget
and seed) and a summary of medians. Takes about two hours on 2 cores.
"""

from __future__ import annotations

import copy
import statistics
import time
from pathlib import Path
from typing import Any

import _common
import numpy as np
import torch
import torchvision
from lime import lime_image
from skimage.segmentation import quickshift
from torchvision import transforms

from deap_xai import Explainer
from deap_xai.archive import Archive, front_quality
from deap_xai.fitness import Evaluator
from deap_xai.metrics import nested

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def superpixels(view: np.ndarray) -> np.ndarray:
    """LIME's own, with the numbers of its ``explain_instance``."""
    return quickshift(view, kernel_size=4, max_dist=200, ratio=0.2)


SUPERPIXELS: dict[str, Any] = {"LIME's": superpixels, "slic": "slic:n_segments=50"}
KEYS = ("model", "engine", "superpixels", "algorithm", "budget")
ENGINES = {"torch": ("torch", "fp32"), "auto": ("auto", "auto"), "auto-fp32": ("auto", "fp32")}


def main() -> None:
    """Run both on every photograph; print and write the tables."""
    parser = _common.arguments(__doc__, "speed_vs_lime")
    parser.add_argument("--models", nargs="+", default=["mobilenet_v2", "resnet50"])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--budgets", nargs="+", type=int, default=[60, 100, 150])
    parser.add_argument("--algorithms", nargs="+", default=["eaSurrogate", "eaSurrogate:pool=180"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--photographs", type=int, default=5)
    parser.add_argument("--every", type=int, default=12, help="take each so manyth photograph")
    options = parser.parse_args()
    if options.smoke:
        options.models, options.samples, options.budgets, options.seeds = ["tiny"], 30, [20], 1
        made_up = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        photographs: list[Any] = [(np.kron(made_up, np.ones((12, 12, 1), np.uint8)), None)]
    else:
        found = _common.labelled_photographs(_common.require_data(options.smoke))
        photographs = found[1 :: options.every]
    rows = [row for name in options.models for row in compared(name, photographs, options)]
    summary = [
        summarised([r for r in rows if tuple(r[name] for name in KEYS) == key])
        for key in dict.fromkeys(tuple(r[name] for name in KEYS) for r in rows)
    ]
    _common.print_table(summary)
    if not options.smoke:
        facts = {"threads": torch.get_num_threads(), "LIME's samples": options.samples}
        _common.write_table(options.out, rows, **facts)
        _common.write_table(options.out.with_stem(options.out.stem + "_summary"), summary, **facts)


def compared(name: str, photographs: list[Any], options: Any) -> list[dict[str, Any]]:
    """Rows of one model: every photograph, ours for each engine, LIME before and after these."""
    module, weights = build(name)
    stock = copy.deepcopy(module)  # as torchvision gives it; ours puts channels last
    side = 96 if options.smoke else 224
    steps = [transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])
    explainers = {
        (engine, cut, algorithm, budget): Explainer(
            module, transform=transform, device="cpu", segments=SUPERPIXELS[cut], fill="black",
            algorithm=algorithm, budget=budget,
            engine=ENGINES[engine][0], precision=ENGINES[engine][1],
        )
        for engine in options.engines
        for cut in SUPERPIXELS
        for algorithm in options.algorithms
        for budget in options.budgets
    }  # fmt: skip
    own = Explainer(module, transform=transform, device="cpu", segments=superpixels, fill="black")
    rows: list[dict[str, Any]] = []
    done = 0
    for photograph, label in photographs:
        judge = own.evaluator(photograph)
        if weights == "published" and judge.target != label:
            continue
        if not rows:  # the first call of an engine is slower: for neither is it counted
            for explainer in explainers.values():
                explainer.explain(photograph)
            stock_lime(stock, judge.view, 20)
        facts = {"model": name, "weights": weights, "photograph": _title(photograph)}
        before = stock_lime(stock, judge.view, options.samples, judge)
        for engine in options.engines:
            mine = {key: one for key, one in explainers.items() if key[0] == engine}
            ran = [
                facts | dict(zip(KEYS[1:], key, strict=True)) | run(one, photograph, judge, seed)
                for seed in range(options.seeds)
                for key, one in mine.items()
            ]
            after = stock_lime(stock, judge.view, options.samples)
            rows += [beside(row, (before + after) / 2) for row in ran]
            before = after
        done += 1
        if done == options.photographs:
            break
    return rows


def run(explainer: Explainer, photograph: Any, judge: Evaluator, seed: int) -> dict[str, Any]:
    """One explanation of ours, and its front beside LIME's, whose masks the judge has."""
    explainer.seed = seed
    start = time.perf_counter()
    e = explainer.explain(photograph)
    ours = time.perf_counter() - start
    archive = e.archive if e.reference is None else e.reference
    if np.array_equal(e.segments, judge.segments):
        quality, theirs = front_quality(archive), front_quality(judge.archive)
    else:
        quality = quality_by_area(archive, e.segments)
        theirs = quality_by_area(judge.archive, judge.segments)
    return {
        "seed": seed,
        "ran on": f"{explainer.backend.engine} {explainer.backend.precision}",
        "n_segments": archive.masks.shape[1],
        "model calls": e.model_calls,
        "seconds": round(ours, 3),
        "LIME's front quality": round(theirs, 4),
        "front quality": round(quality, 4),
        "as good": bool(quality >= theirs - 1e-6),
    }


def beside(row: dict[str, Any], lime: float) -> dict[str, Any]:
    """A row with LIME's seconds at about the same time."""
    times = {"LIME, seconds": round(lime, 2), "times as fast": round(lime / row["seconds"], 1)}
    return row | times


def quality_by_area(archive: Archive, segments: np.ndarray) -> float:
    """Mean over a = 0.01, 0.02, …, 1 of the best probability within a share a of the area."""
    areas = np.bincount(segments.ravel()) / segments.size
    shares = archive.masks @ areas
    within = shares[:, None] <= np.arange(1, 101) / 100 + 1e-9
    return float(np.where(within, archive.probabilities[:, None], 0).max(axis=0).mean())


def stock_lime(
    module: torch.nn.Module, view: np.ndarray, samples: int, judge: Evaluator | None = None
) -> float:
    """Seconds of LIME as its tutorial runs it; a judge is asked about every mask it knows."""
    preprocess = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def batch_predict(images: np.ndarray) -> np.ndarray:
        batch = torch.stack(tuple(preprocess(image) for image in images), dim=0)
        return torch.nn.functional.softmax(module(batch), dim=1).detach().cpu().numpy()

    explainer = lime_image.LimeImageExplainer(random_state=0)
    start = time.perf_counter()
    explanation = explainer.explain_instance(
        view, batch_predict, top_labels=5, hide_color=0, num_samples=samples
    )
    seconds = time.perf_counter() - start
    if judge is None:
        return seconds
    labels = np.unique(explanation.segments, return_inverse=True)[1].reshape(view.shape[:2])
    if (labels != judge.segments).any():
        raise SystemExit("LIME's superpixels aren't ours: the fronts can't be compared")
    rng = np.random.RandomState(0)  # LIME's own draws: the seed of its segmenter, then the masks
    rng.randint(0, high=1000)
    masks = rng.randint(0, 2, samples * judge.n_segments).reshape(samples, -1).astype(bool)
    masks[0] = True
    weights = np.full(judge.n_segments, -np.inf)
    for index, weight in explanation.local_exp[judge.target]:
        weights[index] = weight
    judge.probabilities(np.concatenate([nested(weights)[1:], masks]))
    return seconds


def build(name: str) -> tuple[torch.nn.Module, str]:
    """A model as LIME's users have it: in evaluation mode, as torchvision gives it."""
    torch.manual_seed(0)
    if name == "tiny":
        pool = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
        return torch.nn.Sequential(pool, torch.nn.Linear(12, 8)).eval(), "random"
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    known = weights if file.is_file() else None
    module = torchvision.models.get_model(name, weights=known)
    return module.eval(), "published" if known else "random"


def summarised(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of times and means of quality, over photographs and seeds."""
    one = {key: rows[0][key] for key in (*KEYS, "weights", "ran on")}
    one["photographs"] = len({row["photograph"] for row in rows})
    for key in ("LIME, seconds", "seconds", "times as fast"):
        one[key] = round(statistics.median(r[key] for r in rows), 3)
    for key in ("LIME's front quality", "front quality"):
        one[key] = round(statistics.mean(r[key] for r in rows), 4)
    one["as good"] = f"{sum(r['as good'] for r in rows)} of {len(rows)}"
    return one


def _title(photograph: Any) -> str:
    return photograph.name if isinstance(photograph, Path) else "made up"


if __name__ == "__main__":
    main()
