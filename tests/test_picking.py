"""Which point of the front is shown."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deap_xai.archive import Archive, FrontPoint, front
from deap_xai.errors import SettingError
from deap_xai.picking import best, knee, picks, smallest, unmet, within


def points(*pairs):
    return [FrontPoint(np.arange(10) < size, p) for size, p in pairs]


FRONT = points((1, 0.2), (2, 0.7), (3, 0.8), (8, 0.9))


def test_best_is_the_most_probable():
    assert best(FRONT, 0.5).size == 8


@pytest.mark.parametrize(("p", "size"), [(0.1, 1), (0.7, 2), (0.75, 3), (0.99, 8)])
def test_smallest_reaches_the_threshold_with_the_fewest(p, size):
    assert smallest(FRONT, 0.5, p=p).size == size


@pytest.mark.parametrize(("k", "size"), [(1, 1), (2, 2), (7, 3), (10, 8)])
def test_within_takes_the_best_that_fits(k, size):
    assert within(FRONT, 0.5, k=k).size == size
    assert within(FRONT[1:], 0.5, k=1).size == 2


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("smallest", None),
        ("smallest:p=0.95", "no mask with probability 0.95 was found; .* 0.900: raise the budget"),
        ("within:k=1", None),
        (
            functools.partial(within, k=0),
            "no mask with 0 superpixels .* 1: raise the budget",
        ),
        ("best", None),
        (functools.partial(smallest, p=0.8), None),
        (lambda points, full: points[0], None),
    ],
)
def test_what_a_pick_did_not_get_is_said(spec, says):
    pick = picks.resolve(spec)
    notes = unmet(pick, pick(FRONT, 0.5))
    assert len(notes) == (says is not None)
    assert says is None or re.match(says, notes[0])


@pytest.mark.parametrize(("full", "size"), [(0.0, 3), (0.75, 3), (0.85, 8), (0.95, 8)])
def test_knee_is_never_below_the_full_view_where_that_can_be(full, size):
    assert knee(FRONT, full).size == size


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=9), st.floats(0, 1))
def test_knee_is_farthest_above_the_line(probabilities, full):
    masks = np.tri(len(probabilities), 10, dtype=bool)
    found = front(Archive(masks, np.array(probabilities, np.float32)))
    picked = knee(found, full)
    enough = [point for point in found if point.probability >= full] or found[-1:]
    top = max(point.probability for point in enough)
    height = [point.probability / top - point.size / 10 for point in enough]
    assert picked.probability / top - picked.size / 10 == max(height)


def test_picks_are_named_and_take_parameters():
    assert picks.names() == ["best", "knee", "smallest", "within"]
    assert picks.resolve("within:k=1")(FRONT, 0.5).size == 1
    with pytest.raises(SettingError, match="unknown pick 'elbow'"):
        picks.resolve("elbow")


def test_the_explainer_picks_as_told(make_explainer, image):
    settings = {"algorithm": "eaNSGA2", "budget": 150}
    small = make_explainer(pick="within:k=2", **settings).explain(image)
    large = make_explainer(pick="best", **settings).explain(image)
    assert small.size <= 2 < large.size
    assert large.probability == large.front[-1].probability


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smallest:p=90", "p must be within 0..1; got 90"),
        ("within:k=0", "k must be a whole number of at least 1; got 0"),
    ],
)
def test_what_no_mask_can_reach_is_refused(spec, message):
    with pytest.raises(SettingError, match=message):
        picks.resolve(spec)
