"""Which images the rivals are compared on: creatures, photographs, the user's own."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _common
import numpy as np

from deap_xai import Explainer
from deap_xai.demo import creature
from deap_xai.images import load_image
from deap_xai.metrics import box_truth

NETWORKS = ("resnet", "densenet", "mobilenet")
CREATURES = range(3000, 3006)
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


@dataclass
class Problem:
    """One image and the model that is explained on it."""

    data: str
    image: str
    model: str
    source: Any
    target: int | None
    truth: np.ndarray | None
    calls: list[int]
    seeds: int
    variants: bool


def demo_problems(options: argparse.Namespace) -> Iterator[Problem]:
    """Creatures that no network was trained on, two for each network."""
    for i, seed in enumerate(CREATURES):
        made, model = creature(seed), f"demo:name={NETWORKS[i % len(NETWORKS)]}"
        yield Problem(
            "creatures", f"creature {seed}", model, made.image, made.label, made.truth,
            options.calls or [100, 400], options.seeds or 3, True,
        )  # fmt: skip


def photographs(options: argparse.Namespace) -> Iterator[Problem]:
    """Five photographs at odd places of ``labels.csv`` and five with boxes, where there are any."""
    folder = _common.data_folder()
    if folder is None:
        print("no photographs: DEAP_XAI_DATA names no folder of them")
        return
    labelled = _common.labelled_photographs(folder)[1::12][:5]
    boxed = folder / "boxes" / "boxes.csv"
    boxes = read_table(boxed)[::8][:5] if boxed.is_file() else []
    labelled += [(folder / "boxes" / row["file"], int(row["class_index"])) for row in boxes]
    truths: list[Any] = [None] * (len(labelled) - len(boxes)) + [corners(row) for row in boxes]
    for (path, label), box in zip(labelled, truths, strict=True):
        truth = None if box is None else in_view(options.model, path, box)
        yield Problem(
            "photographs", path.name, options.model, path, label, truth,
            options.calls or [200], options.seeds or 1, False,
        )  # fmt: skip


def own_problems(options: argparse.Namespace) -> Iterator[Problem]:
    """Pictures of the user's folder, with labels and boxes where given."""
    labels = {row["file"]: row["class_index"] for row in read_table(options.labels)}
    boxes = {row["file"]: corners(row) for row in read_table(options.boxes)}
    names = labels or sorted(
        p.name for p in options.images.iterdir() if p.suffix.lower() in PICTURES
    )
    for name in names:
        path, label = options.images / name, labels.get(name, "")
        truth = in_view(options.model, path, boxes[name]) if name in boxes else None
        yield Problem(
            options.images.name, name, options.model, path,
            int(label) if label.isdecimal() else None, truth,
            options.calls or [100, 400], options.seeds or 3, True,
        )  # fmt: skip


def read_table(path: Path | None) -> list[dict[str, str]]:
    """Rows of a CSV file; none without one."""
    if path is None:
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def corners(row: dict[str, str]) -> tuple[float, ...]:
    """The box of a row."""
    return tuple(float(row[key]) for key in ("xmin", "ymin", "xmax", "ymax"))


def in_view(model: str, path: Path, box: Any) -> np.ndarray:
    """A box in the file's pixels as pixels of the view, bool (h, w): it takes the image's way."""
    shape = load_image(path).shape
    drawn = np.repeat(box_truth(box, shape[:2])[..., None], 3, axis=2).astype(np.uint8) * 255
    return Explainer(model, device="cpu").backend.view(drawn)[..., 0] > 127
