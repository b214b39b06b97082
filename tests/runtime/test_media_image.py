"""Pictures, read back with Pillow."""

import numpy as np
import pytest
from PIL import Image

from ganrt import ArgumentError
from ganrt.media import enlarge, grid, write_image


def pictures(n, height=28, width=28, channels=1):
    return np.random.default_rng(0).integers(0, 256, (n, height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_a_png_holds_exactly_the_pixels(tmp_path, channels, mode):
    image = pictures(1, 5, 7, channels)[0]
    write_image(tmp_path / "a.png", image)
    with Image.open(tmp_path / "a.png") as read:
        assert read.mode == mode
        assert np.array_equal(np.asarray(read).reshape(image.shape), image)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpg_and_webp_hold_nearly_the_pixels(tmp_path, suffix, channels):
    y, x = np.mgrid[:64, :48]
    image = np.repeat((2 * x + y).astype(np.uint8)[..., None], channels, axis=-1)
    path = tmp_path / f"a.{suffix}"
    write_image(path, image)
    with Image.open(path) as read:
        assert read.size == (48, 64)
        assert np.abs(np.asarray(read.convert("L"), np.int16) - image[..., 0]).max() <= 8


def test_a_webp_keeps_transparency(tmp_path):
    image = pictures(1, 9, 9, 4)[0]
    write_image(tmp_path / "a.webp", image)
    with Image.open(tmp_path / "a.webp") as read:
        assert np.array_equal(np.asarray(read)[..., 3], image[..., 3])


def test_a_grid_is_about_square_and_small_ones_are_enlarged_to_be_seen():
    image = grid(pictures(64))
    assert image.shape == (8 * 56 + 7 * 2, 8 * 56 + 7 * 2, 1)
    assert grid(pictures(1)).shape == (308, 308, 1)
    assert grid(pictures(100, 64, 64, 3)).shape == (10 * 64 + 9 * 2, 10 * 64 + 9 * 2, 3)


def test_a_grid_holds_every_picture_row_by_row_with_a_gap_between():
    some = pictures(5, 4, 6, 3)
    image = grid(some, columns=3, scale=2)
    assert image.shape == (2 * 8 + 2, 3 * 12 + 2 * 2, 3)
    for index, one in enumerate(some):
        row, column = divmod(index, 3)
        place = image[row * 10 : row * 10 + 8, column * 14 : column * 14 + 12]
        assert np.array_equal(place, enlarge(one, 2))
    assert (image[8:10] == 128).all()
    assert (image[:, 12:14] == 128).all()


def test_the_gap_is_transparent_where_there_is_transparency():
    assert (grid(pictures(2, 8, 8, 4), columns=2, scale=1)[:, 8:10, 3] == 0).all()


def test_more_columns_than_pictures_are_no_columns():
    assert grid(pictures(2, 10, 10), columns=50, scale=1).shape == (10, 22, 1)


def test_a_wide_picture_gets_fewer_columns():
    assert grid(pictures(16, 10, 160), scale=1).shape[1] < 400


def test_enlarging_repeats_each_pixel():
    image = enlarge(np.array([[[[1], [2]]]], np.uint8), 3)
    assert image.shape == (1, 3, 6, 1)
    assert image[0, :, :, 0].tolist() == [[1, 1, 1, 2, 2, 2]] * 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"images": pictures(2).astype(np.float32)}, "uint8"),
        ({"images": pictures(2)[0]}, "uint8"),
        ({"images": pictures(2, channels=5)}, "1 to 4 channels"),
        ({"images": pictures(0)}, "not uint8 [0, 28, 28, 1]"),
        ({"columns": 0}, "columns is 0; it must be at least 1"),
        ({"scale": 0}, "scale is 0; it must be at least 1"),
        ({"scale": 5000}, "into a folder instead"),
    ],
)
def test_what_cannot_be_a_grid_says_why(change, sentence):
    with pytest.raises(ArgumentError) as caught:
        grid(**{"images": pictures(2), **change})
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("a.tiff", (4, 4, 1), "There is no picture format 'tiff'; choose one of png, jpg, jpeg, webp."),
        ("a.jpg", (4, 4, 4), "A .jpg cannot hold transparency; choose .png or .webp."),
        ("a.webp", (2, 16_384, 1), "A .webp holds at most 16383 pixels a side, not 16384 x 2"),
        ("a.jpg", (65_501, 1, 1), "A .jpg holds at most 65500 pixels a side"),
    ],
)
def test_what_a_format_cannot_hold_is_said_and_nothing_is_written(tmp_path, name, shape, sentence):
    with pytest.raises(ArgumentError) as caught:
        write_image(tmp_path / name, np.zeros(shape, np.uint8))
    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "shape"), [("a.webp", (2, 16_383, 1)), ("a.jpg", (65_500, 1, 1))])
def test_a_format_holds_what_it_says_it_holds(tmp_path, name, shape):
    write_image(tmp_path / name, np.zeros(shape, np.uint8))
    with Image.open(tmp_path / name) as read:
        assert read.size == shape[1::-1]
