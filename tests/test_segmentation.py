"""Superpixels: whole, contiguous, repeatable, whatever the view and whoever cuts it."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.segmentation
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from deap_xai import segmentation
from deap_xai.errors import ImageError, SettingError
from deap_xai.segmentation import adjacency, grid, segment, segmenters

NAMES = ["felzenszwalb", "grid", "quickshift", "slic", "watershed"]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def patches(height: int = 60, width: int = 80) -> np.ndarray:
    """Four plain rectangles, of other colours and sizes."""
    view = np.zeros((height, width, 3), np.uint8)
    view[: height // 3, : width // 2] = (250, 20, 20)
    view[: height // 3, width // 2 :] = (20, 250, 20)
    view[height // 3 :, : width // 4] = (20, 20, 250)
    view[height // 3 :, width // 4 :] = (240, 240, 20)
    return view


VIEWS = {
    "2x3": noise(2, 3),
    "1x2": noise(1, 2),
    "flat": np.full((32, 40, 3), 77, np.uint8),
    "black": np.zeros((16, 16, 3), np.uint8),
    "wide": noise(1, 500),
    "tall": noise(500, 1),
    "noise": noise(40, 30),
    "patches": patches(),
}


def test_the_registry_lists_them_all():
    assert segmenters.names() == NAMES
    assert set(NAMES) <= set(segmentation.__all__)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("name", NAMES)
def test_every_segmenter_cuts_every_view(name, view):
    segments, warnings = segment(view, name)
    assert segments.dtype == np.int32
    assert segments.shape == view.shape[:2]
    n_segments = segments.max() + 1
    assert n_segments >= 2
    assert np.unique(segments).tolist() == list(range(n_segments))
    assert all(text.endswith(".") for text in warnings)
    np.testing.assert_array_equal(segment(view, name)[0], segments)


@pytest.mark.parametrize("name", NAMES)
def test_a_single_pixel_can_not_be_cut(name):
    assert segmenters.get(name)(noise(1, 1)).shape == (1, 1)
    with pytest.raises(ImageError, match="a single pixel, so it has no parts"):
        segment(noise(1, 1), name)


@pytest.mark.parametrize(
    "spec",
    [
        "slic:n_segments=20",
        "quickshift:max_dist=20",
        "felzenszwalb:min_size=20",
        "watershed:n_segments=30",
    ],
)
def test_superpixels_follow_the_edges_of_the_picture(spec):
    view = patches()
    segments, warnings = segment(view, spec)
    mixed = sum(
        len(pixels) - np.unique(pixels, axis=0, return_counts=True)[1].max()
        for pixels in (view[segments == label] for label in range(segments.max() + 1))
    )
    # Pixels that lie in a superpixel of another colour: a few on the edges, 12 % in a grid.
    assert mixed / segments.size < 0.04
    assert warnings == []


@pytest.mark.parametrize("name", ["slic", "watershed", "grid"])
def test_n_segments_is_about_what_comes(name):
    few = segment(patches(), f"{name}:n_segments=12")[0].max() + 1
    many = segment(patches(), f"{name}:n_segments=80")[0].max() + 1
    assert 6 <= few <= 18
    assert 56 <= many <= 96


def test_parameters_reach_the_segmenters():
    view = patches()
    texture = patches() + noise(60, 80) // 8
    few, many = (
        len(np.unique(segmentation.felzenszwalb(texture, scale=scale, sigma=0.0, min_size=size)))
        for scale, size in ((1000.0, 300), (1.0, 4))
    )
    assert few < 10 < 100 < many
    assert len(np.unique(segmentation.quickshift(view, kernel_size=1.0, max_dist=2.0))) > 20
    smooth = segmentation.slic(noise(40, 40), n_segments=16, sigma=5.0)
    assert not np.array_equal(smooth, segmentation.slic(noise(40, 40), n_segments=16, sigma=0))
    squares = segmentation.watershed(view, n_segments=20, compactness=1000.0)
    assert not np.array_equal(squares, segmentation.watershed(view, n_segments=20))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("slic:n_segments=0", "n_segments must be a whole number of at least 1; got 0"),
        ("grid:n_segments=2.5", r"n_segments must be .*; got 2\.5"),
        ("grid:n_segments=True", "n_segments must be .*; got True"),
        ("watershed:n_segments=many", "n_segments must be .*; got 'many'"),
        ("slic:compactness=0", "compactness must be a number above 0; got 0"),
        ("slic:sigma=-1", "sigma must be a number of at least 0; got -1"),
        ("slic:sigma=1e999", "sigma must be a number of at least 0; got inf"),
        ("quickshift:kernel_size=0.5", r"kernel_size must be a number of at least 1; got 0\.5"),
        ("quickshift:max_dist=None", "max_dist must be a number above 0; got None"),
        ("quickshift:ratio=2", "ratio must be a number of at least 0 and at most 1; got 2"),
        ("felzenszwalb:scale=0", "scale must be a number above 0; got 0"),
        ("felzenszwalb:min_size=0", "min_size must be a whole number of at least 1; got 0"),
        ("watershed:compactness=False", "compactness must be a number of at least 0; got False"),
        ("slick", "unknown segmenter 'slick'; did you mean 'slic'"),
        ("slic:n=3", "segmenter 'slic' has no parameter 'n'"),
    ],
)
def test_specs_that_make_no_sense(spec, message):
    with pytest.raises(SettingError, match=message):
        segment(patches(), spec)


def test_a_segmenter_that_runs_out_of_memory_is_a_setting_to_change(monkeypatch):
    def greedy(view, **settings):
        raise MemoryError("8 TiB")

    monkeypatch.setattr(skimage.segmentation, "slic", greedy)
    with pytest.raises(SettingError, match="'slic:sigma=1e9' needs too much memory: 8 TiB"):
        segment(patches(), "slic:sigma=1e9")


# The grid


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 300))
def test_a_grid_is_the_best_there_is(height, width, n_segments):
    labels = grid(np.zeros((height, width, 3), np.uint8), n_segments=n_segments)
    assert np.unique(labels).tolist() == list(range(labels.max() + 1))
    assert labels.max() + 1 <= height * width

    def cost(rows, columns):
        number = abs(np.log(rows * columns / min(n_segments, height * width)))
        return 2 * number + abs(np.log((height / rows) / (width / columns)))

    rows, columns = len(np.unique(labels[:, 0])), len(np.unique(labels[0]))
    each_pair = (cost(r, c) for r in range(1, height + 1) for c in range(1, width + 1))
    assert cost(rows, columns) <= min(each_pair) + 1e-9
    sizes = np.bincount(labels.ravel())
    assert sizes.max() <= (height // rows + 1) * (width // columns + 1)
    assert sizes.min() >= (height // rows) * (width // columns)


@pytest.mark.parametrize(
    ("shape", "n_segments", "rows", "columns"),
    [
        ((224, 224), 49, 7, 7),
        ((224, 224), 50, 7, 7),
        ((224, 224), 2, 1, 2),
        ((224, 224), 1, 1, 1),
        ((100, 200), 50, 5, 10),
        ((1, 500), 50, 1, 50),
        ((500, 1), 50, 50, 1),
        ((2, 3), 49, 2, 3),
        ((2, 3), 10**12, 2, 3),
    ],
)
def test_grids_that_anyone_would_cut_so(shape, n_segments, rows, columns):
    labels = grid(np.zeros((*shape, 3), np.uint8), n_segments=n_segments)
    assert (len(np.unique(labels[:, 0])), len(np.unique(labels[0]))) == (rows, columns)
    for label in np.unique(labels):
        inside = np.argwhere(labels == label)
        (top, left), (bottom, right) = inside.min(0), inside.max(0)
        assert len(inside) == (bottom - top + 1) * (right - left + 1)


# A single superpixel


def test_a_plain_picture_falls_back_to_a_grid_and_says_so():
    view = VIEWS["flat"]
    segments, warnings = segment(view, "felzenszwalb")
    np.testing.assert_array_equal(segments, grid(view))
    n_segments = segments.max() + 1
    assert warnings == [
        "The segmenter 'felzenszwalb' found a single superpixel, so the view was cut into a "
        f"plain grid of {n_segments} instead."
    ]


def test_a_function_that_finds_one_superpixel_falls_back_too():
    def everything(view):
        return np.full(view.shape[:2], 3)

    segments, warnings = segment(patches(), everything)
    assert segments.max() > 0
    assert len(warnings) == 1
    assert "'everything' found a single superpixel" in warnings[0]


def test_a_label_map_with_one_label_is_refused():
    with pytest.raises(SettingError, match="single label, 4; expected at least two"):
        segment(patches(), np.full((60, 80), 4))


# Label maps and functions


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays(
        st.sampled_from([np.int8, np.uint8, np.int32, np.int64, np.uint64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.integers(0, 127),
    )
)
def test_label_maps_are_renumbered_in_order(labels):
    known = sorted(set(labels.ravel().tolist()))
    assume(len(known) >= 2)
    segments, warnings = segment(np.zeros((*labels.shape, 3), np.uint8), labels)
    assert warnings == []
    assert segments.dtype == np.int32
    expected = [[known.index(label) for label in row] for row in labels.tolist()]
    assert segments.tolist() == expected


def test_negative_labels_count_as_labels():
    labels = np.array([[-1, 5, 900000]])
    assert segment(np.zeros((1, 3, 3), np.uint8), labels)[0].tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((60, 80, 1), int), r"shape \(60, 80, 1\); expected integers .*\(60, 80\)"),
        (np.zeros((80, 60), int), r"shape \(80, 60\); expected integers .*\(60, 80\)"),
        (np.zeros((60, 80)), r"dtype float64; .* \.astype\(int\)"),
        (np.full((60, 80), np.nan), "dtype float64"),
        (np.zeros((60, 80), bool), "dtype bool"),
        ([[0, 1]], "list; expected integers"),
        (None, "NoneType; expected integers"),
    ],
)
def test_label_maps_that_do_not_fit(labels, message):
    if isinstance(labels, np.ndarray):
        with pytest.raises(SettingError, match=f"the label map has {message}"):
            segment(patches(), labels)

    def careless(view):
        return labels

    with pytest.raises(SettingError, match=f"segmenter 'careless' (has|gave) {message}"):
        segment(patches(), careless)


def test_neither_name_nor_function_nor_map():
    with pytest.raises(
        SettingError, match=r"segmenter must be a name.* or labels as an array .*got int"
    ):
        segment(patches(), 50)


def test_a_function_without_a_name_is_still_named_in_errors():
    class Cutter:
        def __call__(self, view):
            return 0

        def __repr__(self):
            return "Cutter()"

    with pytest.raises(SettingError, match=r"segmenter Cutter\(\) gave int"):
        segment(patches(), Cutter())


# Large views


@pytest.mark.parametrize("name", ["felzenszwalb", "grid", "slic", "watershed"])
@pytest.mark.parametrize("shape", [(600, 400), (400, 1100), (3, 1500)])
def test_large_views_are_cut_as_finely_as_small_ones(name, shape):
    view = np.repeat(np.repeat(patches(6, 8), 100, 0), 200, 1)[: shape[0], : shape[1]]
    segments, _ = segment(view, name)
    assert segments.shape == shape
    assert np.unique(segments).tolist() == list(range(segments.max() + 1))
    assert 2 <= segments.max() + 1 <= 60


def test_a_photograph_of_24_megapixels_is_cut_on_a_small_copy(monkeypatch):
    asked = []
    slic = skimage.segmentation.slic

    def watched(view, **options):
        asked.append(view.shape)
        return slic(view, **options)

    monkeypatch.setattr(skimage.segmentation, "slic", watched)
    view = np.zeros((4000, 6000, 3), np.uint8)
    view[1000:3000, 2000:5000] = (200, 40, 40)
    segments, _ = segment(view, "slic")
    assert [max(shape) for shape in asked] == [512]
    inside = np.zeros((4000, 6000), bool)
    inside[1000:3000, 2000:5000] = True
    # The rectangle's edge is found to within two pixels of the reduced copy.
    labels = np.unique(segments[1030:2970:50, 2030:4970:50])
    found = np.isin(segments[::10, ::10], labels)
    assert np.mean(found != inside[::10, ::10]) < 0.02


def test_a_function_gets_a_large_view_as_it_is():
    shapes = []

    def halves(view):
        shapes.append(view.shape)
        return np.arange(view.shape[1]) // 500 + np.zeros((view.shape[0], 1), int)

    segments, _ = segment(np.zeros((10, 1000, 3), np.uint8), halves)
    assert shapes == [(10, 1000, 3)]
    assert np.bincount(segments.ravel()).tolist() == [5000, 5000]


def test_a_function_that_works_in_place_changes_nothing():
    view = noise(20, 30)

    def halves(view):
        view //= 2
        return np.arange(30) // 15 + np.zeros((20, 1), int)

    before = view.copy()
    segment(view, halves)
    np.testing.assert_array_equal(view, before)


# Adjacency


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays(
        np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 5)
    )
)
def test_adjacency_is_what_a_walk_over_all_pixels_finds(labels):
    segments = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    n_segments = segments.max() + 1
    expected = np.zeros((n_segments, n_segments), bool)
    height, width = segments.shape
    for row in range(height):
        for column in range(width):
            for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                r, c = row + down, column + right
                if 0 <= r < height and 0 <= c < width and segments[r, c] != segments[row, column]:
                    expected[segments[row, column], segments[r, c]] = True
    touching = adjacency(segments)
    assert touching.dtype == np.bool_
    np.testing.assert_array_equal(touching, expected)
    np.testing.assert_array_equal(touching, touching.T)
    assert not touching.diagonal().any()


def test_corners_do_not_touch():
    assert adjacency(np.array([[0, 1], [2, 3]], np.int32)).sum(1).tolist() == [2, 2, 2, 2]


def test_a_registered_segmenter_that_works_in_place_spoils_no_picture(monkeypatch):
    monkeypatch.setattr(segmenters, "_functions", dict(segmenters._functions))

    @segmenters.register
    def halves(view):
        view[...] = 0
        return np.arange(view.shape[1])[None].repeat(len(view), 0) * 2 // view.shape[1]

    view = np.full((4, 6, 3), 9, np.uint8)
    for spec in ("halves", halves):
        assert segment(view, spec)[0].max() == 1
        assert (view == 9).all()
