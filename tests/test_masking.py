"""Fills are pictures of the view's size; a mask chooses between view and fill, pixel by pixel."""

from __future__ import annotations

import pickle

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deap_xai import masking
from deap_xai.errors import ImageError, SettingError
from deap_xai.masking import MaskedView, fill_view, fills, inpaint
from deap_xai.segmentation import grid

NAMES = ["black", "blur", "color", "grey", "image", "inpaint", "mean", "noise"]


def random_view(height: int = 12, width: int = 10, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slope(height: int = 224, width: int = 224) -> np.ndarray:
    """Colours that change evenly over the view."""
    rows, columns = np.mgrid[:height, :width]
    view = [rows * 255 / height, columns * 255 / width, 255 - rows * 255 / height]
    return np.stack(view, -1).astype(np.uint8)


def quarters(view: np.ndarray, n_segments: int = 4) -> np.ndarray:
    return grid(view, n_segments=n_segments).astype(np.int32)


# Fills


def test_the_registry_lists_them_all():
    assert fills.names() == NAMES
    assert set(NAMES) <= set(masking.__all__)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 2), (2, 3), (12, 10), (1, 500), (500, 1)])
def test_every_fill_is_a_picture_of_the_view_and_changes_nothing(tmp_path, name, shape):
    PIL.Image.new("RGB", (4, 4), "red").save(tmp_path / "x.png")
    spec = f"image:path={tmp_path / 'x.png'}" if name == "image" else name
    view = random_view(*shape)
    segments = quarters(view)
    before = view.copy(), segments.copy()
    fill = fill_view(view, segments, spec)
    assert fill.dtype == np.uint8
    assert fill.shape == view.shape
    assert not np.shares_memory(fill, view)
    np.testing.assert_array_equal(view, before[0])
    np.testing.assert_array_equal(segments, before[1])
    np.testing.assert_array_equal(fill_view(view, segments, spec), fill)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(1, 12))
def test_mean_is_the_mean_of_each_superpixel(seed, n_segments):
    view = random_view(seed=seed)
    segments = quarters(view, n_segments)
    fill = fill_view(view, segments, "mean")
    for label in range(segments.max() + 1):
        pixels = view[segments == label].tolist()
        for channel in range(3):
            expected = round(sum(pixel[channel] for pixel in pixels) / len(pixels))
            assert set(fill[segments == label][:, channel].tolist()) == {expected}


@pytest.mark.parametrize(
    ("spec", "colour"),
    [
        ("black", [0, 0, 0]),
        ("grey", [128, 128, 128]),
        ("color", [255, 255, 255]),
        ("color:rgb=(1, 2, 3)", [1, 2, 3]),
        ("color:rgb=[1, 2, 3]", [1, 2, 3]),
        ("color:rgb=red", [255, 0, 0]),
        ("color:rgb=#08f", [0, 136, 255]),
        ("color:rgb=#0080ff", [0, 128, 255]),
        ("color:rgb=rgb(9,8,7)", [9, 8, 7]),
        ((4, 5, 6), [4, 5, 6]),
        ((np.uint8(4), 5, 6), [4, 5, 6]),
    ],
)
def test_plain_colours(spec, colour):
    view = random_view()
    fill = fill_view(view, quarters(view), spec)
    assert np.unique(fill.reshape(-1, 3), axis=0).tolist() == [colour]


@pytest.mark.parametrize(
    "rgb", ["reddish", "#12", (1, 2), (1, 2, 256), (-1, 2, 3), (0.5, 0.5, 0.5), (1, 2, "3"), 7]
)
def test_colours_that_are_none(rgb):
    view = random_view()
    with pytest.raises(SettingError, match=r"three whole numbers in 0\.\.255.*name or hex code"):
        masking.color(view, quarters(view), rgb=rgb)


def test_blur_spreads_as_far_as_sigma_says():
    view = np.zeros((101, 101, 3), np.uint8)
    view[:, 50:] = 255
    segments = quarters(view)
    rows = np.arange(101) - 49.5
    for sigma in (3.0, 8.0):
        profile = fill_view(view, segments, f"blur:sigma={sigma}")[50, :, 0] / 255
        derivative = np.diff(profile)
        spread = np.sqrt((derivative * (rows[:-1] + 0.5) ** 2).sum())
        assert spread == pytest.approx(sigma, rel=0.1)
    np.testing.assert_array_equal(fill_view(view, segments, "blur:sigma=0"), view)


def test_whatever_the_sigma_a_blur_comes_to_one_colour():
    """Pillow itself would end the process where it is huge."""
    view = random_view()
    segments = quarters(view)
    wide, huge = (fill_view(view, segments, f"blur:sigma={s}") for s in (1e3, 1e12))
    np.testing.assert_array_equal(wide, huge)
    assert np.ptp(huge.reshape(-1, 3).astype(int), axis=0).max() <= 2


def test_blur_grows_with_the_view_unless_told():
    view = slope(40, 100)
    segments = quarters(view)
    np.testing.assert_array_equal(
        fill_view(view, segments, "blur"), fill_view(view, segments, "blur:sigma=5.0")
    )


def test_noise_is_even_and_seeded():
    view = random_view(100, 100)
    segments = quarters(view)
    first = fill_view(view, segments, "noise")
    np.testing.assert_array_equal(first, fill_view(view, segments, "noise:seed=0"))
    assert not np.array_equal(first, fill_view(view, segments, "noise:seed=1"))
    counts = np.bincount(first.ravel(), minlength=256)
    # 30000 draws: 117 of each value, with a standard deviation of 11.
    assert counts.min() > 60
    assert counts.max() < 180


def test_another_image_is_stretched_to_the_view(tmp_path):
    other = slope(30, 60)
    PIL.Image.fromarray(other).save(tmp_path / "x.png")
    view = random_view(15, 60)
    fill = fill_view(view, quarters(view), f"image:path={tmp_path / 'x.png'}")
    expected = PIL.Image.fromarray(other).resize((60, 15), PIL.Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fill, np.array(expected))


def test_another_image_that_is_not_there():
    view = random_view()
    with pytest.raises(ImageError, match=r"no image file 'nowhere\.png'"):
        fill_view(view, quarters(view), "image:path=nowhere.png")


# Inpainting


@pytest.mark.parametrize(("side", "n_segments"), [(40, 9), (224, 4)])
def test_inpainting_a_superpixel_depends_on_nothing_in_it(side, n_segments):
    # 224 pixels in four superpixels are inpainted on a reduced copy; 40 in nine aren't.
    view = slope(side, side)
    segments = quarters(view, n_segments)
    # Ragged edges and a hole, so that blocks of the reduced copy are mixed.
    segments[5 : side - 5 : 7] = np.roll(segments, 3, axis=1)[5 : side - 5 : 7]
    segments[2, 2] = 1
    inside = segments == 0
    changed = view.copy()
    changed[inside] = random_view(side, side)[inside]
    before, after = inpaint(view, segments)[inside], inpaint(changed, segments)[inside]
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("side", [48, 300])
def test_inpainting_continues_what_lies_around(side):
    view = slope(side, side)
    segments = np.zeros((side, side), np.int32)
    segments[side // 4 : side // 2, side // 4 : side // 2] = 1
    inside = segments == 1
    spoilt = view.copy()
    spoilt[inside] = 0
    difference = inpaint(spoilt, segments)[inside].astype(int) - view[inside]
    assert np.abs(difference).max() <= 8


def test_inpainting_where_there_is_nothing_around():
    view = random_view()
    everything = np.zeros(view.shape[:2], np.int32)
    np.testing.assert_array_equal(inpaint(view, everything), fill_view(view, everything, "mean"))


def test_inpainting_where_no_reduced_pixel_is_clear():
    view = random_view(130, 130)
    dots = np.zeros((130, 130), np.int32)
    dots[::6, ::6] = 1
    view[dots == 1] = (10, 20, 30)
    assert np.unique(inpaint(view, dots)[dots == 0], axis=0).tolist() == [[10, 20, 30]]


# What a fill may be


def test_a_function_and_an_array_are_fills_too():
    view = random_view()
    segments = quarters(view)

    def negative(view, segments):
        return 255 - view

    np.testing.assert_array_equal(fill_view(view, segments, negative), 255 - view)
    own = 255 - view
    found = fill_view(view, segments, own)
    own[:] = 7  # what its owner does with it later is not what the model saw
    np.testing.assert_array_equal(found, 255 - view)


def test_a_function_that_works_in_place_or_upside_down_changes_nothing_else():
    view = random_view()
    segments = quarters(view)
    before = view.copy(), segments.copy()

    def in_place(view, segments):
        view[:] = segments[:] = 0
        return view

    assert not fill_view(view, segments, in_place).any()
    np.testing.assert_array_equal(view, before[0])
    np.testing.assert_array_equal(segments, before[1])
    mirrored = fill_view(view, segments, lambda view, segments: view[:, ::-1])
    np.testing.assert_array_equal(mirrored, view[:, ::-1])
    assert mirrored.flags.c_contiguous


def test_inpainting_takes_labels_of_any_width():
    view = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    labels = np.kron(np.arange(256).reshape(16, 16), np.ones((2, 2), int))
    wide, narrow = (fill_view(view, labels.astype(kind), "inpaint") for kind in ("i4", "u1"))
    np.testing.assert_array_equal(wide, narrow)


@pytest.mark.parametrize(
    ("result", "came"),
    [
        (np.zeros((12, 10), np.uint8), r"uint8 \(12, 10\)"),
        (np.zeros((10, 12, 3), np.uint8), r"uint8 \(10, 12, 3\)"),
        (np.zeros((12, 10, 3)), r"float64 \(12, 10, 3\)"),
        (None, "a NoneType"),
    ],
)
def test_fills_that_do_not_fit(result, came):
    view = random_view()
    segments = quarters(view)

    def careless(view, segments):
        return result

    expected = rf"is {came}; expected an array of uint8, 0\.\.255, of shape \(12, 10, 3\)"
    with pytest.raises(SettingError, match=f"fill 'careless' {expected}"):
        fill_view(view, segments, careless)
    with pytest.raises(SettingError, match=f"the fill {expected}"):
        MaskedView(view, segments, result)
    if result is not None:
        with pytest.raises(SettingError, match=f"the fill's array {expected}"):
            fill_view(view, segments, result)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("blurr", "unknown fill 'blurr'; did you mean 'blur'"),
        ("blur:width=3", "fill 'blur' has no parameter 'width'"),
        ("blur:sigma=-1", "sigma must be a number of at least 0, in pixels; got -1"),
        ("blur:sigma=wide", "sigma must be .*; got 'wide'"),
        ("blur:sigma=1e999", "sigma must be .*; got inf"),
        ("noise:seed=-1", "seed must be a whole number of at least 0; got -1"),
        ("noise:seed=1.5", r"seed must be .*; got 1\.5"),
        ("image", "fill 'image' needs its parameter 'path'"),
        ((1, 2), "a colour must be three whole numbers"),
        (7, "fill must be a name.* or a function, .r, g, b. or an array; got int"),
    ],
)
def test_specs_that_make_no_sense(spec, message):
    view = random_view()
    with pytest.raises(SettingError, match=message):
        fill_view(view, quarters(view), spec)


# Drawing masks


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 1000), st.integers(2, 12), st.integers(0, 5), st.data())
def test_render_is_what_a_walk_over_all_pixels_draws(seed, wanted, n_masks, data):
    view, fill = random_view(5, 4, seed), random_view(5, 4, seed + 1)
    segments = quarters(view, wanted)
    masked = MaskedView(view, segments, fill)
    bits = st.lists(st.booleans(), min_size=masked.n_segments, max_size=masked.n_segments)
    rows = [data.draw(bits) for _ in range(n_masks)]
    masks = np.array(rows, dtype=bool).reshape(n_masks, masked.n_segments)
    views = masked.render(masks)
    assert views.dtype == np.uint8
    assert views.shape == (n_masks, 5, 4, 3)
    for index in range(n_masks):
        for row in range(5):
            for column in range(4):
                kept = rows[index][segments[row, column]]
                expected = view[row, column] if kept else fill[row, column]
                assert views[index, row, column].tolist() == expected.tolist()


def test_everything_kept_is_the_view_and_nothing_kept_the_fill():
    view, fill = random_view(), random_view(seed=1)
    masked = MaskedView(view, quarters(view), fill)
    views = masked.render(np.array([[True] * 4, [False] * 4]))
    np.testing.assert_array_equal(views, [view, fill])
    assert views.flags.c_contiguous
    views[:] = 0  # what was drawn is the caller's
    np.testing.assert_array_equal(masked.view, random_view())


def test_masks_of_any_memory_layout():
    view = random_view()
    masked = MaskedView(view, quarters(view), np.zeros_like(view))
    masks = np.random.default_rng(0).random((6, 4)) < 0.5
    expected = masked.render(masks)
    np.testing.assert_array_equal(masked.render(np.asfortranarray(masks)), expected)
    np.testing.assert_array_equal(masked.render(masks[::2]), expected[::2])


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.ones(4, bool), r"masks are bool \(4,\); expected bool \(N, 4\).*mask\[None\]"),
        (np.ones((2, 5), bool), r"masks are bool \(2, 5\); expected bool \(N, 4\)"),
        (np.ones((2, 4), int), r"masks are int64 \(2, 4\); .*masks\.astype\(bool\)"),
        ([[True] * 4], r"masks are a list; .*np\.array\(masks, dtype=bool\)"),
    ],
)
def test_masks_that_do_not_fit(masks, message):
    view = random_view()
    with pytest.raises(SettingError, match=message):
        MaskedView(view, quarters(view), view).render(masks)


@pytest.mark.parametrize(
    ("segments", "came"),
    [
        (np.zeros((10, 12), int), r"int64 \(10, 12\);"),
        (np.zeros((12, 10)), r"float64 \(12, 10\);"),
        (np.full((12, 10), 1), r"int64 \(12, 10\) with 1 labels from \[1\] to \[1\]"),
        (np.full((12, 10), -1), r"int64 \(12, 10\) with 1 labels from \[-1\] to \[-1\]"),
        (np.eye(12, 10, dtype=int) * 2, r"int64 \(12, 10\) with 2 labels from \[0\] to \[2\]"),
        ([[0]], "list;"),
    ],
)
def test_segments_that_do_not_fit(segments, came):
    view = random_view()
    with pytest.raises(SettingError, match=rf"segments are {came}.*segmentation\.segment"):
        MaskedView(view, segments, view)


@pytest.mark.parametrize(
    ("view", "came"),
    [
        (np.zeros((12, 10), np.uint8), r"uint8 \(12, 10\)"),
        (np.zeros((12, 10, 4), np.uint8), r"uint8 \(12, 10, 4\)"),
        (np.zeros((12, 10, 3), np.float32), r"float32 \(12, 10, 3\)"),
        ("frog.jpg", "a str"),
    ],
)
def test_views_that_are_none(view, came):
    good = random_view()
    with pytest.raises(SettingError, match=f"the view is {came}; expected an array of uint8"):
        MaskedView(view, quarters(good), good)


def test_an_empty_view_has_no_segments():
    empty = np.zeros((0, 4, 3), np.uint8)
    with pytest.raises(SettingError, match=r"segments are int32 \(0, 4\) with 0 labels"):
        MaskedView(empty, np.zeros((0, 4), np.int32), empty)


def test_a_masked_view_is_frozen_and_travels_to_other_processes():
    view = random_view()
    masked = MaskedView(view, quarters(view), np.zeros_like(view))
    with pytest.raises(AttributeError, match="cannot assign to field 'fill'"):
        masked.fill = view
    copy = pickle.loads(pickle.dumps(masked))
    masks = np.eye(4, dtype=bool)
    np.testing.assert_array_equal(copy.render(masks), masked.render(masks))


def test_a_registered_fill_that_works_in_place_spoils_no_picture(monkeypatch):
    monkeypatch.setattr(fills, "_functions", dict(fills._functions))

    @fills.register
    def night(view, segments):
        view[...], segments[...] = 0, 0
        return view

    view, segments = np.full((2, 4, 3), 9, np.uint8), np.array([[0, 0, 1, 1]] * 2, np.int32)
    for spec in ("night", night):
        assert not fill_view(view, segments, spec).any()
        assert (view == 9).all()
        assert segments.max() == 1
