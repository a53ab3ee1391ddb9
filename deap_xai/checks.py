"""What an honest explanation has to say beside its mask."""

from __future__ import annotations

from collections.abc import Callable
from math import floor, isnan
from typing import TypeVar

import numpy as np

from deap_xai.archive import Archive, FrontPoint, best_by_size, front, full_and_empty, reaches
from deap_xai.backends.classes import class_name
from deap_xai.budget import Budget
from deap_xai.explanation import CHECKS_INTERRUPTED, Checks
from deap_xai.fitness import Evaluator, ask_all
from deap_xai.picking import smallest
from deap_xai.typing import Image, Mask, Masks, View
from deap_xai.wording import counted

__all__ = ["Checks", "cautions", "check", "confirm", "finished", "reserve", "without_each"]

T = TypeVar("T")

FILLS = ("mean", "black", "grey", "blur")
"""Fills under which a kept part is looked at again."""

PASSES = 0.9
"""Share of the full view's probability from which on an empty view counts as passing."""

FAINT = 1e-3
"""The full view's probability below which the model doesn't see the class at all."""

MOST = 0.9
"""Share of the superpixels from which on what is kept explains nothing."""

PICK = ": the pick "
"""Where a note about a smaller mask begins to say how to have it shown."""

OTHER_SHAPE = 2
"""How many times as wide or high, for its other side, an image is of which much isn't seen."""

N_RANDOM = 5
"""Random masks of the same size."""

CHECKED = len(FILLS) - 1 + N_RANDOM
"""Model calls of the checks that say most, once the rest is known: other fills, random masks."""


def reserve(budget: int | None, confirms: bool = False) -> tuple[int, int]:
    """How many model calls the search leaves: for dropping and checks together, for checks alone.

    A fifth of the budget, 24 at most; 9 of these for the checks. A tenth more, 24 at most, for the
    front, where the user's own model confirms what a stand-in found.
    """
    held = 0 if budget is None else min(24, budget // 5)
    points = _confirmed(budget) if confirms else 0
    return held + points, min(9, held) + points


def _confirmed(budget: int | None) -> int:
    """How many points of the front the user's own model is sure to be asked about."""
    return 0 if budget is None else min(24, budget // 10)


def confirm(evaluator: Evaluator, picked: Mask) -> Evaluator:
    """The evaluator whose numbers are reported: the reference, asked what the search found.

    That is the full view, the picked mask, nothing at all and the rest, which a check asks for
    anyway; then points of the front, first those that add most to the area under it: as many as
    :func:`reserve` left calls for, or as the budget reaches beyond the checks. Where it doesn't
    reach the picked mask, it is the search's own.
    """
    own = evaluator.reference
    if own is not evaluator:
        anyway = np.array([np.ones_like(picked), picked, np.zeros_like(picked), ~picked])
        points = _by_gain(front(evaluator.archive), evaluator.archive, anyway)
        further = len(anyway) + CHECKED
        spare = evaluator.budget.allowed(len(points) + further) - further
        most = max(_confirmed(evaluator.budget.calls), spare)
        ask_all([(own, np.array([*anyway, *(point.mask for point in points[:most])]))])
    return evaluator if own.archive.find(picked) is None else own


def _by_gain(points: list[FrontPoint], archive: Archive, masks: Masks) -> list[FrontPoint]:
    """Points in the order in which each adds most to the area under masks and those before it."""
    known = archive.find_all(masks)
    known = known[known >= 0]
    best = best_by_size(archive.masks[known], archive.probabilities[known])
    sizes, order, left = np.arange(len(best)), list[FrontPoint](), list(points)
    while left:
        steps = np.array([np.where(sizes >= one.size, one.probability, 0) for one in left])
        most = int(np.maximum(steps - best, 0).sum(axis=1).argmax())
        best = np.maximum(best, steps[most])
        order.append(left.pop(most))
    return order


def cautions(own: Evaluator, asked: int, evaluated: int, mask: Mask, before: int) -> list[str]:
    """What a reader should know before taking a mask (S,) for an explanation.

    Parameters
    ----------
    own
        Whose numbers are reported; what its archive doesn't hold isn't judged.
    asked
        How many masks were evaluated in the search.
    evaluated
        How many of them had a fitness.
    mask
        What is shown, (S,), bool.
    before
        How many masks the archive held before the checks.
    """
    views = np.vstack([full_and_empty(len(mask)), ~mask, mask])
    full, empty, rest, kept = own.archive.known(views).tolist()
    notes = [own.backend.caution] if own.backend.caution else []
    if asked < own.n_segments / 2:
        notes.append(
            f"of {own.n_segments} superpixels only {counted(asked, 'mask')} could be asked "
            "about: which superpixels matter is hardly known; allow more model calls or time"
        )
    if not evaluated:
        notes.append(
            "the search ended before any individual had a fitness, so that objectives had no part "
            "in it: allow more model calls, time or patience; or the algorithm evaluated nobody"
        )
    if full < FAINT:
        notes.append(
            f"on the full view the model gives this class {full:.1g}: it hardly sees it, and there "
            "is little to explain"
        )
    elif reaches(empty, PASSES * full):
        notes.append(
            f"the empty view alone gives {empty:.3f}, the full view {full:.3f}: under this "
            "fill nothing in the picture is needed for the answer; try another fill"
        )
    elif reaches(rest, PASSES * full):
        enough = "enough for the answer, but " if reaches(kept, PASSES * full) else ""
        notes.append(
            f"the rest alone, without the kept part, gives {rest:.3f}, the full view {full:.3f}: "
            f"what is kept is {enough}not needed"
        )
    if mask.sum() >= MOST * len(mask):
        notes.append(
            f"{mask.sum()} of {len(mask)} superpixels are kept; {_fewer(own, full, before)}"
        )
    if not isnan(full):
        answer = own.answers(full_and_empty(len(mask))[:1])[0]
        top = int(answer.argmax())
        if answer[top] > answer[own.target]:
            name = class_name(top, own.backend.class_names)
            notes.append(f'the model itself answers another class, "{name}" ({answer[top]:.3f})')
    return notes


def unseen(image: Image, view: View) -> list[str]:
    """What a reader should know where a view has quite another shape than its image.

    Examples
    --------
    >>> unseen(np.zeros((60, 2000, 3), np.uint8), np.zeros((224, 224, 3), np.uint8))[0]
    'the model sees 224 x 224 pixels made of 2000 x 60: ...'
    >>> unseen(np.zeros((400, 600, 3), np.uint8), np.zeros((224, 224, 3), np.uint8))
    []
    """
    (height, width), (h, w) = image.shape[:2], view.shape[:2]
    if max(width * h, w * height) < OTHER_SHAPE * min(width * h, w * height):
        return []
    return [
        f"the model sees {w} x {h} pixels made of {width} x {height}: much of the picture is cut "
        "off or squeezed, and only what the model sees is explained"
    ]


def _fewer(own: Evaluator, full: float, before: int) -> str:
    """What is known of a part that is smaller and nearly as probable as the full view."""
    points = front(own.archive)
    for point in points:
        if reaches(point.probability, PASSES * full) and point.size < MOST * own.n_segments:
            p = point.probability
            rounded = (floor(p * 10**digits) / 10**digits for digits in (3, 4, 6, 9))
            asked = next(q for q in (*rounded, p) if smallest(points, full, p=q) is point)
            # A search for that pick comes upon what this one found before the checks.
            late = own.archive.find_all(point.mask[None])[0] >= before
            shows = "may show it, with more model calls" if late else "shows it"
            return (
                f"a mask of {point.size} gives {_told(p)}, the full view {_told(full)}{PICK}"
                f"smallest:p={asked!r} {shows}"
            )
    return "no small part was found that is enough: more model calls, time or patience may find one"


def _told(p: float) -> str:
    return f"{p:.3f}" if p >= 0.01 else f"{p:.2g}"


def without_each(mask: Mask) -> Masks:
    """The mask without each of its superpixels in turn: (size, S)."""
    kept = np.flatnonzero(mask)
    rows = np.repeat(mask[None], len(kept), axis=0)
    rows[np.arange(len(kept)), kept] = False
    return rows


def check(evaluator: Evaluator, mask: Mask, rng: np.random.Generator) -> Checks:
    """Check a mask as far as the evaluator's budget reaches.

    The order is by what matters most: the rest, other fills, random masks of the same size,
    each kept superpixel dropped.

    Parameters
    ----------
    evaluator
        Whose masks are checked; its archive grows.
    mask
        (S,), bool.
    rng
        For the random masks.
    """
    others = [name for name in FILLS if evaluator.under(name) is not evaluator]
    # Where nothing is hidden, no fill is seen.
    twins = [evaluator if mask.all() else evaluator.under(name) for name in others]
    shuffled = rng.permuted(np.repeat(mask[None], N_RANDOM, axis=0), axis=1)
    rest, *fills, random, without = ask_all(
        [
            (evaluator, ~mask[None]),
            *((twin, mask[None]) for twin in twins),
            (evaluator, shuffled),
            (evaluator, without_each(mask)),
        ]
    )
    dropped = np.full(len(mask), np.nan)
    dropped[mask] = without
    under = {name: float(p[0]) for name, p in zip(others, fills, strict=True)}
    return Checks(float(rest[0]), under, random[~np.isnan(random)], dropped)


def checked(
    own: Evaluator, pick: Callable[[Evaluator], FrontPoint], seed: int
) -> tuple[FrontPoint, Checks, list[str]]:
    """What a pick shows, its checks, and what to say where they came upon something better.

    That is shown and checked instead, once, where the budget reaches its checks.
    """
    for _ in range(2):
        shown = pick(own)
        checks = check(own, shown.mask, np.random.default_rng(seed))
        better = pick(own)
        if (better.mask == shown.mask).all():
            return shown, checks, []
        if own.budget.allowed(1 + CHECKED) < 1 + CHECKED:
            break
    return (
        shown,
        checks,
        [
            f"the checks came upon a better mask, of size {better.size} and probability "
            f"{_told(better.probability)}, which was not checked in its turn: it is on the front; "
            "a larger budget or patience may show it"
        ],
    )


def finished(step: Callable[[], T], budget: Budget, notes: list[str]) -> T:
    """What a step gives; after Ctrl-C, what it gives without any more model calls."""
    try:
        return step()
    except KeyboardInterrupt:
        budget.calls = budget.spent
        notes.append(CHECKS_INTERRUPTED)
        return step()
