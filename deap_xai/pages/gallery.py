"""The page of a whole run: a gallery that stays quick with thousands of images."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from deap_xai.pages.rendering import render
from deap_xai.wording import known

__all__ = ["gallery_page"]

NUMBERS = "probability probability_full probability_rest probability_empty".split()
COUNTS = "size n_segments model_calls".split()


def gallery_page(
    rows: Sequence[Mapping[str, Any]],
    title: str,
    failures: Sequence[tuple[str, str]] = (),
) -> str:
    """One HTML page of many explanations, to filter and to sort.

    Parameters
    ----------
    rows
        One mapping for each image, with ``image`` (its path) and, where known, ``target_name``,
        ``probability``, ``probability_full``, ``probability_rest``, ``probability_empty``,
        ``size``, ``n_segments``, ``model_calls``, ``warnings`` (texts), ``thumbnail`` (the address
        of a picture, relative to the page) and ``saved`` (path of the saved explanation).
    title
        What the run is called.
    failures
        Pairs of an image and what went wrong with it.

    Returns
    -------
    HTML with the numbers inside and the thumbnails beside it; some 600 bytes a row.

    Examples
    --------
    >>> page = gallery_page([{"image": "frog.jpg", "probability": 0.5}], "frogs")
    >>> '"probability": 0.5' in page
    True
    """
    facts = {"rows": [_plain(row) for row in rows]}
    return render("gallery", title=title, facts=facts, failures=failures)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in values that JSON knows; what is missing or NaN is None."""
    numbers = {name: known(row.get(name)) for name in NUMBERS}
    counts = {name: known(row.get(name)) for name in COUNTS}
    return {
        "image": str(row["image"]),
        "target": str(row.get("target_name", "")),
        "warnings": [str(text) for text in row.get("warnings", ())],
        "thumbnail": row.get("thumbnail"),
        "command": f"deap-xai report {shlex.quote(row['saved'])}" if "saved" in row else None,
        **{name: None if value is None else round(value, 5) for name, value in numbers.items()},
        **{name: None if value is None else int(value) for name, value in counts.items()},
    }
