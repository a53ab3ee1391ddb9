"""Do explanations of real photographs keep or raise the probability?

Question: on 60 ImageNet photographs and two real models, does every explanation run through, and
is the kept part at least as probable as the full view on those that the model gets right?

Command: DEAP_XAI_DATA=FOLDER python benchmarks/photographs.py --budget 60
Output: results/photographs.csv, one row a photograph and model, and a table.
Takes about 6 minutes on 2 cores.
"""

from __future__ import annotations

import _common
import numpy as np

from deap_xai import Explainer

MODELS = ("mobilenet_v2", "squeezenet1_1")


def main() -> None:
    """Explain each, print a summary, write every row."""
    parser = _common.arguments(__doc__, "photographs")
    parser.add_argument("--algorithms", nargs="+", default=["eaSurrogate"])
    parser.add_argument("--budget", type=int, default=400)
    options = parser.parse_args()
    photographs = _common.labelled_photographs(_common.require_data(options.smoke))
    if options.smoke:
        photographs, options.budget = photographs[:1], 40
    rows, summary = [], []
    for model in MODELS:
        for algorithm in options.algorithms:
            explainer = Explainer(model, algorithm=algorithm, budget=options.budget, device="cpu")
            part = [_row(explainer, algorithm, path, label) for path, label in photographs]
            rows += part
            summary.append(_summary(model, algorithm, part))
    _common.print_table(summary)
    if not options.smoke:
        _common.write_table(options.out, rows, budget=options.budget, seed=0, fill="mean")


def _row(explainer: Explainer, algorithm: str, path: object, label: int) -> dict[str, object]:
    e = explainer.explain(path)
    return {
        "model": explainer.backend.name,
        "algorithm": algorithm,
        "photograph": getattr(path, "name", path),
        "right": e.target == label,
        "full": round(e.probability_full, 4),
        "kept": round(e.probability, 4),
        "rest": round(e.probability_rest, 4),
        "empty": round(e.probability_empty, 4),
        "random": round(float(np.mean(e.checks.random)), 4),
        "size": e.size,
        "n_segments": e.n_segments,
        "model_calls": e.model_calls,
        "seconds": round(e.seconds, 2),
    }


def _summary(model: str, algorithm: str, rows: list[dict[str, object]]) -> dict[str, object]:
    right = [row for row in rows if row["right"]]

    def mean(key: str) -> float:
        return float(np.mean([float(str(row[key])) for row in right]))

    return {
        "model": model,
        "algorithm": algorithm,
        "photographs": len(rows),
        "right": len(right),
        "kept or raised": sum(float(str(r["kept"])) >= float(str(r["full"])) for r in right),
        "full": mean("full"),
        "kept": mean("kept"),
        "rest": mean("rest"),
        "random mask": mean("random"),
        "superpixels": mean("size"),
        "of": mean("n_segments"),
        "seconds": mean("seconds"),
    }


if __name__ == "__main__":
    main()
