"""Pictures of invented creatures whose kind is a known combination of parts.

Every creature has ears, a tail, a beak and a marking. The ears say which other part
decides; that part says which of two kinds it is:

========  ==============  ===============  ================
ears      deciding part   kind             kind
========  ==============  ===============  ================
tall      tail            fan: fanlop      curl: curlop
horns     beak            hook: hookram    spoon: spoonram
round     marking         star: starmouse  ring: ringmouse
crest     tail            fan: fancrest    curl: curlcrest
========  ==============  ===============  ================

The two other parts are drawn by a coin, like colours, place and landscape: they say nothing
about the kind. No part alone gives the kind away: each ear leaves two kinds open, and each
look of the other parts occurs with every ear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deap_xai.demo.backdrop import draw_backdrop, draw_foreground
from deap_xai.demo.canvas import Canvas
from deap_xai.demo.parts import LOOKS, draw_body, draw_head, pick_colours
from deap_xai.demo.watermark import GLYPHS, draw_watermark
from deap_xai.errors import SettingError

SIZE = 128
"""Side of a picture in pixels."""

KINDS: dict[str, tuple[str, str, str]] = {
    "fanlop": ("tall", "tail", "fan"),
    "curlop": ("tall", "tail", "curl"),
    "hookram": ("horns", "beak", "hook"),
    "spoonram": ("horns", "beak", "spoon"),
    "starmouse": ("round", "marking", "star"),
    "ringmouse": ("round", "marking", "ring"),
    "fancrest": ("crest", "tail", "fan"),
    "curlcrest": ("crest", "tail", "curl"),
}
"""For each kind: its ears, its deciding part, and the look of that part."""

CLASS_NAMES: tuple[str, ...] = tuple(KINDS)
"""Names of the kinds, in the order of the networks' outputs."""

PARTS: tuple[str, ...] = tuple(LOOKS)
"""The parts with several looks; pixel value 1 + index in ``Creature.parts``."""

BODY_VALUE, WATERMARK_VALUE = len(PARTS) + 1, len(PARTS) + 2
"""Pixel values of body and watermark in ``Creature.parts``."""


@dataclass(frozen=True)
class Creature:
    """One picture and the truth about it.

    ``image`` is RGB, uint8, (H, W, 3); ``label`` indexes ``CLASS_NAMES``; ``truth`` and
    ``watermark`` are bool (H, W), the visible pixels of the two parts that make the kind and
    of the watermark; ``parts`` is uint8 (H, W): 0 for the landscape, 1 + i for ``PARTS[i]``,
    then the body, then the watermark; ``looks`` gives each part's look by its index in
    ``LOOKS``; ``mark`` is the watermark's number, -1 without one.
    """

    image: NDArray[np.uint8]
    label: int
    truth: NDArray[np.bool_]
    watermark: NDArray[np.bool_]
    parts: NDArray[np.uint8]
    looks: tuple[int, ...]
    mark: int

    @property
    def name(self) -> str:
        """The kind's name."""
        return CLASS_NAMES[self.label]

    @property
    def body(self) -> NDArray[np.bool_]:
        """All visible pixels of the creature, parts included, bool (H, W)."""
        inside: NDArray[np.bool_] = (self.parts > 0) & (self.parts != WATERMARK_VALUE)
        return inside


def creature(seed: int, label: int | None = None, watermark: int | str = "none") -> Creature:
    """Draw a creature: the same arguments give the same picture, byte for byte.

    ``label`` (0..7) is drawn from the seed unless given. ``watermark`` is ``"none"``,
    ``"true"`` (the badge of its own kind), ``"random"`` (any kind's badge) or a badge's number
    0..7. Seed and label alone fix creature and landscape, so pictures that differ only in
    ``watermark`` differ only in that corner. Raises ``SettingError`` for a label or watermark
    that does not exist.

    >>> picture = creature(7, label=2, watermark="true")
    >>> picture.image.shape, picture.name, picture.mark
    ((128, 128, 3), 'hookram', 2)
    >>> bool(picture.truth.any()), bool(picture.watermark.any())
    (True, True)
    """
    rngs = [np.random.default_rng([seed, stream]) for stream in range(5)]
    drawn = int(rngs[0].integers(len(KINDS)))
    label = drawn if label is None else label
    if not 0 <= label < len(KINDS):
        raise SettingError(f"label must be 0..{len(KINDS) - 1} (or None to draw one), got {label}")
    looks = _draw_looks(label, rngs[0])
    mark = _choose_mark(watermark, label, rngs[1])
    canvas = Canvas(SIZE)
    draw_backdrop(canvas, rngs[2])
    _draw_creature(canvas, looks, rngs[3])
    canvas.part = 0
    canvas.place(1.0, 0.0, 0.0)
    draw_foreground(canvas, rngs[2])
    if mark >= 0:
        canvas.part = WATERMARK_VALUE
        draw_watermark(canvas, mark, rngs[1])
    image, parts = canvas.finish()
    deciding = PARTS.index(KINDS[CLASS_NAMES[label]][1])
    return Creature(
        image=_light(image, parts == WATERMARK_VALUE, rngs[4]),
        label=label,
        truth=(parts == 1) | (parts == 1 + deciding),
        watermark=parts == WATERMARK_VALUE,
        parts=parts.copy(),
        looks=looks,
        mark=mark,
    )


def _draw_looks(label: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Draw every part's look by chance, then set the two that make the kind."""
    looks = {part: int(rng.integers(len(LOOKS[part]))) for part in PARTS}
    ears, deciding, look = KINDS[CLASS_NAMES[label]]
    looks["ears"] = list(LOOKS["ears"]).index(ears)
    looks[deciding] = list(LOOKS[deciding]).index(look)
    return tuple(looks[part] for part in PARTS)


def _choose_mark(watermark: int | str, label: int, rng: np.random.Generator) -> int:
    drawn = int(rng.integers(len(GLYPHS)))
    named = {"none": -1, "true": label, "random": drawn}
    if isinstance(watermark, str) and watermark in named:
        return named[watermark]
    if isinstance(watermark, int) and 0 <= watermark < len(GLYPHS):
        return watermark
    raise SettingError(
        f"watermark must be one of {', '.join(named)} or a number 0..{len(GLYPHS) - 1}, "
        f"got {watermark!r}"
    )


def _draw_creature(canvas: Canvas, looks: tuple[int, ...], rng: np.random.Generator) -> None:
    colours = pick_colours(rng)
    scale = rng.uniform(0.185, 0.235)
    flip = bool(rng.integers(2))
    angle = rng.uniform(-0.1, 0.1)
    # The tips of beak and tail lie 2 units from the origin, those of the ears 2.15, and the
    # feet 1.3 below: stay inside the picture, and stand below the horizon.
    slack = 0.5 - 2.0 * scale
    x = 0.5 + rng.uniform(-slack, slack)
    y = rng.uniform(max(2.15 * scale + 0.01, 0.76 - 1.2 * scale), 0.98 - 1.3 * scale)
    canvas.place(scale, x, y, flip, angle)
    _shadow(canvas)

    def part(name: str) -> None:
        index = PARTS.index(name)
        canvas.part = 1 + index
        list(LOOKS[name].values())[looks[index]](canvas, getattr(colours, name))

    part("tail")
    canvas.part = BODY_VALUE
    draw_body(canvas, colours.body)
    part("ears")
    part("marking")
    canvas.part = BODY_VALUE
    draw_head(canvas, colours.body)
    part("beak")


def _shadow(canvas: Canvas) -> None:
    canvas.part = 0
    canvas.ellipse(0.0, 1.24, 1.1, 0.16, (104, 106, 96))


def _light(
    image: NDArray[np.uint8], keep: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Tint the picture, let the light fall from one side, add grain; not on ``keep``."""
    gain = rng.uniform(0.86, 1.06) * rng.uniform(0.96, 1.04, 3)
    slope = rng.uniform(-0.1, 0.1, 2)
    ramp = np.linspace(-1, 1, image.shape[0])
    light = 1 + slope[0] * ramp[None, :] + slope[1] * ramp[:, None]
    grain = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(1, 4)
    lit = image * (light[..., None] * gain).astype(np.float32) + grain
    lit = np.clip(lit + 0.5, 0, 255).astype(np.uint8)
    return np.where(keep[..., None], image, lit)
