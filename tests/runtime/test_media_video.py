"""Films, read back with Pillow and PyAV."""

import sys

import numpy as np
import pytest
from PIL import Image, ImageSequence

from ganrt import ArgumentError, MissingExtra
from ganrt.media import enlarge, write_video


def film(frames=12, height=28, width=28, channels=1):
    """A bright square that moves over a slope."""
    x = np.arange(width)
    pictures = np.zeros((frames, height, width, channels), np.uint8)
    pictures[...] = (255 * x / width)[None, None, :, None] * np.linspace(0.2, 1, channels)
    for index in range(frames):
        pictures[index, 4:12, index : index + 8] = 255
    return pictures


def read_gif(path):
    with Image.open(path) as picture:
        loop, frames, durations = picture.info.get("loop"), [], []
        for frame in ImageSequence.Iterator(picture):
            durations.append(frame.info["duration"])
            frames.append(np.asarray(frame.convert("RGB")))
    return np.stack(frames), durations, loop


def read_mp4(path):
    av = pytest.importorskip("av", exc_type=ImportError)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        return frames, stream.average_rate, stream.codec_context.pix_fmt


def test_a_grey_gif_is_exact_enlarged_and_repeats_for_ever(tmp_path):
    frames = film()
    write_video(tmp_path / "a.gif", frames, fps=25)
    read, durations, loop = read_gif(tmp_path / "a.gif")
    assert read.shape == (12, 308, 308, 3)
    assert np.array_equal(read[..., :1], enlarge(frames, 11))
    assert durations == [40] * 12
    assert loop == 0


def test_a_coloured_gif_is_close_and_its_palette_does_not_flicker(tmp_path):
    frames = film(channels=3)
    write_video(tmp_path / "a.gif", frames, scale=2)
    read, _, _ = read_gif(tmp_path / "a.gif")
    assert np.abs(read.astype(np.int16) - enlarge(frames, 2)).mean() < 4
    still = read[:, 40:, :]  # nothing moves there
    assert np.abs(np.diff(still.astype(np.int16), axis=0)).mean() < 1


def test_a_gif_at_30_frames_a_second_lasts_as_long_as_it_should(tmp_path):
    write_video(tmp_path / "a.gif", film(15), fps=30)
    assert sum(read_gif(tmp_path / "a.gif")[1]) == 500


def test_transparency_in_a_film_lies_on_white(tmp_path):
    frames = np.zeros((2, 8, 8, 4), np.uint8)
    frames[1, ..., 0] = frames[1, ..., 3] = 255
    write_video(tmp_path / "a.gif", frames)
    read, _, _ = read_gif(tmp_path / "a.gif")
    assert read[0, 0, 0].tolist() == [255, 255, 255]
    assert read[1, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("size", "scale", "shape"),
    [((28, 28), None, (308, 308)), ((27, 25), 3, (82, 76)), ((27, 25), 1, (28, 26)), ((64, 80), 4, (256, 320))],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_mp4_plays_everywhere_whatever_the_size(tmp_path, size, scale, shape, channels):
    frames = film(6, *size, channels)
    write_video(tmp_path / "a.mp4", frames, fps=30, scale=scale)
    read, rate, pixels = read_mp4(tmp_path / "a.mp4")
    assert read.shape == (6, *shape, 3)
    assert rate == 30
    assert pixels == "yuv420p"  # the one that every player takes
    scale = scale or 11
    inside = read[:, : size[0] * scale, : size[1] * scale]
    assert np.abs(inside.astype(np.int16) - enlarge(frames, scale)).mean() < 4
    assert inside.max() >= 250  # grey keeps its range


def test_a_broken_frame_rate_survives(tmp_path):
    write_video(tmp_path / "a.mp4", film(4), fps=23.976)
    assert abs(float(read_mp4(tmp_path / "a.mp4")[1]) - 23.976) < 1e-3


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("a.avi", {}, "There is no film format 'avi'; choose one of gif, mp4."),
        ("a.gif", {"fps": 60}, "a .gif shows at most 50, so lower it or write an .mp4"),
        ("a.mp4", {"fps": 0}, "fps is 0; it must be above 0 and at most 240"),
        ("a.mp4", {"fps": float("nan")}, "fps is nan"),
        ("a.mp4", {"scale": 0}, "scale is 0; it must be at least 1"),
        ("a.mp4", {"scale": 400}, "at most 8192 a side"),
    ],
)
def test_what_cannot_be_a_film_says_why(tmp_path, name, options, sentence):
    with pytest.raises(ArgumentError) as caught:
        write_video(tmp_path / name, film(2), **options)
    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_pyav_an_mp4_says_what_to_install_and_a_gif_still_works(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra) as caught:
        write_video(tmp_path / "a.mp4", film(2))
    assert "pip install 'ganrt[media]'" in str(caught.value)
    write_video(tmp_path / "a.gif", film(2))
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]
