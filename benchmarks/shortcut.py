"""Does the summary of a run point at a shortcut, and only where there is one?

Question: a network that reads the badge in the lower right corner and an honest one each explain
the same 300 creatures, all with the badge. Which corners and edges does ``summary`` say stand out?
And on creatures without any badge?

Command: python benchmarks/shortcut.py
Output: results/shortcut.csv, one row a network, and a table.
Takes about 15 minutes on 2 cores.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import _common
from PIL import Image

import deap_xai as dx
from deap_xai.demo import creature

FIRST_SEED = 50_000
"""No network was trained on these; the training pictures' seeds begin at 1,000,000."""


def main() -> None:
    """Explain, sum up, print, write; the exit code says whether it held."""
    parser = _common.arguments(__doc__, "shortcut")
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--budget", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if options.smoke:
        options.pictures, options.budget, options.workers = 24, 40, 1
    rows = [
        _row(network, badge, options)
        for network, badge in [("cheater", "true"), ("resnet", "true"), ("resnet", "none")]
    ]
    _common.print_table(rows)
    if not options.smoke:
        _common.write_table(options.out, rows, pictures=options.pictures, budget=options.budget)
    held = [row["stands out"] for row in rows] == ["lower right corner", "nothing", "nothing"]
    sys.exit(0 if held else 1)


def _row(network: str, badge: str, options: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(options.pictures):
            picture = creature(FIRST_SEED + number, watermark=badge)
            Image.fromarray(picture.image).save(folder / f"{number:04d}.png")
        model = f"demo:name={network}"
        dx.batch(folder, model, folder / "run", workers=options.workers, budget=options.budget)
        found = dx.summary(folder / "run")
    return {
        "network": network,
        "badge": badge,
        "pictures": options.pictures,
        "stands out": ", ".join(sorted({place.where for place in found.places})) or "nothing",
        "in how many classes": sum(place.target_name is not None for place in found.places),
        "coverage there": found.places[0].coverage if found.places else 0.0,
        "expected": found.places[0].expected if found.places else found.classes[0].kept,
        "largest group": found.groups[0].pictures / options.pictures,
    }


if __name__ == "__main__":
    main()
