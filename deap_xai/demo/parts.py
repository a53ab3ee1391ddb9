"""The bodies and the parts that the creatures are put together from.

All drawing is in the creature's own frame: it looks to the right, its body is about two
units wide, y points down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deap_xai.demo.canvas import Canvas, Colour, Points, band_points, ellipse_points, shade

PALETTE: tuple[Colour, ...] = (
    (232, 93, 78),  # coral
    (244, 183, 64),  # honey
    (38, 139, 144),  # teal
    (126, 84, 153),  # plum
    (74, 134, 207),  # cornflower
    (240, 140, 60),  # apricot
    (226, 112, 154),  # rose
    (58, 68, 112),  # ink
    (160, 204, 66),  # lime
    (150, 86, 62),  # chestnut
    (248, 232, 196),  # cream
)

DARK: Colour = (38, 32, 44)
WHITE: Colour = (252, 250, 244)


@dataclass(frozen=True)
class Colours:
    """The colours of one creature: its body and its four kinds of parts."""

    body: Colour
    ears: Colour
    beak: Colour
    tail: Colour
    marking: Colour


def draw_body(canvas: Canvas, colour: Colour) -> None:
    """Draw feet and trunk, which all kinds have in common."""
    edge = shade(colour, 0.62)
    for x in (-0.38, 0.36):
        canvas.ellipse(x + 0.08, 1.16, 0.27, 0.15, shade(colour, 0.72), outline=edge)
    canvas.ellipse(0.0, 0.4, 0.98, 0.8, colour, outline=edge)
    canvas.ellipse(-0.12, 0.02, 0.55, 0.28, shade(colour, 1.16), angle=-0.25)


def draw_head(canvas: Canvas, colour: Colour) -> None:
    """Draw the head with its eye and cheek, which all kinds have in common."""
    canvas.ellipse(0.55, -0.55, 0.6, 0.56, colour, outline=shade(colour, 0.62))
    canvas.ellipse(0.5, -0.55, 0.5, 0.46, shade(colour, 1.08))
    canvas.ellipse(0.52, -0.28, 0.15, 0.09, (240, 130, 130))
    canvas.ellipse(0.68, -0.62, 0.21, 0.24, WHITE)
    canvas.ellipse(0.73, -0.6, 0.13, 0.17, DARK)
    canvas.ellipse(0.77, -0.67, 0.05, 0.06, WHITE)


def tall_ears(canvas: Canvas, colour: Colour) -> None:
    """Two long upright ears with a pale inside, as hares have."""
    for x, tilt in ((0.28, -0.22), (0.82, 0.2)):
        canvas.ellipse(x, -1.45, 0.25, 0.68, colour, angle=tilt, outline=shade(colour, 0.6))
        canvas.ellipse(x, -1.42, 0.11, 0.46, shade(colour, 1.65), angle=tilt)


def ram_horns(canvas: Canvas, colour: Colour) -> None:
    """Two thick ringed horns, rolled up at the sides as rams have them."""
    t = np.linspace(-0.35, 4.6, 29)
    radius = np.linspace(0.42, 0.16, 29)
    for side in (-1, 1):
        path = np.stack(
            [0.55 + side * (0.66 - radius * np.cos(t)), -1.16 - radius * np.sin(t)], axis=1
        )
        canvas.polygon(band_points(path, 0.5, 0.24), colour, outline=shade(colour, 0.5))
        canvas.bands(path, 0.5, 0.24, [colour, shade(colour, 0.68)] * 4)


def round_ears(canvas: Canvas, colour: Colour) -> None:
    """Two large round ears with a dark inside, as mice have."""
    for x in (0.02, 1.08):
        canvas.ellipse(x, -1.16, 0.46, 0.46, colour, outline=shade(colour, 0.6))
        canvas.ellipse(x, -1.13, 0.25, 0.25, shade(colour, 0.5))


def crest(canvas: Canvas, colour: Colour) -> None:
    """A fan of five pale-tipped spikes over the head."""
    for angle, length in ((-2.55, 0.75), (-2.1, 0.95), (-1.6, 1.08), (-1.1, 0.95), (-0.65, 0.75)):
        out = np.array([np.cos(angle), np.sin(angle)])
        across = np.array([-out[1], out[0]]) * 0.33
        root = np.array([0.55, -0.62]) + out * 0.42
        tip = root + out * length
        spike = np.stack([root - across, tip, root + across])
        canvas.polygon(spike, colour, outline=shade(colour, 0.6))
        canvas.polygon(tip + (spike - tip) * 0.45, shade(colour, 1.5))


def hooked_beak(canvas: Canvas, colour: Colour) -> None:
    """A deep beak bent down to a dark hook, as parrots have."""
    t = np.linspace(0, 1, 14)[:, None]
    top = _curve(t, (0.98, -0.95), (2.0, -1.08), (1.84, 0.16))
    back = _curve(t, (1.84, 0.16), (1.6, -0.2), (1.0, -0.2))
    outline = np.concatenate([top, back])
    canvas.polygon(outline, colour, outline=shade(colour, 0.6))
    canvas.polygon(np.concatenate([top[10:], back[:5]]), shade(colour, 0.45))
    canvas.polygon([*top[2:5].tolist(), [1.32, -0.3], [1.18, -0.3]], shade(colour, 1.3))


def spoon_bill(canvas: Canvas, colour: Colour) -> None:
    """A bill that widens to a round, spotted end, as spoonbills have."""
    edge = shade(colour, 0.6)
    canvas.polygon([[1.0, -0.68], [1.5, -0.6], [1.5, -0.3], [1.0, -0.3]], colour, outline=edge)
    canvas.ellipse(1.62, -0.44, 0.38, 0.36, colour, outline=edge)
    for x, y in ((1.5, -0.57), (1.75, -0.56), (1.62, -0.4), (1.48, -0.27), (1.77, -0.28)):
        canvas.ellipse(x, y, 0.07, 0.07, shade(colour, 0.45))


def fan_tail(canvas: Canvas, colour: Colour) -> None:
    """Five spread feathers with eyespots, as peacocks have."""
    for angle in (1.95, 2.37, 2.79, 3.21, 3.63):
        x, y = np.cos(angle), -np.sin(angle)
        canvas.ellipse(
            -0.62 + 0.68 * x,
            0.3 + 0.68 * y,
            0.62,
            0.2,
            colour,
            angle=-angle,
            outline=shade(colour, 0.6),
        )
        canvas.ellipse(-0.62 + 1.0 * x, 0.3 + 1.0 * y, 0.16, 0.12, WHITE, angle=-angle)
        canvas.ellipse(-0.62 + 1.0 * x, 0.3 + 1.0 * y, 0.08, 0.07, DARK)


def curled_tail(canvas: Canvas, colour: Colour) -> None:
    """A thick ringed tail rolled up tightly into a disc."""
    edge = shade(colour, 0.55)
    t = np.linspace(0, 1, 61)
    angle = 1.2 + t * 9.6
    radius = 0.5 * (1 - t) + 0.06
    path = np.stack([-1.24 + radius * np.cos(angle), -0.1 + radius * np.sin(angle)], axis=1)
    root = np.linspace((-0.6, 0.55), path[0], 6)[:-1]
    path = np.concatenate([root, path])
    canvas.polygon(band_points(path[:12], 0.42, 0.42), edge, outline=edge)
    canvas.ellipse(-1.22, -0.12, 0.66, 0.66, edge)
    canvas.bands(path, 0.32, 0.2, [colour, shade(colour, 1.35)] * 8)


def star_marking(canvas: Canvas, colour: Colour) -> None:
    """A plump five-pointed star on the flank."""
    spikes = ellipse_points(-0.22, 0.48, 0.56, 0.56, angle=-np.pi / 2, n=10)
    middle = np.array([-0.22, 0.48])
    spikes[1::2] = middle + (spikes[1::2] - middle) * 0.55
    canvas.polygon(spikes, colour, outline=shade(colour, 0.6))
    canvas.polygon(middle + (spikes - middle) * 0.45, shade(colour, 1.6))


def ring_marking(canvas: Canvas, colour: Colour) -> None:
    """Rings around a dot on the flank."""
    edge = shade(colour, 0.6)
    canvas.ellipse(-0.22, 0.46, 0.46, 0.46, colour, outline=edge)
    canvas.ellipse(-0.22, 0.46, 0.31, 0.31, shade(colour, 1.75))
    canvas.ellipse(-0.22, 0.46, 0.16, 0.16, edge)


PartDrawer = Callable[[Canvas, Colour], None]

# The looks a part can have, by part. The order is part of what a seed means.
LOOKS: dict[str, dict[str, PartDrawer]] = {
    "ears": {"tall": tall_ears, "horns": ram_horns, "round": round_ears, "crest": crest},
    "tail": {"fan": fan_tail, "curl": curled_tail},
    "beak": {"hook": hooked_beak, "spoon": spoon_bill},
    "marking": {"star": star_marking, "ring": ring_marking},
}


def pick_colours(rng: np.random.Generator) -> Colours:
    """Draw five colours that differ from one another, in no relation to the kind."""
    # Cream would drown in snow and sand as a small part; as a body it stands out by its edge.
    order = rng.permutation(len(PALETTE) - 1)
    picked = [PALETTE[i] for i in order[:5]]
    if rng.random() < 0.1:
        picked[0] = PALETTE[-1]
    body, ears, beak, tail, marking = (_jitter(colour, rng) for colour in picked)
    return Colours(body, ears, beak, tail, marking)


def _jitter(colour: Colour, rng: np.random.Generator) -> Colour:
    red, green, blue = (
        int(c) for c in np.clip(np.array(colour) + rng.integers(-14, 15, 3), 0, 255)
    )
    return red, green, blue


def _curve(
    t: Points, start: tuple[float, float], bend: tuple[float, float], end: tuple[float, float]
) -> Points:
    """Points of a quadratic Bezier curve at ``t`` (n, 1)."""
    a, b, c = (np.asarray(p, dtype=np.float64) for p in (start, bend, end))
    points: Points = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
    return points
