"""Pages from what was saved: of one explanation, and of a whole run."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from deap_xai.errors import SettingError
from deap_xai.explanation import Explanation
from deap_xai.files import write_whole
from deap_xai.pages import encoded, gallery_page, thumbnail

__all__ = ["report_file", "report_run"]


def report_file(saved: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """The page of a saved explanation, written to ``out``.

    Raises
    ------
    SettingError
        If the file isn't one that ``Explanation.save`` wrote.
    OSError
        If the page can't be written.
    """
    explanation = Explanation.load(saved)
    about = explanation.settings.get("image", {})  # a run notes there which image it was
    return explanation.report(out, image=about.get("image", ""))


def report_run(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """A gallery of a run's explanations, written to ``out``, with a folder of pictures beside it.

    Pictures that are there and newer than their explanation aren't drawn again. An explanation
    that can't be read costs its picture alone, and its card says so.

    Parameters
    ----------
    folder
        What ``deap-xai batch`` wrote: ``results.parquet``, ``explanations/ID.npz`` and, where
        images failed, ``failures.csv``.
    out
        The page. ``index.html`` has its pictures in ``index-pictures/``.

    Raises
    ------
    SettingError
        If the folder holds no run.
    OSError
        If the page or a picture can't be written.
    """
    folder, page = Path(folder), Path(out)
    rows = _rows(folder / "results.parquet")
    pictures = page.with_name(f"{page.stem}-pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    for row in tqdm(rows, "pictures", leave=False, disable=None):  # None: only for a terminal
        saved = folder / "explanations" / f"{Path(str(row['id'])).name}.npz"
        picture = pictures / f"{saved.stem}.jpg"
        row["warnings"] = list(row.get("warnings") or ())
        row["saved"] = str(saved)
        try:
            _draw(saved, picture)
            row["thumbnail"] = quote(f"{pictures.name}/{picture.name}")
        except SettingError as error:
            row["warnings"].append(str(error))
    name = folder.resolve().name
    text = gallery_page(rows, name, _failures(folder / "failures.csv"))
    return write_whole(page, encoded(text))


def _draw(saved: Path, picture: Path) -> None:
    made = [file.stat().st_mtime_ns for file in (saved, picture) if file.exists()]
    if len(made) == 2 and made[1] > made[0]:
        return
    explanation = Explanation.load(saved)
    write_whole(picture, thumbnail(explanation.view, explanation.segments, explanation.mask))


def _rows(table: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(table).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        reason = f"can't read {table}: {error}" if table.exists() else f"there is no {table}"
        raise SettingError(
            f"{reason}; expected a folder that deap-xai batch wrote, or one saved explanation"
        ) from error
    if rows and not {"id", "image"} <= rows[0].keys():
        raise SettingError(
            f"{table} has the columns {', '.join(rows[0])}; expected id and image among them, as "
            "deap-xai batch writes them"
        )
    return rows


def _failures(file: Path) -> list[tuple[str, str]]:
    """What could not be explained: pairs of an image and the reason."""
    if not file.exists():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return [(row["image"], row["reason"]) for row in csv.DictReader(lines)]
