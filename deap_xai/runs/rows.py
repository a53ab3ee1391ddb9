"""One row of a run's table: what is known of an image once it is explained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image as PILImage

from deap_xai.archive import reaches
from deap_xai.checks import PASSES
from deap_xai.explanation import Explanation
from deap_xai.typing import Mask, Segments
from deap_xai.wording import known

__all__ = ["GRID", "SCHEMA", "kept_map", "row_of"]

GRID = 8
"""Kept parts are compared on a grid of so many cells a side."""

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("image", pa.string()),
        ("label", pa.string()),
        ("asked", pa.string()),
        ("target", pa.int32()),
        ("target_name", pa.string()),
        ("probability", pa.float64()),
        ("probability_full", pa.float64()),
        ("probability_rest", pa.float64()),
        ("probability_empty", pa.float64()),
        ("size", pa.int32()),
        ("n_segments", pa.int32()),
        ("enough", pa.int32()),
        ("minimal", pa.bool_()),
        ("area", pa.float64()),
        ("map", pa.list_(pa.float32(), GRID * GRID)),
        ("colour", pa.list_(pa.float32(), 3)),
        ("model_calls", pa.int32()),
        ("seconds", pa.float64()),
        ("seed", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("warnings", pa.list_(pa.string())),
    ]
)
"""Columns of ``results.parquet``.

``label`` is the true class and ``asked`` the class that was asked for, where a table gave them;
``enough`` the fewest superpixels that give nine tenths of the full view's probability; ``area`` the
share of the view that is kept; ``map`` the same for each cell of a ``GRID`` by ``GRID`` grid, row
by row; ``colour`` the mean RGB of the kept part, 0..255; ``bytes`` and ``sha256`` are the image
file's. The others are the explanation's own.
"""


def row_of(explanation: Explanation) -> dict[str, Any]:
    """The row of an explanation that a run made; None where something isn't known."""
    e = explanation
    keep = e.mask[e.segments]
    colour = e.view[keep].mean(axis=0) if keep.any() else np.zeros(3)
    passing = [p.size for p in e.front if reaches(p.probability, PASSES * e.probability_full)]
    probabilities = "probability probability_full probability_rest probability_empty".split()
    own = "target target_name size n_segments minimal model_calls seconds seed".split()
    of_image = "id image label asked bytes sha256".split()
    return {
        **{key: e.settings["image"][key] for key in of_image},
        **{key: known(getattr(e, key)) for key in probabilities},
        **{key: getattr(e, key) for key in own},
        "enough": min(passing, default=None),
        "area": float(keep.mean()),
        "map": kept_map(e.mask, e.segments).ravel().tolist(),
        "colour": colour.tolist(),
        "warnings": list(e.warnings),
    }


def kept_map(mask: Mask, segments: Segments) -> NDArray[np.float32]:
    """Which share of each cell of a grid is kept: (``GRID``, ``GRID``), 0..1.

    Examples
    --------
    >>> kept_map(np.array([True, False]), np.repeat([[0, 1]], 16, axis=0).repeat(8, axis=1))[0]
    array([1., 1., 1., 1., 0., 0., 0., 0.], dtype=float32)
    """
    keep = PILImage.fromarray(mask[segments].astype(np.float32))
    return np.asarray(keep.resize((GRID, GRID), PILImage.Resampling.BOX))
