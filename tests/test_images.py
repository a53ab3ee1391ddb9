"""Image files and PIL images of every usual kind come out as the RGB that a person sees."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from deap_xai.errors import ImageError
from deap_xai.images import load_image


def gradient(height: int = 6, width: int = 9) -> np.ndarray:
    """A picture in which no flip, turn or swap of channels goes unnoticed."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 20, columns * 20, rows * 7 + columns * 3 + 50], -1).astype(np.uint8)


def deep_png(values: np.ndarray, colour_type: int) -> bytes:
    """A 16-bit PNG written by hand, since Pillow writes none in colour."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    height, width = values.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# Files


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".bmp", {}),
        (".tif", {}),
        (".tiff", {"compression": "tiff_lzw"}),
        (".webp", {"lossless": True}),
        (".ppm", {}),
    ],
)
@pytest.mark.parametrize("as_text", [True, False])
def test_lossless_files_come_back_as_they_were(tmp_path, suffix, options, as_text):
    path = tmp_path / f"frog{suffix}"
    PIL.Image.fromarray(gradient()).save(path, **options)
    image = load_image(str(path) if as_text else path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable  # torch.from_numpy warns of arrays that aren't
    np.testing.assert_array_equal(image, gradient())


@pytest.mark.parametrize(("suffix", "options"), [(".jpg", {"quality": 95}), (".webp", {})])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lossy_files_come_back_nearly_as_they_were(tmp_path, suffix, options, mode):
    picture = PIL.Image.fromarray(np.kron(gradient(4, 4), np.ones((16, 16, 1), np.uint8)))
    picture = picture.convert(mode)
    picture.save(tmp_path / f"x{suffix}", **options)
    difference = load_image(tmp_path / f"x{suffix}") - np.array(picture.convert("RGB")).astype(int)
    assert np.abs(difference).mean() < 4


def test_a_path_may_be_given_as_bytes_like_os_does(tmp_path):
    PIL.Image.fromarray(gradient()).save(tmp_path / "x.png")
    with os.scandir(os.fsencode(tmp_path)) as entries:
        np.testing.assert_array_equal(load_image(next(entries)), gradient())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_orientation_turns_the_picture_upright(tmp_path, orientation, suffix):
    upright = np.kron(gradient(3, 4), np.ones((8, 8, 1), np.uint8))
    # How each orientation stores an upright picture, from the EXIF standard's table of where
    # the stored 0th row and 0th column belong.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {".jpg": {"quality": 98, "subsampling": 0}, ".webp": {"lossless": True}}
    path = tmp_path / f"x{suffix}"
    PIL.Image.fromarray(stored).save(path, exif=exif, **options.get(suffix, {}))
    image = load_image(path)
    assert image.shape == upright.shape
    assert np.abs(image.astype(int) - upright).max() <= (8 if suffix == ".jpg" else 0)


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"x"])
def test_damaged_exif_leaves_the_picture_as_it_is_stored(tmp_path, exif):
    PIL.Image.new("RGB", (8, 4), "red").save(tmp_path / "x.jpg", exif=exif)
    assert load_image(tmp_path / "x.jpg").shape == (4, 8, 3)


def test_exif_that_can_not_be_read_at_all_is_ignored(monkeypatch):
    picture = PIL.Image.fromarray(gradient())
    monkeypatch.setattr(picture, "getexif", lambda: struct.unpack(">I", b""))
    np.testing.assert_array_equal(load_image(picture), gradient())


def test_palette_with_transparency(tmp_path):
    picture = PIL.Image.new("P", (3, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata([0, 1, 2])
    picture.save(tmp_path / "x.png", transparency=bytes([255, 0, 128]))
    assert load_image(tmp_path / "x.png").tolist() == [
        [[255, 0, 0], [255, 255, 255], [127, 127, 255]]
    ]


def test_palette_without_transparency():
    picture = PIL.Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putdata([1, 0])
    assert load_image(picture).tolist() == [[[0, 255, 0], [255, 0, 0]]]


def test_cmyk_from_pillow_and_from_an_adobe_jpeg(tmp_path):
    picture = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    assert load_image(picture)[0, 0].tolist() == [255, 0, 0]
    picture.save(tmp_path / "x.jpg", quality=98)
    assert b"Adobe" in (tmp_path / "x.jpg").read_bytes()[:100]
    np.testing.assert_allclose(load_image(tmp_path / "x.jpg")[8, 8], [255, 0, 0], atol=6)


STEPS = np.array([[0, 255, 256, 1000, 32768, 65535]], np.uint16)
SHALLOW = np.array([0, 1, 1, 4, 128, 255])


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png_is_scaled_not_clipped(tmp_path, colour_type, channels):
    values = np.stack([STEPS] * channels, -1)
    if channels in (2, 4):
        values[..., -1] = 65535
    (tmp_path / "x.png").write_bytes(deep_png(values, colour_type))
    image = load_image(tmp_path / "x.png")
    # Pillow itself brings colour to 8 bits by dropping the lower ones.
    np.testing.assert_allclose(image[0], SHALLOW[:, None].repeat(3, 1), atol=1)


def test_one_deep_grey_may_stand_for_transparency(tmp_path):
    """Pillow can't write it: a chunk of its own goes in before the pixels."""
    PIL.Image.fromarray(STEPS).save(tmp_path / "plain.png")
    plain = (tmp_path / "plain.png").read_bytes()
    head = plain.index(b"IDAT") - 4
    data = b"tRNS" + struct.pack(">H", 1000)
    chunk = struct.pack(">I", 2) + data + struct.pack(">I", zlib.crc32(data))
    (tmp_path / "clear.png").write_bytes(plain[:head] + chunk + plain[head:])
    expected = load_image(tmp_path / "plain.png").copy()
    expected[STEPS == 1000] = 255
    assert (load_image(tmp_path / "clear.png") == expected).all()


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_sixteen_bit_grey_of_pillow_and_tiff(tmp_path, mode):
    picture = PIL.Image.frombytes(
        mode, (6, 1), STEPS.astype(">u2" if "B" in mode else "<u2").tobytes()
    )
    expected = SHALLOW[None, :, None].repeat(3, 2)
    np.testing.assert_array_equal(load_image(picture), expected)
    picture.save(tmp_path / "x.tif")
    np.testing.assert_array_equal(load_image(tmp_path / "x.tif"), expected)


def test_a_dark_sixteen_bit_picture_stays_dark(tmp_path):
    dark = np.full((2, 2), 200, np.uint16)
    (tmp_path / "x.png").write_bytes(deep_png(dark, 0))
    assert load_image(tmp_path / "x.png").max() == 1


def test_older_pillows_open_a_sixteen_bit_png_as_thirty_two_bit():
    picture = PIL.Image.fromarray(np.array([[0, 200, 257]], np.int32))
    picture.format = "PNG"
    assert load_image(picture)[0, :, 0].tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 100, 255]], np.int32), [0, 100, 255]),
        (np.array([[0, 32768, 65535]], np.int32), [0, 128, 255]),
        (np.array([[-100, 0, 100]], np.int32), [0, 128, 255]),
        (np.array([[-(2**31), 2**31 - 1]], np.int32), [0, 255]),
        (np.array([[-5, -5]], np.int32), [0, 0]),
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 100, 254.6]], np.float32), [0, 100, 255]),
        (np.array([[0, 65535]], np.float32), [0, 255]),
        (np.array([[0, 1e6, 2e6]], np.float32), [0, 128, 255]),
    ],
)
def test_thirty_two_bit_grey_is_scaled_by_the_range_it_uses(values, expected):
    assert load_image(PIL.Image.fromarray(values))[0].tolist() == [[v] * 3 for v in expected]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_thirty_two_bit_grey_with_nan_is_refused(bad):
    with pytest.raises(ImageError, match="PIL image holds NaN or infinite values"):
        load_image(PIL.Image.fromarray(np.array([[0.5, bad]], np.float32)))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 90, (90, 90, 90)),
        ("LA", (90, 255), (90, 90, 90)),
        ("LA", (90, 0), (255, 255, 255)),
        ("La", (90, 255), (90, 90, 90)),
        ("RGBA", (200, 100, 0, 255), (200, 100, 0)),
        ("RGBA", (0, 0, 0, 102), (153, 153, 153)),
        ("RGBa", (0, 0, 0, 102), (153, 153, 153)),
        ("RGBX", (200, 100, 0, 0), (200, 100, 0)),
        ("YCbCr", (255, 128, 128), (255, 255, 255)),
        ("HSV", (0, 255, 255), (255, 0, 0)),
    ],
)
def test_modes_of_pillow(mode, colour, expected):
    assert load_image(PIL.Image.new(mode, (2, 2), colour))[1, 1].tolist() == list(expected)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_shows_its_first_frame(tmp_path, suffix):
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"x{suffix}", save_all=True, append_images=frames[1:], **options)
    with PIL.Image.open(tmp_path / f"x{suffix}") as picture:
        assert picture.n_frames == 2
    assert load_image(tmp_path / f"x{suffix}")[4, 4].tolist() == [255, 0, 0]


def test_a_hundred_megapixels_load_though_pillow_warns(tmp_path, monkeypatch):
    # The same ratios to Pillow's limit, on a picture that costs nothing.
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 90)
    PIL.Image.new("RGB", (10, 10), "red").save(tmp_path / "x.png")
    assert load_image(tmp_path / "x.png").shape == (10, 10, 3)


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    PIL.Image.new("RGB", (10, 19), "red").save(tmp_path / "x.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 90)
    with pytest.raises(ImageError, match=r"x\.png' is too large.*190 pixels.*MAX_IMAGE_PIXELS"):
        load_image(tmp_path / "x.png")


# Files that aren't images


def test_no_such_file(tmp_path):
    with pytest.raises(ImageError, match=r"no image file '.*frog\.jpg' \(looked from .*check"):
        load_image(tmp_path / "frog.jpg")


def test_a_web_address_is_to_be_downloaded_first():
    with pytest.raises(ImageError, match="web address; download it first"):
        load_image("https://example.org/frog.jpg")


def test_a_folder(tmp_path):
    with pytest.raises(ImageError, match="is a folder; expected one image file"):
        load_image(tmp_path)


@pytest.mark.parametrize("name", ["frog\0.jpg", "x" * 5000])
def test_an_impossible_name(name):
    with pytest.raises(ImageError, match="can't open the image file"):
        load_image(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ImageError, match="not a regular file"):
        load_image(tmp_path / "x.png")


def test_an_empty_file(tmp_path):
    (tmp_path / "x.jpg").touch()
    with pytest.raises(ImageError, match=r"x\.jpg' is empty, 0 bytes"):
        load_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("content", [b"hello", b"\xff\xd8\xff", b"<svg></svg>"])
def test_not_an_image(tmp_path, content):
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(
        ImageError, match=r"x\.jpg' is not an image that Pillow knows.*expected JPEG"
    ):
        load_image(tmp_path / "x.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_file(tmp_path, kind, kept):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    PIL.Image.fromarray(noise).save(buffer, kind)
    data = buffer.getvalue()
    (tmp_path / "x").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ImageError, match=r"truncated or damaged|not an image"):
        load_image(tmp_path / "x")


def test_a_pil_image_that_turns_out_truncated_or_closed():
    buffer = io.BytesIO()
    PIL.Image.fromarray(gradient(64, 64)).save(buffer, "PNG")
    with pytest.raises(ImageError, match=r"the PIL image can't be decoded .*truncated"):
        load_image(PIL.Image.open(io.BytesIO(buffer.getvalue()[:-60])))
    closed = PIL.Image.fromarray(gradient())
    closed.close()
    with pytest.raises(ImageError, match="Operation on closed image"):
        load_image(closed)


def test_a_pil_image_without_pixels():
    with pytest.raises(ImageError, match="the PIL image has no pixels: 0 x 3"):
        load_image(PIL.Image.new("RGB", (0, 3)))


def test_a_pil_image_is_left_as_it_was():
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    PIL.Image.fromarray(gradient()).save(buffer, "PNG", exif=exif)
    picture = PIL.Image.open(buffer)
    assert load_image(picture).shape == (9, 6, 3)
    assert picture.size == (9, 6)
    assert picture.getexif()[0x0112] == 6
