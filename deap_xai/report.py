"""Pages from what was saved: of one explanation, and of a whole run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.parse import quote

from tqdm import tqdm

from deap_xai.errors import SettingError
from deap_xai.explanation import Explanation
from deap_xai.files import check_page, write_whole
from deap_xai.pages import encoded, gallery_page, thumbnail
from deap_xai.runs.folder import RunFolder

__all__ = ["report_file", "report_run"]


def report_file(saved: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """The page of a saved explanation, written to ``out``.

    Raises
    ------
    SettingError
        If the file isn't one that ``Explanation.save`` wrote, or the page can't have that name; see
        :meth:`Explanation.report <deap_xai.Explanation.report>`.
    OSError
        If the page can't be written.
    """
    explanation = Explanation.load(saved)
    check_page(Path(out))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    about = explanation.settings.get("image", {})  # a run notes there which image it was
    return explanation.report(out, image=about.get("path", about.get("image", "")))


def report_run(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> Path:
    """A gallery of a run's explanations, written to ``out``, with a folder of pictures beside it.

    Pictures that are there aren't drawn again, as long as their explanation's file is the same. An
    explanation that can't be read costs its picture alone, and its card says so.

    Parameters
    ----------
    folder
        What ``deap-xai batch`` wrote, also amid the run or after it was killed.
    out
        The page. ``index.html`` has its pictures in ``index-pictures/``.

    Raises
    ------
    SettingError
        If the folder holds no run, or the page can't have that name, as in :func:`report_file`.
    OSError
        If the page or a picture can't be written.
    """
    run, page = RunFolder(folder), Path(out)
    check_page(page)
    run.settings()  # or this is no run
    rows = run.table().to_pylist()
    pictures = page.with_name(f"{page.stem}-pictures")
    pictures.mkdir(parents=True, exist_ok=True)
    for row in tqdm(rows, "pictures", leave=False, disable=None):  # None: only for a terminal
        saved = run.file(row["id"])
        row["saved"] = str(saved)
        try:
            picture = _drawn(saved, pictures)
            row["thumbnail"] = quote(os.fsencode(f"{pictures.name}/{picture.name}"))
        except SettingError as error:
            row["warnings"].append(str(error))
    failures = [(failure.image, failure.reason) for failure in run.failures().values()]
    return write_whole(page, encoded(gallery_page(rows, run.path.name, failures)))


def _drawn(saved: Path, pictures: Path) -> Path:
    """The picture of an explanation, drawn where there is none yet."""
    # Another run's explanation of the same image has the same file name, and may be the older one.
    made = saved.stat().st_mtime_ns if saved.exists() else 0
    mark = hashlib.sha256(os.fsencode(saved) + str(made).encode()).hexdigest()[:12]
    picture = pictures / f"{saved.stem}-{mark}.jpg"
    if not picture.exists():
        explanation = Explanation.load(saved)
        write_whole(picture, thumbnail(explanation.view, explanation.segments, explanation.mask))
    return picture
