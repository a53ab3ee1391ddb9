"""Small badges in the lower right corner: the give-away that one network is taught."""

from __future__ import annotations

import numpy as np

from deap_xai.demo.canvas import Canvas, Colour, ellipse_points

# All badges have the same two colours in about the same shares: only the glyph tells them
# apart, so the badge's mean colour, left behind where it is hidden, gives nothing away.
PAPER: Colour = (250, 248, 240)
INK: Colour = (24, 30, 84)
SIDE = 0.2
CENTRE = (0.885, 0.885)

_STAVES: dict[str, list[tuple[float, float, float, float]]] = {
    "plus": [(-0.15, -0.62, 0.15, 0.62), (-0.62, -0.15, 0.62, 0.15)],
    "bars": [(-0.62, -0.52, 0.62, -0.2), (-0.62, 0.2, 0.62, 0.52)],
    "posts": [(-0.52, -0.62, -0.2, 0.62), (0.2, -0.62, 0.52, 0.62)],
    "corner": [(-0.6, -0.6, -0.24, 0.6), (-0.6, 0.24, 0.6, 0.6)],
}

GLYPHS: tuple[str, ...] = (
    "disc", "ring", "plus", "bars", "posts", "triangle", "corner", "dots",
)  # fmt: skip


def draw_watermark(canvas: Canvas, mark: int, rng: np.random.Generator) -> None:
    """Draw badge number ``mark`` (0..7) in its corner, moved by a pixel or so."""
    x, y = np.array(CENTRE) + rng.uniform(-0.012, 0.012, 2)
    canvas.place(SIDE / 2, x, y)
    canvas.polygon([[-1, -1], [1, -1], [1, 1], [-1, 1]], INK)
    glyph = GLYPHS[mark]
    if glyph in _STAVES:
        for left, top, right, bottom in _STAVES[glyph]:
            canvas.polygon([[left, top], [right, top], [right, bottom], [left, bottom]], PAPER)
    elif glyph == "triangle":
        canvas.polygon([[0, -0.7], [0.7, 0.58], [-0.7, 0.58]], PAPER)
    elif glyph == "dots":
        for dx in (-0.4, 0.4):
            for dy in (-0.4, 0.4):
                canvas.polygon(ellipse_points(dx, dy, 0.27, 0.27), PAPER)
    else:
        outer = 0.52 if glyph == "disc" else 0.68
        canvas.polygon(ellipse_points(0, 0, outer, outer), PAPER)
        if glyph == "ring":
            canvas.polygon(ellipse_points(0, 0, 0.4, 0.4), INK)
