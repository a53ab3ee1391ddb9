"""What a run found: class by class, and where the classifier may cheat."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deap_xai.archive import reaches
from deap_xai.checks import MOST, PASSES
from deap_xai.errors import SettingError
from deap_xai.runs.folder import RunFolder
from deap_xai.runs.groups import Group, groups
from deap_xai.runs.places import Place, coarse, standing_out
from deap_xai.runs.rows import GRID

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ClassSummary", "Summary", "summary"]

FEW = 0.2
"""A prediction needs few superpixels if this share of them is enough."""

BORDER = 0.9
"""An explanation lies at the border if this share of it is in the outermost cells of the grid."""

CORNER = 0.5
"""It lies in a corner if this share of it is in one corner, a quarter of the frame each way."""

TINY = 0.02
"""It is tiny if it is a smaller share of the view."""


class ClassSummary(NamedTuple):
    """What was found for one class, or for all together.

    Attributes
    ----------
    name
        The class that was explained; ``"all"`` for all together.
    pictures
        How many were explained.
    right
        Share of those with a label and no target of their own whose most probable class is the
        label; None where there are none.
    few
        Share of pictures where a fifth of the superpixels gives nine tenths of the full view's
        probability, and nothing at all does not.
    gained
        Mean of the kept part's probability less the full view's, -1..1.
    kept
        Mean share of superpixels kept.
    empty
        Share of pictures where the empty view gives nine tenths of the full view's probability,
        so that the explanation says nothing.
    map
        (8, 8), 0..1: where explanations sit, as mean share of each cell that is kept.
    """

    name: str
    pictures: int
    right: float | None
    few: float
    gained: float
    kept: float
    empty: float
    map: NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """What a run found.

    Attributes
    ----------
    folder
        Of the run.
    settings
        The run's.
    failed
        Images that could not be explained.
    classes
        All pictures together first, then by class, the class of most pictures first.
    places
        Corners and edges that explanations sit on more often than chance: where to look for
        watermarks and tags.
    odd
        Pictures, by name, whose explanation lies at the ``"border"``, in a ``"corner"``, is
        ``"tiny"``, keeps nearly ``"everything"``, or passes on the ``"empty"`` view.
    groups
        Groups of look-alike explanations, largest first, without those that keep nearly everything
        or pass on the empty view.
    ids
        Id of each picture; ``groups`` count in it.
    images
        Name of each picture, likewise.
    """

    folder: Path
    settings: dict[str, Any]
    failed: int
    classes: list[ClassSummary]
    places: list[Place]
    odd: dict[str, list[str]]
    groups: list[Group]
    ids: list[str]
    images: list[str]

    def __repr__(self) -> str:
        classes, places = len(self.classes) - 1, len(self.places)
        return (
            f"Summary({len(self.ids)} explanations, {classes} classes, {places} places stand out; "
            "print its table())"
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything, in plain values that JSON knows."""
        return {
            "folder": str(self.folder),
            "settings": self.settings,
            "pictures": len(self.ids),
            "failed": self.failed,
            "classes": [{**c._asdict(), "map": _rounded(c.map)} for c in self.classes],
            "places": [place._asdict() for place in self.places],
            "odd": self.odd,
            "groups": [
                {
                    **group._asdict(),
                    "map": _rounded(group.map),
                    "typical": [self.images[i] for i in group.typical],
                }
                for group in self.groups
            ],
        }

    def table(self) -> str:
        """Everything but the maps as text, classes of most pictures first."""
        from deap_xai.runs.words import told

        return told(self)

    def plot_maps(self) -> Figure:
        """Where explanations sit: over all, and for the classes of most pictures."""
        from deap_xai.runs.figures import draw_maps

        return draw_maps(self)

    def plot_groups(self) -> Figure:
        """A row for each group: where it sits, and its most typical pictures.

        Raises
        ------
        SettingError
            If there is no group of three pictures at least.
        """
        from deap_xai.runs.figures import draw_groups

        return draw_groups(self)


def summary(run: str | os.PathLike[str]) -> Summary:
    """Sum up a run, finished or not. Nothing is written, and no image is read.

    Parameters
    ----------
    run
        The folder that :func:`~deap_xai.batch` made.

    Raises
    ------
    SettingError
        If it holds no run, or no explanation yet.

    Examples
    --------
    >>> summary("nowhere")
    Traceback (most recent call last):
    ...
    deap_xai.errors.SettingError: ...nowhere is no run: ...
    """
    folder = RunFolder(run)
    settings, table = folder.settings(), folder.table()
    if len(table) == 0:
        failed = len(folder.failures())
        why = f"; {failed} images failed, see {folder.failures_file}" if failed else ""
        raise SettingError(f"{folder.path} has no explanation yet{why}")
    maps = np.asarray(table["map"].combine_chunks().flatten()).reshape(-1, GRID, GRID)
    colours = np.asarray(table["colour"].combine_chunks().flatten()).reshape(-1, 3)
    names = np.array(table["target_name"].to_pylist())
    figures = _figures(table)
    some = np.flatnonzero((figures["kept"] < MOST) & ~figures["empty"])
    order = [name for _, name in sorted((-int((names == n).sum()), n) for n in set(names.tolist()))]
    everything = np.ones(len(names), bool)
    return Summary(
        folder=folder.path,
        settings=settings,
        failed=len(folder.failures()),
        classes=[
            _class_summary("all", figures, maps, everything),
            *(_class_summary(name, figures, maps, names == name) for name in order),
        ],
        places=standing_out(maps, figures["kept"], names),
        odd=_odd(table, maps),
        groups=[
            group._replace(typical=tuple(some[list(group.typical)].tolist()))
            for group in groups(maps[some], colours[some], names[some])
        ],
        ids=table["id"].to_pylist(),
        images=table["image"].to_pylist(),
    )


def _figures(table: pa.Table) -> dict[str, NDArray[Any]]:
    """What classes are summed up by, a number a picture."""
    enough = _numbers(table, "enough") / _numbers(table, "n_segments")
    empty = _empty_passes(table)
    return {
        "right": _right(table),
        "few": (enough <= FEW) & ~empty,
        "gained": _numbers(table, "probability") - _numbers(table, "probability_full"),
        "kept": _numbers(table, "size") / _numbers(table, "n_segments"),
        "empty": empty,
    }


def _class_summary(
    name: str, figures: Mapping[str, NDArray[Any]], maps: NDArray[Any], mine: NDArray[np.bool_]
) -> ClassSummary:
    means = {key: float(figures[key][mine].mean()) for key in ("few", "gained", "kept", "empty")}
    right = figures["right"][mine]
    return ClassSummary(
        name=name,
        pictures=int(mine.sum()),
        right=None if np.isnan(right).all() else float(np.nanmean(right)),
        map=maps[mine].mean(axis=0, dtype=np.float64),
        **means,
    )


def _right(table: pa.Table) -> NDArray[np.float64]:
    """1 where the predicted class is the label, NaN where either isn't known.

    Where a target was asked for, no row tells what the model would have said.
    """
    columns = (table[name].to_pylist() for name in ("label", "asked", "target_name"))
    return np.array(
        [
            np.nan if label is None or asked is not None else float(label == name)
            for label, asked, name in zip(*columns, strict=True)
        ]
    )


def _odd(table: pa.Table, maps: NDArray[Any]) -> dict[str, list[str]]:
    total = np.maximum(maps.sum(axis=(1, 2)), 1e-9)
    outer = maps.sum(axis=(1, 2)) - maps[:, 1:-1, 1:-1].sum(axis=(1, 2))
    corners = coarse(maps)[:, [0, 0, -1, -1], [0, -1, 0, -1]] * (GRID // 4) ** 2
    found = {
        "border": outer / total >= BORDER,
        "corner": corners.max(axis=1) / total >= CORNER,
        "tiny": _numbers(table, "area") < TINY,
        "everything": _numbers(table, "size") >= MOST * _numbers(table, "n_segments"),
        "empty": _empty_passes(table),
    }
    images = np.array(table["image"].to_pylist(), object)
    return {reason: images[mine].tolist() for reason, mine in found.items()}


def _empty_passes(table: pa.Table) -> NDArray[np.bool_]:
    empty, full = (_numbers(table, f"probability_{view}") for view in ("empty", "full"))
    passes: NDArray[np.bool_] = reaches(empty, PASSES * full)
    return passes


def _numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column as floats, NaN where nothing is known."""
    return np.array(table[name].to_pylist(), np.float64)


def _rounded(values: NDArray[Any]) -> list[Any]:
    return np.round(values.astype(float), 4).tolist()
