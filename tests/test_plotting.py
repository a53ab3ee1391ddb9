"""Pictures: what is drawn where, and no window left open."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image as PILImage

from deap_xai import plotting
from deap_xai.archive import FrontPoint
from deap_xai.errors import SettingError


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def axes():
    return plt.subplots()[1]


def test_the_kept_part_is_untouched_and_the_rest_fades(image, segments):
    mask = np.zeros(16, bool)
    mask[5] = True
    picture = plotting.kept_picture(image, segments, mask)
    keep = segments == 5
    assert picture.dtype == np.uint8
    assert (picture[keep] == image[keep]).all()
    assert (picture[5, 6:12] == plotting.EDGE).all()  # just above the cell
    faded = np.abs(picture.astype(float) - (0.18 * image + 0.82 * 255))
    assert (faded[18:] <= 1).all()


@pytest.mark.parametrize("kept", [True, False])
def test_no_line_where_there_is_no_boundary(image, segments, kept):
    picture = plotting.kept_picture(image, segments, np.full(16, kept))
    assert not (picture == plotting.EDGE).all(axis=-1).any()
    assert (picture == image).all() == kept


def test_the_heat_map_is_symmetric_about_zero(axes, image, segments):
    values = np.linspace(-1, 3, 16)
    plotting.draw_attribution(axes, image, segments, values, "importance")
    drawn = axes.images[1]
    assert (drawn.get_array() == values[segments]).all()
    assert drawn.get_clim() == (-3, 3)
    assert axes.get_title() == "importance"
    assert not axes.texts


@pytest.mark.parametrize("most", [0, 1e-5])
def test_a_heat_map_of_nothing(axes, image, segments, most):
    """Noise stays pale, and words say that it is noise."""
    plotting.draw_attribution(axes, image, segments, np.linspace(-most, most, 16))
    assert axes.images[1].get_clim() == (-0.05, 0.05)
    assert [text.get_text() for text in axes.texts] == ["no superpixel was found to matter"]


def test_convergence(axes):
    plotting.draw_convergence(axes, np.array([1, 2, 3]), np.array([0.1, 0.5, 0.5]), 0.4)
    (stairs,), (full,) = axes.patches, axes.lines
    assert stairs.get_data().values.tolist() == [0.1, 0.5, 0.5]
    assert stairs.get_data().edges.tolist() == [0.5, 1.5, 2.5, 3.5]
    assert set(full.get_ydata()) == {0.4}


def test_a_search_of_one_call_is_seen(axes):
    plotting.draw_convergence(axes, np.array([1]), np.array([0.3]), 0.4)
    assert axes.patches[0].get_data().edges.tolist() == [0.5, 1.5]
    axes.figure.canvas.draw()
    assert all(tick % 1 == 0 for tick in axes.get_xticks())


def test_a_front_of_one_superpixel_has_whole_ticks(axes):
    plotting.draw_front(axes, [FrontPoint(np.array([True]), 0.5)], 1, 1, 0.5)
    assert all(tick % 1 == 0 for tick in axes.get_xticks())


def test_a_dot_on_the_frame_is_whole(axes):
    """Where every superpixel is kept, it lies on the right side."""
    point = FrontPoint(np.ones(4, bool), 0.5)
    plotting.draw_front(axes, [point], 4, 4, 0.5)
    line, dot, _ = axes.lines
    assert not dot.get_clip_on()
    assert not line.get_clip_on()


def test_dollars_in_a_name_are_no_formula(axes, image):
    plotting.draw_view(axes, image, r"a $\bad{$ name")
    axes.figure.canvas.draw()
    assert axes.get_title() == r"a $\bad{$ name"


def test_the_overview_has_four_panels(explanation):
    figure = explanation.plot()
    titles = [axes.get_title() for axes in figure.axes[:4]]
    assert titles[0] == f"class 1: {explanation.probability_full:.3f}"
    size = int(explanation.mask.sum())
    assert titles[1] == f"{size} of 16 superpixels: {explanation.probability:.3f}"
    assert titles[3] == "search"
    assert len(plt.get_fignums()) == 1


def test_the_four_panels_are_of_one_height(explanation):
    figure = explanation.plot()
    figure.canvas.draw()
    heights = [axes.get_window_extent().height for axes in figure.axes[:4]]
    assert heights == pytest.approx([heights[0]] * 4, rel=0.01)


@pytest.mark.parametrize("shape", [(600, 200), (600, 270), (20, 500), (300, 900)])
def test_no_title_of_the_overview_reaches_another(shape, explanation):
    view, segments = np.zeros((*shape, 3), np.uint8), np.zeros(shape, int)
    segments.flat[:16] = np.arange(16)
    other = dataclasses.replace(
        explanation, view=view, segments=segments, fill=view, target_name="golden retriever, young"
    )
    figure = other.plot()
    figure.canvas.draw()
    boxes = [axes.title.get_window_extent() for axes in figure.axes[:4]]
    assert boxes[0].x0 >= 0
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    assert boxes[3].x1 <= figure.bbox.x1


@pytest.mark.parametrize("side", [3, 64, 320, 1500])
def test_the_line_around_the_kept_part_is_seen_at_any_size(axes, explanation, side):
    view, segments = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), int)
    segments[:, side // 2 :] = 1
    mask = np.array([True, False])
    other = dataclasses.replace(
        explanation, view=view, segments=segments, fill=view, mask=mask,
        checks=dataclasses.replace(explanation.checks, dropped=np.zeros(2)),
    )  # fmt: skip
    picture = other.plot_kept(axes).get_images()[0].get_array()
    orange = (picture == plotting.EDGE).all(axis=2)
    assert 320 <= len(picture) <= 640
    assert orange.sum() == 4 * len(picture)  # four columns, which leave what is hidden to be seen


def test_saving_writes_a_picture_and_closes_it(tmp_path, explanation):
    plotting.save_png(explanation.plot(), tmp_path / "frog.png")
    with PILImage.open(tmp_path / "frog.png") as picture:
        assert picture.size[0] > 1000
    assert plt.get_fignums() == []


def test_long_names_are_cut(explanation):
    assert plotting.short("a" * 40) == "a" * 27 + "…"
    assert plotting.short("a" * 28) == "a" * 28


def test_files_only():
    plotting.use_files_only()
    assert mpl.get_backend().lower() == "agg"


def test_the_front_is_drawn_with_the_shown_point(explanation):
    axes = explanation.plot_front()
    step, dot, full = axes.lines
    assert dot.get_xdata() == [explanation.size]
    assert dot.get_ydata() == [explanation.probability]
    assert full.get_ydata()[0] == explanation.probability_full
    for point in explanation.front:
        assert (point.size, point.probability) in zip(*step.get_data(), strict=True)
    plt.close(axes.figure)


@pytest.mark.parametrize("empty", [0.3, np.nan])
def test_the_front_begins_at_what_is_known_of_nothing(explanation, empty):
    """And where nobody asked, at its first point: no number is made up."""
    e = dataclasses.replace(explanation, probability_empty=empty)
    sizes, values = e.plot_front().lines[0].get_data()
    first = e.front[0]
    begin = (first.size, first.probability) if np.isnan(empty) else (0, empty)
    assert (sizes[0], values[0]) == begin
    assert 0 not in values


@pytest.mark.parametrize("panel", ["view", "kept", "attribution", "history", "front"])
def test_a_panel_draws_on_the_axes_given(explanation, axes, panel):
    assert getattr(explanation, f"plot_{panel}")(axes) is axes
    assert axes.has_data()
    assert len(plt.get_fignums()) == 1  # none beside the one given


def test_the_overview_on_axes_of_the_callers(explanation):
    figure, axes = plt.subplots(2, 2)
    assert explanation.plot(axes.ravel()) is figure
    assert axes[0, 1].get_title().startswith(f"{explanation.size} of 16")
    with pytest.raises(SettingError, match="four panels; got 2 axes"):
        explanation.plot(axes[0])
