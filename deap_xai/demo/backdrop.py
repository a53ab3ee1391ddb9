"""Cluttered landscapes that resemble no part of a creature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from deap_xai.demo.canvas import Canvas, Colour, Points, ellipse_points, shade

_NEXT = np.roll(np.arange(18), 1)


@dataclass(frozen=True)
class Land:
    """The colours of one kind of landscape."""

    sky_top: Colour
    sky_low: Colour
    far: Colour
    near: Colour
    plant: Colour
    stone: Colour


LANDS: tuple[Land, ...] = (
    Land(
        (150, 196, 222),
        (222, 232, 220),
        (150, 178, 150),
        (164, 188, 124),
        (96, 132, 84),
        (150, 148, 144),
    ),  # meadow
    Land(
        (236, 206, 172),
        (246, 228, 200),
        (214, 176, 138),
        (226, 198, 152),
        (150, 148, 96),
        (176, 142, 116),
    ),  # desert
    Land(
        (126, 120, 160),
        (222, 176, 170),
        (122, 112, 140),
        (134, 130, 124),
        (86, 98, 90),
        (112, 106, 118),
    ),  # dusk
    Land(
        (188, 208, 224),
        (228, 234, 240),
        (176, 192, 206),
        (226, 230, 234),
        (110, 134, 130),
        (146, 154, 166),
    ),  # snow
    Land(
        (120, 166, 150),
        (186, 208, 178),
        (98, 136, 112),
        (130, 152, 104),
        (70, 104, 76),
        (124, 128, 118),
    ),  # forest
    Land(
        (206, 214, 202),
        (234, 228, 206),
        (172, 184, 164),
        (198, 190, 158),
        (126, 142, 104),
        (164, 156, 146),
    ),  # heath
)


def draw_backdrop(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint sky, hills, trees, bushes, stones and grass over the whole canvas."""
    land = LANDS[rng.integers(len(LANDS))]
    horizon = rng.uniform(0.45, 0.68)
    _sky(canvas, land, horizon)
    for _ in range(rng.integers(1, 4)):
        _cloud(canvas, rng, shade(land.sky_low, rng.uniform(1.2, 1.6)), horizon)
    _hill(canvas, rng, horizon - rng.uniform(0.06, 0.18), shade(land.far, 1.18))
    _hill(canvas, rng, horizon - 0.03, land.far)
    for _ in range(rng.integers(2, 6)):
        _tree(canvas, rng, land, horizon)
    _hill(canvas, rng, horizon + 0.04, land.near)
    for _ in range(rng.integers(3, 7)):
        _patch(canvas, rng, land, horizon)
    for _ in range(rng.integers(3, 7)):
        _bush(canvas, rng, land, horizon)
    for _ in range(rng.integers(2, 6)):
        _stone(canvas, rng, land, horizon)
    for _ in range(rng.integers(5, 11)):
        _tuft(canvas, rng, land, rng.uniform(horizon + 0.06, 0.98))


def draw_foreground(canvas: Canvas, rng: np.random.Generator) -> None:
    """Paint a few blades of grass along the lower edge, before the feet at most."""
    land = LANDS[rng.integers(len(LANDS))]
    for _ in range(rng.integers(1, 4)):
        _tuft(canvas, rng, land, rng.uniform(0.97, 1.04))


def _sky(canvas: Canvas, land: Land, horizon: float) -> None:
    t = np.linspace(0, 1, 16)[:, None, None]
    ramp = np.array(land.sky_top) * (1 - t) + np.array(land.sky_low) * t
    strip = Image.fromarray(ramp.round().astype(np.uint8))
    width = canvas.image.width
    height = int(width * (horizon + 0.1))
    canvas.image.paste(strip.resize((width, height), Image.Resampling.BILINEAR), (0, 0))


def _vary(colour: Colour, rng: np.random.Generator, spread: int = 14) -> Colour:
    red, green, blue = (
        min(max(c + step, 0), 255)
        for c, step in zip(colour, rng.integers(-spread, spread + 1, 3).tolist(), strict=True)
    )
    return red, green, blue


def _hill(canvas: Canvas, rng: np.random.Generator, y: float, colour: Colour) -> None:
    x = np.linspace(-0.05, 1.05, 24)
    waves = rng.uniform(0.01, 0.05) * np.sin(x * rng.uniform(3, 8) + rng.uniform(0, 6.3))
    waves += rng.uniform(0.0, 0.03) * np.sin(x * rng.uniform(8, 16) + rng.uniform(0, 6.3))
    ridge = np.stack([x, y + waves], axis=1)
    canvas.polygon(np.concatenate([ridge, [[1.05, 1.05], [-0.05, 1.05]]]), _vary(colour, rng, 8))


def _cloud(canvas: Canvas, rng: np.random.Generator, colour: Colour, horizon: float) -> None:
    x, y = rng.uniform(0, 1), rng.uniform(0.04, horizon - 0.2)
    for _ in range(3):
        wide = rng.uniform(0.05, 0.11)
        canvas.ellipse(x + rng.uniform(-0.09, 0.09), y, wide, wide * 0.38, colour)


def _tree(canvas: Canvas, rng: np.random.Generator, land: Land, horizon: float) -> None:
    x, tall = rng.uniform(0, 1), rng.uniform(0.14, 0.34)
    foot = horizon + rng.uniform(0.02, 0.08)
    trunk = shade(land.stone, 0.7)
    canvas.polygon(
        [[x - 0.012, foot], [x - 0.008, foot - tall], [x + 0.008, foot - tall], [x + 0.012, foot]],
        trunk,
    )
    leaf = _vary(land.plant, rng)
    for _ in range(4):
        at = rng.uniform(-0.05, 0.05, 2)
        canvas.polygon(
            _blob(rng, x + at[0], foot - tall + at[1], rng.uniform(0.05, 0.085)),
            shade(leaf, rng.uniform(0.9, 1.14)),
        )


def _bush(canvas: Canvas, rng: np.random.Generator, land: Land, horizon: float) -> None:
    x, y = rng.uniform(0, 1), rng.uniform(horizon + 0.02, 0.95)
    leaf = _vary(land.plant, rng)
    for step in (-0.05, 0.04, 0.0):
        tone = shade(leaf, rng.uniform(0.88, 1.18))
        canvas.polygon(_blob(rng, x + step, y - 0.02 * (step == 0), 0.055), tone)


def _stone(canvas: Canvas, rng: np.random.Generator, land: Land, horizon: float) -> None:
    x, y = rng.uniform(0, 1), rng.uniform(horizon + 0.05, 1.0)
    size = rng.uniform(0.025, 0.07)
    tone = _vary(land.stone, rng)
    outline = _blob(rng, x, y, size, squash=0.62)
    canvas.polygon(outline, shade(tone, 0.82))
    canvas.polygon(np.array([x, y - size * 0.1]) + (outline - [x, y]) * 0.82, tone)


def _patch(canvas: Canvas, rng: np.random.Generator, land: Land, horizon: float) -> None:
    x, y = rng.uniform(0, 1), rng.uniform(horizon + 0.08, 1.0)
    tone = shade(_vary(land.near, rng, 8), rng.uniform(0.9, 1.12))
    canvas.ellipse(x, y, rng.uniform(0.06, 0.18), rng.uniform(0.012, 0.035), tone)


def _tuft(canvas: Canvas, rng: np.random.Generator, land: Land, y: float) -> None:
    x = rng.uniform(0, 1)
    blade = _vary(land.plant, rng)
    leans, heights = rng.uniform(-0.035, 0.035, 5).tolist(), rng.uniform(0.03, 0.075, 5).tolist()
    for lean, height in zip(leans, heights, strict=True):
        tip = [x + lean, y - height]
        root = x + lean * 0.4
        canvas.polygon([[root - 0.007, y], tip, [root + 0.007, y]], blade)


def _blob(rng: np.random.Generator, x: float, y: float, size: float, squash: float = 0.9) -> Points:
    """A lumpy round outline about (x, y)."""
    points = ellipse_points(0, 0, size, size * squash, n=18)
    knots = rng.uniform(0.82, 1.16, 6).repeat(3)
    # Each corner is halfway towards its neighbour's, which rounds the lumps.
    smooth = (knots + knots[_NEXT]) / 2
    return points * smooth[:, None] + np.array([x, y])
