"""Runs in IOHprofiler's data format, which IOHanalyzer reads.

The layout is that of IOHexperimenter 0.3.3 and later: for each algorithm and function a JSON file
with the meta-data, and beside it a folder with a ``.dat`` file for each dimension, in which every
run begins with a line of column names. de Nobel, Ye, Vermetten, Wang, Doerr and Bäck,
"IOHexperimenter: benchmarking platform for iterative optimization heuristics", Evolutionary
Computation 32(3), 2024; https://iohprofiler.github.io/IOHanalyzer/data/.

A variant is an algorithm, a problem a function, the number of superpixels its dimension, a seed a
run; an evaluation is a model call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

from deap_xai.comparison.statistics import PROBLEM

__all__ = ["remove_iohprofiler", "write_iohprofiler"]

SUITE = "deap_xai"
"""By which a reader, and we, know whose files they are."""

VERSION = "0.3.22"
"""Of IOHexperimenter, whose layout this is: readers choose by it how to read."""

COLUMNS = ["evaluations", "raw_y", "probability"]


def write_iohprofiler(folder: Path, table: pd.DataFrame, trajectories: pd.DataFrame) -> list[Path]:
    """Write runs to a folder; ``raw_y`` is the front quality, to be maximised.

    Parameters
    ----------
    folder
        Made where it is missing; one folder a variant is made inside.
    table, trajectories
        Those of a :class:`~deap_xai.comparison.Comparison`.

    Returns
    -------
    The JSON files.
    """
    curves = dict(iter(trajectories.groupby([*PROBLEM, "variant", "seed"], sort=False)))
    problems = list(dict.fromkeys(zip(table["model"], table["image"], strict=True)))
    written = []
    for index, (variant, runs) in enumerate(table.groupby("variant", sort=False), start=1):
        home = folder / f"{index}-{_plain(variant)}"
        for (model, image), mine in runs.groupby(PROBLEM, sort=False):
            number = problems.index((model, image)) + 1
            function = _plain(f"{model}-{image}")
            stem = f"IOHprofiler_f{number}"
            facts: dict[str, Any] = {
                "version": VERSION,
                "suite": SUITE,
                "function_id": number,
                "function_name": function,
                "maximization": True,
                "algorithm": {"name": variant, "info": "deap_xai"},
                "attributes": COLUMNS,
                "run_attributes": ["seed"],
                "scenarios": [],
            }
            for dimension, same in mine.groupby("n_segments"):
                path = f"data_f{number}_{function}/{stem}_DIM{dimension}.dat"
                mine_curves = [curves[model, image, variant, seed] for seed in same["seed"]]
                _write(home / path, "".join(map(_block, mine_curves, same["calls"])))
                entries = list(_entries(same, mine_curves))
                facts["scenarios"].append({"dimension": dimension, "path": path, "runs": entries})
            written.append(_write(home / f"{stem}_{function}.json", json.dumps(facts, indent="\t")))
    return written


def remove_iohprofiler(folder: Path) -> None:
    """Remove what :func:`write_iohprofiler` wrote to a folder, and nothing else.

    Its folders are numbered, so that a variant may get another one; a reader would then find its
    runs twice.
    """
    homes = {file.parent for file in folder.glob("[0-9]*-*/IOHprofiler_f*.json") if _ours(file)}
    for home in homes:
        for place in (*home.glob("data_f*_*"), home):
            for kind in ("json", "dat"):
                for file in place.glob(f"IOHprofiler_f*.{kind}"):
                    file.unlink()
            with suppress(OSError):  # something else lies there
                place.rmdir()


def _ours(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_bytes())["suite"] == SUITE)
    except (OSError, ValueError, KeyError, TypeError):  # somebody else's
        return False


def _entries(runs: pd.DataFrame, curves: list[pd.DataFrame]) -> Iterator[dict[str, Any]]:
    """A run's line of meta-data; ``x`` is the mask with the best probability."""
    for run, curve in zip(runs.itertuples(), curves, strict=True):
        quality = curve["front_quality"].to_numpy()
        first = int(curve["calls"].iloc[quality.argmax()])
        best = {"evals": first, "y": float(quality.max())}
        bits = [int(bit) for bit in run.mask]
        evals = int(run.calls)
        yield {"instance": 1, "evals": evals, "best": {**best, "x": bits}, "seed": run.seed}


def _block(curve: pd.DataFrame, spent: int) -> str:
    """The first model call, every one that gained something, and the last, under whatever fill."""
    values = curve[["front_quality", "probability"]]
    gained = (values != values.shift()).any(axis=1)
    gained.iloc[-1] = True
    kept = curve[gained]
    columns = zip(kept["calls"], kept["front_quality"], kept["probability"], strict=True)
    rows = list(columns)
    if rows[-1][0] < spent:
        rows.append((spent, *rows[-1][1:]))
    lines = [f"{calls} {quality:.10f} {p:.10f}" for calls, quality, p in rows]
    return "\n".join([" ".join(COLUMNS), *lines, ""])


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _plain(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[:60] or "unnamed"
