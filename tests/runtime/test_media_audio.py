"""Sounds, read back with soundfile."""

import sys

import numpy as np
import pytest

from ganrt import ArgumentError, MissingExtra
from ganrt.media import write_audio


def tone(channels=1, length=4000):
    return np.sin(np.arange(length) / 10 * np.arange(1, channels + 1)[:, None]).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_reads_back_to_16_bits(tmp_path, suffix, channels):
    soundfile = pytest.importorskip("soundfile", exc_type=ImportError)
    sound = tone(channels)
    write_audio(tmp_path / f"a.{suffix}", sound, 22_050)
    read, rate = soundfile.read(tmp_path / f"a.{suffix}", always_2d=True, dtype="float32")
    assert rate == 22_050
    assert np.abs(read.T - sound).max() <= 2**-15


def test_what_is_too_loud_is_clipped_and_does_not_wrap_round(tmp_path):
    soundfile = pytest.importorskip("soundfile", exc_type=ImportError)
    write_audio(tmp_path / "a.wav", np.array([[3.0, -3.0, 0.5]], np.float32), 8000)
    read, _ = soundfile.read(tmp_path / "a.wav")
    assert read == pytest.approx([1, -1, 0.5], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "sound", "sentence"),
    [
        ("a.mp3", tone(), "There is no sound format 'mp3'; choose one of wav, flac."),
        ("a.wav", tone()[0], "A sound is float32 [channels, length]"),
        ("a.wav", np.full((1, 9), np.nan, np.float32), "without NaN or infinity"),
        ("a.wav", np.zeros((1, 9), np.int16), "not int16 [1, 9]"),
        ("a.flac", tone(12), "A .flac file cannot hold this sound"),
    ],
)
def test_what_cannot_be_a_sound_says_why(tmp_path, name, sound, sentence):
    with pytest.raises(ArgumentError) as caught:
        write_audio(tmp_path / name, sound, 8000)
    assert sentence in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_without_soundfile_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtra) as caught:
        write_audio(tmp_path / "a.wav", tone(), 8000)
    assert "pip install 'ganrt[media]'" in str(caught.value)
    assert list(tmp_path.iterdir()) == []
