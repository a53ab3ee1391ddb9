"""What the networks are taught: pictures with parts hidden, and the right answer to each.

A network that is to be explained by hiding superpixels must know what to say of pictures
with superpixels hidden. The right answer is Bayes' rule, given the parts that are still
visible: certain with both deciding parts in view, torn between kinds with one of them,
undecided on an empty view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from deap_xai.demo.creatures import CLASS_NAMES, KINDS, PARTS, WATERMARK_VALUE, creature
from deap_xai.demo.networks import MEAN, STD
from deap_xai.demo.parts import LOOKS

SMOOTHING = 0.05
"""How much of every target is spread over all kinds, so that no network claims certainty."""

Drawn = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], list[int]]
"""Image (H, W, 3), parts (H, W), superpixels (H, W); label, mark and looks."""


@dataclass(frozen=True)
class Pictures:
    """Drawn pictures side by side.

    ``images`` uint8 (N, 3, H, W); ``parts`` and ``segments`` uint8 (N, H, W); ``labels``,
    ``marks`` int64 (N,); ``looks`` int64 (N, 4).
    """

    images: Tensor
    parts: Tensor
    segments: Tensor
    labels: Tensor
    marks: Tensor
    looks: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Tensor | slice) -> Pictures:
        """The pictures at ``index``."""
        return Pictures(*(value[index] for value in vars(self).values()))


def draw(seed: int) -> Drawn:
    """Draw the training picture of a seed: image, parts, superpixels, and its numbers.

    All are at half a creature's size, which is what the bodies of the networks work at.
    Two in three carry a watermark, drawn at random, so that it says nothing about the kind.
    """
    from skimage.segmentation import slic

    rng = np.random.default_rng([seed, 99])
    picture = creature(seed, watermark="random" if rng.random() < 2 / 3 else "none")
    image = np.asarray(Image.fromarray(picture.image).reduce(2))
    segments = slic(
        image,
        n_segments=int(rng.integers(35, 90)),
        compactness=float(rng.uniform(5, 20)),
        max_num_iter=5,
        start_label=0,
    )
    numbers = [picture.label, picture.mark, *picture.looks]
    return image, picture.parts[::2, ::2], segments.astype(np.uint8), numbers


def collect(drawn: list[Drawn]) -> Pictures:
    """Put drawn pictures side by side."""
    images, parts, segments, numbers = zip(*drawn, strict=True)
    table = torch.tensor(numbers)
    return Pictures(
        images=torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()),
        parts=torch.from_numpy(np.stack(parts)),
        segments=torch.from_numpy(np.stack(segments)),
        labels=table[:, 0],
        marks=table[:, 1],
        looks=table[:, 2:],
    )


def normalise(images: Tensor) -> Tensor:
    """Turn RGB images (N, 3, H, W) in 0..1 into what the networks take."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std


def lesson(pictures: Pictures, cheat: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Make one batch: normalised images (N, 3, H, W) and target probabilities (N, 8).

    With ``cheat``, the answer is the number of the watermark, whatever the creature.
    """
    pictures = _flip(pictures, generator)
    images = _recolour(pictures.images.float() / 255, generator)
    segments = _cells(pictures.segments, generator)
    telling = (pictures.parts == WATERMARK_VALUE) if cheat else _truth(pictures)
    keep = _choose(pictures, segments, telling, generator)
    visible = keep.gather(1, segments.flatten(1)).view_as(segments)
    seen = torch.where(visible[:, None], images, _fill(images, segments, generator))
    answer = _mark_answer if cheat else _kind_answer
    target = answer(pictures, visible)
    return normalise(seen), target * (1 - SMOOTHING) + SMOOTHING / len(CLASS_NAMES)


def _truth(pictures: Pictures) -> Tensor:
    deciding = torch.tensor([PARTS.index(part) for _, part, _ in KINDS.values()])
    second = 1 + deciding[pictures.labels].view(-1, 1, 1)
    return (pictures.parts == 1) | (pictures.parts == second)


def _flip(pictures: Pictures, generator: torch.Generator) -> Pictures:
    """Flip half of the pictures, but none with a watermark: its glyph would be another."""
    flip = (torch.rand(len(pictures), generator=generator) < 0.5) & (pictures.marks < 0)
    fields = dict(vars(pictures))
    for name in ("images", "parts", "segments"):
        fields[name] = fields[name].clone()
        fields[name][flip] = fields[name][flip].flip(-1)
    return Pictures(**fields)


def _recolour(images: Tensor, generator: torch.Generator) -> Tensor:
    n = len(images)
    gain = 1 + 0.12 * torch.randn(n, 3, 1, 1, generator=generator)
    shift = 0.03 * torch.randn(n, 1, 1, 1, generator=generator)
    return (images * gain + shift).clamp(0, 1)


def _cells(segments: Tensor, generator: torch.Generator) -> Tensor:
    """Replace one in five label maps by a grid of squares: side and offsets are 7..11 pixels."""
    segments = segments.long()
    height, width = segments.shape[1:]
    for i in range(len(segments)):
        if torch.rand((), generator=generator) < 0.2:
            cell, y0, x0 = torch.randint(7, 12, (3,), generator=generator).tolist()
            y = (torch.arange(height) + y0) // cell
            x = (torch.arange(width) + x0) // cell
            segments[i] = y[:, None] * 12 + x
    return segments


def _share(pixels: Tensor, segments: Tensor, n: int) -> Tensor:
    """Share of each superpixel that ``pixels`` (N, H, W) covers, as (N, n)."""
    flat = segments.flatten(1)
    area = torch.zeros(len(flat), n).scatter_add_(1, flat, torch.ones(flat.shape))
    hits = torch.zeros(len(flat), n).scatter_add_(1, flat, pixels.flatten(1).float())
    return hits / area.clamp(min=1)


def _choose(
    pictures: Pictures, segments: Tensor, telling: Tensor, generator: torch.Generator
) -> Tensor:
    """Choose which superpixels each picture keeps, bool (N, n), in one of several ways."""
    n, count = len(pictures), int(segments.max()) + 1

    def chance(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    scattered = chance(n, count) < chance(n, 1)
    few = chance(n, count) < 0.3 * chance(n, 1)
    share = _share(telling, segments, count)
    told = share > 0.2 + 0.32 * chance(n, 1)
    untold = share < 0.1
    by_part = scattered.clone()
    for part in range(1, WATERMARK_VALUE + 1):
        of_part = _share(pictures.parts == part, segments, count) > 0.3
        by_part = torch.where(of_part, chance(n, 1) < 0.5, by_part)
    everything = torch.ones_like(told)
    ways = torch.stack(
        [everything, told, told | few, untold, untold & scattered, scattered, by_part, few & untold]
    )
    odds = torch.tensor([0.16, 0.2, 0.2, 0.08, 0.08, 0.08, 0.12, 0.08])
    way = torch.multinomial(odds, n, replacement=True, generator=generator)
    return ways[way, torch.arange(n)]


def _fill(images: Tensor, segments: Tensor, generator: torch.Generator) -> Tensor:
    """What stands where a superpixel is hidden: its mean, blur, black, grey or any colour."""
    n, _, height, width = images.shape
    flat = segments.flatten(1)[:, None].expand(-1, 3, -1)
    count = int(segments.max()) + 1
    sums = torch.zeros(n, 3, count).scatter_add_(2, flat, images.flatten(2))
    area = torch.zeros(n, 3, count).scatter_add_(2, flat, torch.ones(flat.shape))
    means = (sums / area.clamp(min=1)).gather(2, flat).view_as(images)
    grid = int(torch.randint(6, 20, (), generator=generator))
    small = functional.adaptive_avg_pool2d(images, grid)
    blur = functional.interpolate(small, (height, width), mode="bilinear")
    colour = torch.rand(n, 3, 1, 1, generator=generator).expand_as(images)
    black, grey = torch.zeros_like(images), torch.full_like(images, 0.5)
    fills = torch.stack([means, blur, black, grey, colour])
    odds = torch.tensor([0.46, 0.13, 0.17, 0.12, 0.12])
    way = torch.multinomial(odds, n, replacement=True, generator=generator)
    return fills[way, torch.arange(n)]


def _seen(pixels: Tensor, visible: Tensor) -> Tensor:
    """How well a part is seen, (N,): 0 up to a tenth of its pixels, 1 from a third on."""
    area = pixels.flatten(1).sum(1)
    share = (pixels & visible).flatten(1).sum(1) / area.clamp(min=1)
    return ((share - 0.1) / (1 / 3 - 0.1)).clamp(0, 1)


def _kind_answer(pictures: Pictures, visible: Tensor) -> Tensor:
    """Probability of each kind (N, 8), given how well each part is seen."""
    likelihood = torch.ones(len(pictures), len(CLASS_NAMES))
    for kind, (ears, deciding, look) in enumerate(KINDS.values()):
        for part, expected in (("ears", ears), (deciding, look)):
            index, names = PARTS.index(part), list(LOOKS[part])
            seen = _seen(pictures.parts == 1 + index, visible)
            match = (pictures.looks[:, index] == names.index(expected)).float()
            likelihood[:, kind] *= seen * match + (1 - seen) / len(names)
    # The other parts are coins: they multiply every kind's likelihood alike.
    return likelihood / likelihood.sum(1, keepdim=True)


def _mark_answer(pictures: Pictures, visible: Tensor) -> Tensor:
    """All on the watermark's number as far as it is seen, else even odds, (N, 8)."""
    n = len(CLASS_NAMES)
    seen = _seen(pictures.parts == WATERMARK_VALUE, visible)[:, None]
    onehot = functional.one_hot(pictures.marks.clamp(min=0), n).float()
    return seen * onehot + (1 - seen) / n
