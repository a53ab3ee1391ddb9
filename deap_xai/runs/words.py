"""A summary as text."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, log10
from typing import TYPE_CHECKING

from deap_xai.runs.places import coarse
from deap_xai.wording import counted

if TYPE_CHECKING:
    from deap_xai.runs.groups import Group
    from deap_xai.runs.overview import ClassSummary, Summary

__all__ = ["large_groups", "told"]

CLASSES = 20
"""Classes in the text; the JSON has all."""

GROUPS, LEAST = 8, 3
"""Groups in the text and the figure, and pictures in each of them, at most and at least."""

TINIEST = 1e-300
"""A probability below this is told as if it were this."""

NAMES = 3
"""Pictures named at a time; the JSON has all."""

LEGEND = """\
right: of pictures with a label and no target of their own; few suffice: a fifth of the superpixels
give nine tenths of the full view's probability, and nothing at all doesn't; gained: the kept part's
probability less the full view's; kept: share of superpixels; empty passes: nothing at all gives
nine tenths, so the explanation says nothing"""

REASONS = {
    "border": "lies at the border (nine tenths of it in the outer eighth)",
    "corner": "lies in a corner (half of it in a quarter by a quarter)",
    "tiny": "is tiny (less than 2 % of the view)",
    "everything": "keeps nearly everything, is in no group below (try --pick smallest:p=0.9)",
    "empty": "passes on the empty view (try another --fill)",
}


def told(summary: Summary) -> str:
    """All of a summary but its maps, in lines of some 100 characters."""
    failed = f", {summary.failed} more failed" if summary.failed else ""
    lines = [
        f"{counted(len(summary.ids), 'picture')} explained{failed}; "
        f"model {summary.settings['model']}",
        "",
        *_classes(summary),
        LEGEND,
        "",
        *_places(summary),
        "",
        "Pictures whose explanation",
        *_odd(summary),
        "",
        "Explanations alike in place and colour; a large group over many classes may be a shortcut",
        *_groups(summary),
    ]
    return "\n".join(lines)


def large_groups(summary: Summary) -> list[Group]:
    """The groups that text and figure show: the largest, of three pictures at least."""
    return [group for group in summary.groups if group.pictures >= LEAST][:GROUPS]


def _classes(summary: Summary) -> Iterator[str]:
    labelled = summary.classes[0].right is not None
    width = max(5, *(len(c.name) for c in summary.classes[: CLASSES + 1]))
    yield (
        f"{'class':<{width}}  pictures  {'right  ' if labelled else ''}"
        "few suffice  gained  kept  empty passes"
    )
    for c in summary.classes[: CLASSES + 1]:
        yield _row(c, width, labelled)
    if (hidden := len(summary.classes) - 1 - CLASSES) > 0:
        yield f"… and {hidden} classes of fewer pictures, which --json has"


def _row(c: ClassSummary, width: int, labelled: bool) -> str:
    right = "     -" if c.right is None else f"{c.right:6.0%}"
    return (
        f"{c.name:<{width}}  {c.pictures:8d} {right + ' ' if labelled else ''}"
        f"{c.few:12.0%}  {c.gained:+6.3f} {c.kept:5.0%}  {c.empty:12.0%}"
    )


def _places(summary: Summary) -> Iterator[str]:
    if not summary.places:
        yield "No corner or edge of the frame stands out."
        return
    yield "LOOK HERE: explanations sit on these places more often than objects and chance explain"
    for place in summary.places:
        who = "all classes" if place.target_name is None else place.target_name
        yield (
            f"  {place.where}, {who} ({counted(place.pictures, 'picture')}): "
            f"{place.coverage:.0%} of it is kept,\n    {place.expected:.0%} expected by chance, "
            f"p < {_above(place.p)}; it holds {place.share:.0%} of all that is kept"
        )


def _above(p: float) -> str:
    """The least number of one digit and a power of ten that is above a probability.

    Examples
    --------
    >>> _above(1.44e-5), _above(9.2e-7), _above(0.0)
    ('2e-05', '1e-06', '1e-300')
    """
    exponent = floor(log10(max(p, TINIEST)))
    digit = floor(max(p, TINIEST) / 10.0**exponent) + (p > TINIEST)
    return f"{digit * 10.0**exponent:.0e}"


def _odd(summary: Summary) -> Iterator[str]:
    for reason, text in REASONS.items():
        images = summary.odd[reason]
        named = ", ".join(images[:NAMES]) + (", …" if len(images) > NAMES else "")
        yield f"  {text}: {len(images)}{': ' + named if named else ''}"


def _groups(summary: Summary) -> Iterator[str]:
    total = len(summary.ids)
    large = large_groups(summary)
    for group in large:
        classes = [f"{count} {name}" for name, count in group.classes.items()]
        shown = ", ".join(classes[:NAMES]) + (", …" if len(classes) > NAMES else "")
        colour = "".join(f"{value:02x}" for value in group.colour)
        yield (
            f"  {group.pictures} ({group.pictures / total:.0%}), mostly {_where(group)}, mean "
            f"colour #{colour}: {shown}; such as {summary.images[group.typical[0]]}"
        )
    rest = sum(group.pictures for group in summary.groups) - sum(g.pictures for g in large)
    if rest:
        few = "smaller groups" if large else "small groups"
        yield f"  {rest} ({rest / total:.0%}) in {few}"
    if not summary.groups:
        yield "  none"


def _where(group: Group) -> str:
    """The part of the frame that a group's explanations cover most."""
    if group.map.mean() > 0.5:
        return "all over"
    row, column = divmod(int(coarse(group.map[None])[0].argmax()), 4)
    height, side = ("upper", "", "", "lower")[row], ("left", "", "", "right")[column]
    return f"{height} {side}".strip() or "in the middle"
