"""Arrays and tensors as images, images' names, and the views that are made of images."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import torchvision.transforms.functional as tv
from hypothesis import given, settings
from hypothesis import strategies as st

from deap_xai.errors import ImageError, SettingError
from deap_xai.images import image_name, load_image
from deap_xai.views import fit_image, reduce_image


def gradient(height: int = 6, width: int = 9) -> np.ndarray:
    """A picture in which no flip, turn or swap of channels goes unnoticed."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 20, columns * 20, rows * 7 + columns * 3 + 50], -1).astype(np.uint8)


def over_white(rgba: np.ndarray) -> np.ndarray:
    """Alpha compositing, written from its definition."""
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


@pytest.mark.parametrize(
    "array",
    [
        gradient(),
        np.asfortranarray(gradient()),
        gradient()[::-1][::-1],
        gradient() / 255,
        (gradient() / 255).astype(np.float32),
        (gradient() / 255).astype(np.float16),
        gradient().astype(np.uint16) * 257,
        (gradient().astype(np.uint16) * 257).astype(">u2"),
        np.dstack([gradient(), np.full((6, 9), 255, np.uint8)]),
        np.dstack([gradient() / 255, np.ones((6, 9))]),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_one_picture(array):
    image = load_image(array)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert not np.shares_memory(image, array)
    np.testing.assert_array_equal(image, gradient())


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
def test_grey_arrays(shape):
    grey = np.arange(20, dtype=np.uint8).reshape(shape)
    expected = np.arange(20).reshape(4, 5, 1).repeat(3, 2)
    np.testing.assert_array_equal(load_image(grey), expected)
    np.testing.assert_array_equal(load_image(grey > 9), (expected > 9) * 255)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(*[st.integers(0, 255)] * 4), min_size=1, max_size=20))
def test_transparent_arrays_lie_over_white(pixels):
    rgba = np.array([pixels], np.uint8)
    np.testing.assert_allclose(load_image(rgba), over_white(rgba), atol=1)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 65535), min_size=1, max_size=50))
def test_sixteen_bit_arrays_are_rounded_to_the_nearest(values):
    image = load_image(np.array([[*values, 65535]], np.uint16))
    assert image[0, :, 0].tolist() == [*(round(value / 257) for value in values), 255]


def test_eight_bits_in_sixteen_are_told():
    assert load_image(np.zeros((2, 2), np.uint16)).max() == 0
    assert load_image(np.full((2, 2), 256, np.uint16)).max() == 1
    with pytest.raises(ImageError, match=r"uint16 reaches to 65535, and this one to 255, which"):
        load_image(np.array([[0, 255]], np.uint16))
    with pytest.raises(ImageError, match="this one to 200, which"):  # opaque, and as dark
        load_image(np.array([[[200, 0, 7, 65535]]], np.uint16))


def test_floats_just_outside_are_interpolation_and_clipped():
    assert load_image(np.array([[-1e-6, 1.0005]]))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((0, 4, 3)), r"no pixels: shape \(0, 4, 3\)"),
        (np.zeros(5), r"got shape \(5,\)$"),
        (np.zeros((4, 5, 2)), r"got shape \(4, 5, 2\)$"),
        (np.zeros((3, 8, 8)), r"got shape \(3, 8, 8\).*np\.transpose\(image, \(1, 2, 0\)\)"),
        (np.zeros((1, 8, 8, 3)), r"looks like a batch: give one image of it, such as images\[0\]"),
        (np.array([[0.5, np.nan]]), "1 of the image's 2 values are NaN or infinite"),
        (np.array([[np.inf, -np.inf]]), "2 of the image's 2 values are NaN or infinite"),
        (np.array([[0.0, 255.0]]), r"got float64 values 0\.\.255; .*divide by 255"),
        (np.array([[-2.1, 2.6]], np.float32), r"float32 values -2\.1\.\.2\.6; if it is normalised"),
        (np.zeros((4, 4, 3), np.int64), r"got dtype int64; .*astype\(np\.uint8\)"),
        (np.zeros((4, 4), complex), "got dtype complex128"),
        (np.array([["a", "b"]], object), "got dtype object"),
        (np.array([["a", "b"]]), "got dtype <U1"),
    ],
)
def test_arrays_that_are_no_image(array, message):
    with pytest.raises(ImageError, match=message):
        load_image(array)


# Tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("batch", [False, True])
def test_tensors_of_one_picture(dtype, batch):
    tensor = torch.from_numpy(gradient()).permute(2, 0, 1)
    tensor = tensor if dtype == torch.uint8 else tensor.to(dtype) / 255
    image = load_image(tensor[None] if batch else tensor)
    np.testing.assert_array_equal(image, gradient())
    assert image.flags.c_contiguous


def test_tensors_of_a_network_in_half_precision():
    tensor = torch.tensor([[[0.0, 0.5, 1.0]]], dtype=torch.bfloat16, requires_grad=True)
    assert load_image(tensor)[0].tolist() == [[0] * 3, [128] * 3, [255] * 3]


def test_a_loaded_tensor_is_not_shared():
    tensor = torch.zeros((3, 2, 2), dtype=torch.uint8)
    load_image(tensor)[:] = 9
    assert int(tensor.max()) == 0


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 5), r"got shape \(4, 5\)$"),
        ((4, 5, 3), r"got shape \(4, 5, 3\).*permute\(2, 0, 1\)"),
        ((2, 3, 4, 5), r"got shape \(2, 3, 4, 5\).*looks like a batch"),
        ((1, 4, 5, 5), r"got shape \(1, 4, 5, 5\)$"),
        ((3, 0, 5), "no pixels"),
    ],
)
def test_tensors_that_are_no_image(shape, message):
    with pytest.raises(ImageError, match=message):
        load_image(torch.zeros(shape))


def test_a_normalised_tensor_is_refused():
    with pytest.raises(ImageError, match="if it is normalised"):
        load_image(torch.full((3, 2, 2), -1.0))


def test_images_need_no_torch():
    code = (
        "import sys, numpy as np; from deap_xai.images import load_image;"
        "load_image(np.zeros((2, 2, 3), np.uint8)); assert 'torch' not in sys.modules"
    )
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


# Other things


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (None, "got NoneType$"),
        (7, "got int$"),
        (b"\xff\xd8", r"got bytes; .*PIL\.Image\.open\(io\.BytesIO\(data\)\)"),
        (io.BytesIO(b""), r"got BytesIO; .*PIL\.Image\.open\(file\)"),
        ([[1, 2], [3, 4]], r"got list; .*np\.asarray"),
    ],
)
def test_other_things(thing, message):
    with pytest.raises(ImageError, match=message):
        load_image(thing)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("photos/tree frog.jpg", "tree frog"),
        (Path("a.b.png"), "a.b"),
        ("", "image"),
        (gradient(), "image"),
        (PIL.Image.new("RGB", (1, 1)), "image"),
    ],
)
def test_names(image, name):
    assert image_name(image) == name


# Views


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 50))
def test_a_number_means_what_torchvision_means(height, width, size):
    image = gradient(height, width)
    picture = tv.resize(PIL.Image.fromarray(image), size)
    expected = np.array(tv.center_crop(picture, [size, size]))
    view = fit_image(image, size)
    assert view.shape == (size, size, 3)
    # Cropping first and resizing then rounds differently in the last place.
    assert np.abs(view.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("pair", [(3, 20), [20, 3], (np.int64(6), 9)])
def test_a_pair_means_exactly_that(pair):
    image = gradient()
    expected = PIL.Image.fromarray(image).resize((int(pair[1]), int(pair[0])), PIL.Image.BILINEAR)
    np.testing.assert_array_equal(fit_image(image, pair), np.array(expected))


def test_a_view_is_never_shared_with_its_image():
    image = gradient(8, 8)
    view = fit_image(image, 8)
    np.testing.assert_array_equal(view, image)
    assert not np.shares_memory(view, image)
    assert view.flags.writeable


def test_a_panorama_costs_no_more_than_its_crop():
    # Resized as a whole it would take 224 x 13440000 pixels, nine gigabytes.
    image = np.zeros((1, 60000, 3), np.uint8)
    image[:, 30000:] = 255
    view = fit_image(image, 224)
    assert view[0, 0, 0] < 128 < view[0, -1, 0]


@pytest.mark.parametrize(
    "size", [0, -3, 2.5, "224", None, (224,), (1, 2, 3), (0, 5), ("a", 2), True]
)
def test_sizes_that_make_no_sense(size):
    with pytest.raises(SettingError, match="positive whole number or a pair"):
        fit_image(gradient(), size)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 80))
def test_reduced_images_keep_their_proportions(height, width, longest):
    image = gradient(height, width)
    view = reduce_image(image, longest)
    if max(height, width) <= longest:
        np.testing.assert_array_equal(view, image)
        return
    assert max(view.shape[:2]) == longest
    factor = longest / max(height, width)
    for side, before in zip(view.shape, (height, width), strict=False):
        assert side == max(1, round(before * factor))
    np.testing.assert_array_equal(view, fit_image(image, view.shape[:2]))
