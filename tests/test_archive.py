"""The archive, its front and what is read off both, against slow literal versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deap_xai.archive import (
    Archive,
    best_by_size,
    best_within,
    front,
    front_quality,
    front_rows,
    mask_keys,
    running_front_quality,
)


@st.composite
def archives(draw, least: int = 1) -> Archive:
    n_segments = draw(st.integers(1, 5))
    codes = draw(st.lists(st.integers(0, 2**n_segments - 1), min_size=least, unique=True))
    masks = (np.array(codes, int).reshape(-1, 1) >> np.arange(n_segments)) % 2 == 1
    values = draw(st.lists(st.integers(0, 4), min_size=len(codes), max_size=len(codes)))
    return Archive(masks, np.array(values, np.float32) / 4)


@settings(deadline=None)
@given(archives(least=0))
def test_the_front_is_what_nothing_dominates(archive):
    points = {
        (int(m.sum()), float(p))
        for m, p in zip(archive.masks, archive.probabilities, strict=True)
        if m.any()
    }
    expected = sorted(
        (size, p)
        for size, p in points
        if not any(s <= size and q >= p and (s, q) != (size, p) for s, q in points)
    )
    found = front(archive)
    assert [(point.size, point.probability) for point in found] == expected
    for point in found:
        assert archive.probabilities[archive.find(point.mask)] == np.float32(point.probability)


@settings(deadline=None)
@given(archives())
def test_best_within_and_quality(archive):
    sizes = archive.masks.sum(axis=1)
    n_segments = archive.masks.shape[1]
    expected = [
        max((p for s, p in zip(sizes, archive.probabilities, strict=True) if s <= k), default=0)
        for k in range(1, n_segments + 1)
    ]
    assert best_within(archive).tolist() == expected
    assert front_quality(archive) == pytest.approx(np.mean(expected))


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), max_size=6))
def test_adding_in_pieces_keeps_order(pieces):
    total = sum(pieces)
    masks = (np.arange(total)[:, None] >> np.arange(6)) % 2 == 1
    values = np.linspace(0, 1, total, dtype=np.float32)
    archive, start = Archive.empty(6), 0
    for n in pieces:
        archive.add(masks[start : start + n], values[start : start + n])
        start += n
    assert len(archive) == total
    assert (archive.masks == masks).all()
    assert (archive.probabilities == values).all()
    assert [archive.find(mask) for mask in masks] == list(range(total))
    assert archive.find(np.ones(6, bool)) is None
    asked = np.concatenate([np.ones((1, 6), bool), masks[::-1]])
    assert archive.find_all(asked).tolist() == [-1, *range(total)[::-1]]
    assert mask_keys(asked[:, ::2]) == [mask.tobytes() for mask in asked[:, ::2]]


def test_find_takes_bits_of_any_dtype():
    archive = Archive(np.array([[True, False]]), np.array([0.5]))
    assert archive.find(np.array([1, 0])) == 0
    assert archive.probabilities.dtype == np.float32


@settings(deadline=None)
@given(archives(least=0))
def test_known_is_nan_where_nothing_was_evaluated(archive):
    n_segments = archive.masks.shape[1]
    everything = (np.arange(2**n_segments)[:, None] >> np.arange(n_segments)) % 2 == 1
    pairs = zip(archive.masks, archive.probabilities, strict=True)
    values = {mask.tobytes(): p for mask, p in pairs}
    expected = [values.get(mask.tobytes(), np.nan) for mask in everything]
    assert archive.known(everything).tolist() == pytest.approx(expected, nan_ok=True, abs=0)
    assert archive.known(everything[:0]).shape == (0,)


def test_front_points_are_copies():
    archive = Archive(np.array([[True, False]]), np.array([0.5]))
    front(archive)[0].mask[:] = True
    assert archive.masks.tolist() == [[True, False]]
    assert repr(front(archive)[0]) == "FrontPoint(size=1, probability=0.500)"


@settings(deadline=None)
@given(archives())
def test_front_rows_and_best_by_size(archive):
    rows = front_rows(archive.masks, archive.probabilities)
    points = front(archive)
    assert [archive.masks[row].tolist() for row in rows] == [p.mask.tolist() for p in points]
    sizes = archive.masks.sum(axis=1)
    expected = [
        max((p for s, p in zip(sizes, archive.probabilities, strict=True) if s <= k), default=0)
        for k in range(archive.masks.shape[1] + 1)
    ]
    assert best_by_size(archive.masks, archive.probabilities).tolist() == expected
    wide = best_by_size(archive.masks, archive.probabilities.astype(float))
    assert wide.dtype == float
    assert wide.tolist() == expected


@settings(deadline=None)
@given(archives(), st.data())
def test_a_growing_front_is_the_whole_ones(archive, data):
    growing, start = Archive.empty(archive.masks.shape[1]), 0
    while start < len(archive):
        end = data.draw(st.integers(start + 1, len(archive)))
        growing.add(archive.masks[start:end], archive.probabilities[start:end])
        assert growing.front_rows() == front_rows(archive.masks[:end], archive.probabilities[:end])
        start = end
    growing.front_rows().append(0)  # a copy
    assert growing.front_rows() == archive.front_rows()


def test_of_equal_masks_the_front_takes_the_first():
    masks = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool)
    assert front_rows(masks, np.array([0.9, 0.5, 0.5, 0.5])) == [1]
    assert front_rows(masks[:1], np.array([0.9])) == []
    assert front_rows(masks[:0], np.zeros(0)) == []


@settings(deadline=None)
@given(archives())
def test_running_front_quality_is_that_of_the_archive_so_far(archive):
    expected = [
        front_quality(Archive(archive.masks[:n], archive.probabilities[:n]))
        for n in range(1, len(archive) + 1)
    ]
    assert running_front_quality(archive) == pytest.approx(expected)
