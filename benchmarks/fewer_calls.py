"""How many model calls does it take to be as good as LIME, and as greedy search?

Question: on real photographs and real models, same superpixels, same fill, same backend, model
calls counted as distinct masked views:
1. calls until the front is as good as LIME's with 1,000 samples and its nested replay;
2. calls until it is as good as two-sided greedy search's at its end, as a share of greedy's calls;
3. insertion and deletion AUC at 400 and at 1,000 calls beside greedy's.
Front quality is the mean over k = 1..S of the best probability within k superpixels.

Photographs at even places of labels.csv (0, 2, …) were used for tuning; those at odd places are
reported, where the model is right. They are not wholly unseen: results of former versions on them
were known when the present one was tuned.

Command: DEAP_XAI_DATA=FOLDER python benchmarks/fewer_calls.py
Output: results/fewer_calls.csv, a row a run, written as it goes: started again, the script goes on
where it stopped; results/fewer_calls_summary.csv, results/fewer_calls.png.
Takes about a minute a problem on one core; there are some hundred.
"""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path
from typing import Any

import _common
import _rivals
import numpy as np
from joblib import Parallel, delayed

from deap_xai import Explainer
from deap_xai.archive import Archive, front_quality, running_front_quality
from deap_xai.attribution import attribution
from deap_xai.fitness import Evaluator
from deap_xai.metrics import deletion_auc, insertion_auc, nested

MODELS = ("mobilenet_v2", "squeezenet1_1")
FILLS = ("mean", "grey")
AT = (25, 50, 100, 200, 400, 1000)
KEY = ("model", "fill", "photograph", "method", "seed")
AREAS = ("insertion", "deletion")


def main() -> None:
    """Run every method on every problem; write rows as they come, then the summary."""
    parser = _common.arguments(__doc__, "fewer_calls")
    parser.add_argument("--algorithms", nargs="+", default=["eaSurrogate", "eaNSGA2", "eaElitist"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--place", type=int, default=1, help="of the first photograph")
    parser.add_argument("--every", type=int, default=2, help="take each so manyth photograph")
    parser.add_argument("--engine", choices=("torch", "openvino"), default="openvino")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--summary", action="store_true", help="run nothing, summarise the rows")
    options = parser.parse_args()
    photographs = _common.labelled_photographs(_common.require_data(options.smoke))
    problems = list(product(photographs[options.place :: options.every], MODELS, FILLS))
    scale, path = 1.0, options.out
    if options.smoke:
        problems, scale, path, options.seeds = problems[:1], 0.03, None, 1
        options.engine, options.jobs = "torch", 1
    rows = [] if path is None else _read(path)
    known = {_key(row): row for row in rows}
    if not options.summary:
        todo = (
            delayed(problem)(*one, options.algorithms, options.seeds, scale, options.engine, known)
            for one in problems
        )
        parts = Parallel(n_jobs=options.jobs, return_as="generator")(todo)
        for number, part in enumerate(parts, 1):
            rows += part
            if path is not None and part:
                _append(path, part, options.engine)
            print(f"problem {number} of {len(problems)}: {len(part)} rows", flush=True)
    summarise(rows, path)


def problem(
    photograph: tuple[Path, int],
    model: str,
    fill: str,
    algorithms: list[str],
    seeds: int,
    scale: float,
    engine: str,
    known: dict[Any, Any],
) -> list[dict[str, Any]]:
    """What is not known yet of one problem; no row where the model is wrong."""
    path, label = photograph
    facts = {"model": model, "fill": fill, "photograph": path.name}
    runs = dict.fromkeys(algorithms, 1) | {algorithms[0]: seeds}
    wanted = [(name, seed) for name, n in runs.items() for seed in range(n)]
    missing = [one for one in wanted if (*facts.values(), *one) not in known]
    if not missing:
        return []
    backend = _common.backend(model, engine)
    explainer = Explainer(backend, fill=fill, algorithm="eaRandom")
    asked = explainer.evaluator(path)
    if asked.target != label:
        return []
    rows, targets = [], {}
    for rival in ("lime", "greedy"):
        row = known.get((*facts.values(), rival, 0))
        if row is None:
            evaluator = explainer.evaluator(path)
            row = rival_row(facts, rival, evaluator, asked, scale)
            rows.append(row)
        targets[rival] = float(row["quality at end"])
    for name, seed in missing:
        # Only the first algorithm goes to 1,000 calls; the others answer who is sooner.
        first = name == algorithms[0]
        calls = round((AT[-1] if first else AT[-2]) * scale)
        explainer = Explainer(backend, fill=fill, algorithm=name, seed=seed, budget=calls)
        evaluator = explainer.evaluator(path)
        explainer.search(evaluator)
        rows.append(
            run_row(facts | {"method": name, "seed": seed}, evaluator, asked, targets, first)
        )
    return rows


def rival_row(
    facts: dict[str, Any], rival: str, evaluator: Evaluator, asked: Evaluator, scale: float
) -> dict[str, Any]:
    """A rival at its end."""
    if rival == "lime":
        values = _rivals.lime(evaluator, samples=round(1000 * scale))
        evaluator.probabilities(nested(values)[1:])  # its replay: how a ranking becomes a front
    else:
        values = _rivals.greedy(evaluator)
    calls, end = len(evaluator.archive), front_quality(evaluator.archive)
    row = _blank(facts | {"method": rival, "seed": 0, "n_segments": asked.n_segments})
    return row | {"calls": calls, "quality at end": round(end, 6)} | areas(asked, values, "")


def run_row(
    facts: dict[str, Any],
    evaluator: Evaluator,
    asked: Evaluator,
    targets: dict[str, float],
    with_areas: bool,
) -> dict[str, Any]:
    """A search: front quality at some calls, and the calls until the rivals' ends."""
    archive = evaluator.archive
    quality = running_front_quality(archive)
    row = _blank(facts | {"n_segments": asked.n_segments})
    row |= {"calls": len(archive), "quality at end": round(quality[-1], 6)}
    for n in AT:
        if n <= len(quality):
            row[f"quality at {n}"] = round(quality[n - 1], 4)
    for rival, target in targets.items():
        reached = np.flatnonzero(quality >= target - 1e-6)
        row[f"calls to {rival}"] = int(reached[0]) + 1 if len(reached) else ""
    for n in AT[-2:]:
        if n <= len(archive) and with_areas:
            evaluator.archive = part(archive, n)
            row |= areas(asked, attribution(evaluator), f" at {n}")
    return row


def _blank(facts: dict[str, Any]) -> dict[str, Any]:
    """A row with every column."""
    columns = ["calls", "quality at end", *AREAS, *(f"quality at {n}" for n in AT)]
    columns += [f"calls to {rival}" for rival in ("lime", "greedy")]
    columns += [f"{area} at {n}" for n in AT[-2:] for area in AREAS]
    return {**facts, **dict.fromkeys(columns, "")}


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return (*(row[name] for name in KEY[:-1]), int(row["seed"]))


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    rows: list[dict[str, Any]] = list(csv.DictReader(lines))
    return [{k: _number(v) for k, v in row.items()} for row in rows]


def _number(text: str) -> Any:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def _append(path: Path, rows: list[dict[str, Any]], engine: str) -> None:
    if not path.is_file():
        facts = {"segments": "slic:n_segments=50", "engine": f"{engine}, fp32"}
        _common.write_table(path, rows, **facts)
        return
    with path.open("a", newline="") as file:
        csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n").writerows(rows)


def summarise(rows: list[dict[str, Any]], path: Path | None) -> None:
    """Print the summary of the problems that every method ran on; write and draw it to a path."""
    ran: dict[Any, set[str]] = {}
    for row in rows:
        ran.setdefault(_key(row)[:3], set()).add(row["method"])
    every = set().union(*ran.values())
    rows = [row for row in rows if ran[_key(row)[:3]] == every]
    if not rows:
        print("nothing to summarise yet: there is no problem that every method ran on")
        return
    methods = [m for m in dict.fromkeys(r["method"] for r in rows) if m not in ("lime", "greedy")]
    summary = [summarised(rows, m, f, a) for a in methods for m in MODELS for f in FILLS]
    summary = [
        row for row in [*summary, *(summarised(rows, None, None, a) for a in methods)] if row
    ]
    _common.print_table(summary)
    if path is not None:
        facts = {"rows": f"those of {path.name}, which names the machines they ran on"}
        _common.write_table(path.with_stem(path.stem + "_summary"), summary, **facts)
        draw(rows, path.with_suffix(".png"))


def part(archive: Archive, n: int) -> Archive:
    """The first n of an archive."""
    return Archive(archive.masks[:n], archive.probabilities[:n])


def areas(evaluator: Evaluator, values: np.ndarray, when: str) -> dict[str, float]:
    """Insertion and deletion AUC of an attribution."""
    return {
        f"insertion{when}": round(insertion_auc(evaluator, values), 4),
        f"deletion{when}": round(deletion_auc(evaluator, values), 4),
    }


def summarised(
    rows: list[dict[str, Any]], model: str | None, fill: str | None, method: str
) -> dict[str, Any]:
    """Targets 1 to 3 for one method; model and fill None: over all."""
    rows = [r for r in rows if model in (None, r["model"]) and fill in (None, r["fill"])]
    mine = [r for r in rows if r["method"] == method]
    if not mine:
        return {}
    lime, greedy = ([r for r in rows if r["method"] == m] for m in ("lime", "greedy"))
    ends = {(r["model"], r["fill"], r["photograph"]): r for r in greedy}
    to_lime = [np.inf if r["calls to lime"] == "" else r["calls to lime"] for r in mine]
    shares = [
        np.inf if r["calls to greedy"] == "" else r["calls to greedy"] / _end(ends, r)["calls"]
        for r in mine
    ]
    out: dict[str, Any] = {"method": method, "model": model or "both", "fill": fill or "both"}
    out |= {"problems": len({_key(r)[:3] for r in mine}), "runs": len(mine)}
    out |= {f"at {n}": _mean(mine, f"quality at {n}") for n in AT}
    out |= {
        "LIME at end": _mean(lime, "quality at end"),
        "greedy at end": _mean(greedy, "quality at end"),
    }
    out |= {"calls to LIME, median": float(np.median(to_lime))}
    out |= {"95 %": float(np.percentile(to_lime, 95, method="lower"))}
    out |= {"share of greedy's calls, median": round(float(np.median(shares)), 3)}
    out |= {"greedy never reached": round(float(np.isinf(shares).mean()), 3)}
    for n in AT[-2:]:
        scored = [r for r in mine if r[f"insertion at {n}"] != ""]
        out |= {f"{k} at {n}": _mean(scored, f"{k} at {n}") for k in AREAS}
        out |= won(scored, ends, n)
    out |= {f"{k}, greedy": _mean(greedy, k) for k in AREAS}
    return out


def won(rows: list[dict[str, Any]], ends: dict[Any, dict[str, Any]], n: int) -> dict[str, Any]:
    """On what share insertion, deletion and both are as good as greedy's or better.

    Run by run; and both by problem and by photograph, where the means over its runs are compared.
    """
    columns = [f"{name} won at {n}" for name in (*AREAS, "both")]
    columns += [f"both won at {n}, by {group}" for group in ("problem", "photograph")]
    if not rows:
        return dict.fromkeys(columns, "")
    gains = np.array([
        (r[f"insertion at {n}"] - end["insertion"], end["deletion"] - r[f"deletion at {n}"])
        for r in rows
        for end in [_end(ends, r)]
    ])  # fmt: skip
    shares = [*(gains >= 0).mean(axis=0), (gains >= 0).all(axis=1).mean()]
    groups = [_key(r)[:3] for r in rows], [r["photograph"] for r in rows]
    # Rounded: a tie may come out as -3e-18.
    shares += [(_means(gains, each).round(9) >= 0).all(axis=1).mean() for each in groups]
    return {name: round(float(x), 3) for name, x in zip(columns, shares, strict=True)}


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Mean front quality against model calls."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for method in dict.fromkeys(r["method"] for r in rows):
        mine = [r for r in rows if r["method"] == method]
        if method in ("lime", "greedy"):
            calls, quality = _mean(mine, "calls"), _mean(mine, "quality at end")
            axes.plot(calls, quality, "o", label=f"{method}, at its end")
        else:
            means = {n: _mean(mine, f"quality at {n}") for n in AT}
            known = {n: mean for n, mean in means.items() if mean != ""}
            axes.plot(list(known), list(known.values()), marker=".", label=method)
    axes.set(xscale="log", xlabel="model calls", ylabel="front quality, mean")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _means(values: np.ndarray, groups: list[Any]) -> np.ndarray:
    """The mean row of each group."""
    of = [list(dict.fromkeys(groups)).index(group) for group in groups]
    return np.array([values[np.equal(of, i)].mean(axis=0) for i in range(max(of) + 1)])


def _end(ends: dict[Any, dict[str, Any]], r: dict[str, Any]) -> dict[str, Any]:
    return ends[r["model"], r["fill"], r["photograph"]]


def _mean(rows: list[dict[str, Any]], key: str) -> Any:
    values = [r[key] for r in rows if r[key] != ""]
    return round(float(np.mean(values)), 3) if values else ""


if __name__ == "__main__":
    main()
