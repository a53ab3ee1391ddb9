"""A drawing board that remembers which part of a creature every pixel belongs to."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = NDArray[np.float64]

OVERSAMPLE = 3
"""How many times too large a picture is drawn: reduced, its edges are smooth."""


def shade(colour: Colour, factor: float) -> Colour:
    """Darken a colour (factor below 1) or mix it with white (factor above 1).

    >>> shade((100, 50, 0), 0.5), shade((100, 50, 0), 2.0)
    ((50, 25, 0), (255, 255, 255))
    """
    if factor <= 1:
        red, green, blue = (round(c * factor) for c in colour)
    else:
        red, green, blue = (round(c + (255 - c) * min(factor - 1, 1.0)) for c in colour)
    return red, green, blue


def ellipse_points(
    cx: float, cy: float, rx: float, ry: float, angle: float = 0.0, n: int = 36
) -> Points:
    """Corners of an ellipse turned by ``angle`` radians, as an (n, 2) array.

    >>> ellipse_points(0, 0, 2, 1, n=4).round(6) + 0.0
    array([[ 2.,  0.],
           [ 0.,  1.],
           [-2.,  0.],
           [ 0., -1.]])
    """
    cos, sin = math.cos(angle), math.sin(angle)
    axes = np.array([[rx * cos, rx * sin], [-ry * sin, ry * cos]])
    points: Points = _circle(n) @ axes + np.array([cx, cy])
    return points


@functools.cache
def _circle(n: int) -> Points:
    t = np.arange(n) * (2 * np.pi / n)
    return np.stack([np.cos(t), np.sin(t)], axis=1)


def band_points(path: ArrayLike, width_from: float, width_to: float) -> Points:
    """Outline of a band along ``path`` (n, 2) whose width runs from one value to the other.

    Returns (2n, 2) corners: up one side and down the other.

    >>> band_points([[0, 0], [0, 1]], 2.0, 0.0).tolist()
    [[-1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]
    """
    points = np.asarray(path, dtype=np.float64)
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = np.linspace(width_from, width_to, len(points))[:, None] / 2
    return np.concatenate([points + across * half, (points - across * half)[::-1]])


class Canvas:
    """A square picture drawn ``OVERSAMPLE`` times too large, and a map of its parts.

    Coordinates run over 0..1, y downwards, until ``place`` sets another frame. Every shape
    is drawn twice, in colour and as the number ``part`` in a map, so that the truth is what
    is seen: a later shape hides an earlier one in both.

    >>> canvas = Canvas(16)
    >>> canvas.part = 3
    >>> canvas.ellipse(0.5, 0.5, 0.25, 0.25, (255, 0, 0))
    >>> image, parts = canvas.finish()
    >>> image.shape, image.dtype, int((parts == 3).sum())
    ((16, 16, 3), dtype('uint8'), 52)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.part = 0
        large = (size * OVERSAMPLE, size * OVERSAMPLE)
        self.image = Image.new("RGB", large)
        self._parts = Image.new("L", large)
        self._draw = ImageDraw.Draw(self.image)
        self._draw_parts = ImageDraw.Draw(self._parts)
        self.place(1.0, 0.0, 0.0)

    def place(
        self, scale: float, x: float, y: float, flip: bool = False, angle: float = 0.0
    ) -> None:
        """Set the frame: its origin at (x, y), its unit ``scale`` of the side, turned, flipped."""
        unit = scale * self.size * OVERSAMPLE
        cos, sin = unit * np.cos(angle), unit * np.sin(angle)
        sign = -1.0 if flip else 1.0
        self._matrix = np.array([[sign * cos, sin], [-sign * sin, cos]])
        self._origin = np.array([x, y]) * self.size * OVERSAMPLE
        self._unit = unit

    def polygon(
        self, points: ArrayLike, colour: Colour, outline: Colour | None = None, width: float = 0.05
    ) -> None:
        """Fill a polygon of corners (n, 2); its outline, if any, belongs to the same part."""
        flat = self._to_pixels(points)
        self._draw.polygon(flat, fill=colour)
        self._draw_parts.polygon(flat, fill=self.part)
        if outline is not None:
            closed = flat + flat[:2]
            thick = max(1, round(width * self._unit))
            self._draw.line(closed, fill=outline, width=thick, joint="curve")
            self._draw_parts.line(closed, fill=self.part, width=thick, joint="curve")

    def ellipse(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        colour: Colour,
        *,
        angle: float = 0.0,
        outline: Colour | None = None,
    ) -> None:
        """Fill an ellipse turned by ``angle`` radians."""
        self.polygon(ellipse_points(cx, cy, rx, ry, angle), colour, outline)

    def bands(
        self, path: ArrayLike, width_from: float, width_to: float, colours: Iterable[Colour]
    ) -> None:
        """Draw a tapering band along ``path`` (n, 2), cut into stretches of the given colours."""
        points = np.asarray(path, dtype=np.float64)
        outline = band_points(points, width_from, width_to)
        left, right = outline[: len(points)], outline[len(points) :][::-1]
        colours = list(colours)
        cuts = np.linspace(0, len(points) - 1, len(colours) + 1).round().astype(int)
        for start, stop, colour in zip(cuts[:-1], cuts[1:], colours, strict=True):
            stretch = slice(start, stop + 1)
            self.polygon(np.concatenate([left[stretch], right[stretch][::-1]]), colour)

    def finish(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Reduce to the final size: the picture (size, size, 3) and its parts (size, size)."""
        image = np.asarray(self.image.reduce(OVERSAMPLE))
        middle = OVERSAMPLE // 2
        parts = np.asarray(self._parts)[middle::OVERSAMPLE, middle::OVERSAMPLE]
        return image, parts

    def _to_pixels(self, points: ArrayLike) -> list[float]:
        placed = np.asarray(points, dtype=np.float64) @ self._matrix + self._origin
        flat: list[float] = placed.ravel().tolist()
        return flat
