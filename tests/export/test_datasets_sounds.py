"""Sounds as people have them: any format, rate and length; what is skipped, and what is refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ganrt.errors import DataError
from ganrt_export.training.datasets import open_sounds
from ganrt_export.training.datasets.sounds import stretches

RATE = 8_000


def tone(hertz: float, seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def save(path: Path, sound: NDArray[np.float32], rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate)


@given(st.integers(0, 500), st.integers(1, 100))
def test_stretches_are_the_sound_in_order_and_silence_after_it(samples: int, length: int) -> None:
    sound = np.arange(1_000, 1_000 + samples, dtype=np.int16)
    parts = stretches(sound, length)
    flat = parts.reshape(-1)
    assert parts.shape[1] == length
    assert (flat[: min(len(flat), samples)] == sound[: len(flat)]).all()
    assert not flat[samples:].any()
    left_out = samples - len(flat)
    assert left_out <= length / 2


def test_silent_stretches_teach_nothing_and_are_left_out() -> None:
    sound = np.concatenate([np.full(10, 9_000), np.zeros(10), np.full(10, -9_000)]).astype(np.int16)
    assert stretches(sound, 10)[:, 0].tolist() == [9_000, -9_000]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (44_100, 2)])
def test_a_tone_is_the_same_tone_whatever_it_was_kept_as(tmp_path: Path, suffix: str, rate: int, channels: int) -> None:
    for name in ("a", "b"):
        save(tmp_path / f"{name}.{suffix}", np.stack([tone(440, 1, rate)] * channels, axis=1), rate)
    (sounds,) = open_sounds(tmp_path, length=4_096, sample_rate=RATE)[[0]]
    assert sounds.shape == (1, 1, 4_096)
    spectrum = np.abs(np.fft.rfft(sounds[0, 0].numpy() * np.hanning(4_096)))
    assert spectrum.argmax() * RATE / 4_096 == pytest.approx(440, abs=2)
    assert float(sounds.abs().max()) == pytest.approx(0.5, abs=0.05)


def test_folders_are_classes_and_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    save(tmp_path / "low" / "a.wav", tone(100, 1))
    save(tmp_path / "high" / "b.wav", tone(900, 0.1))
    save(tmp_path / "high" / "quiet.wav", tone(900, 0.5) * 0)
    (tmp_path / "high" / "broken.wav").write_bytes(b"RIFF and no more")
    save(tmp_path / "stray.wav", tone(300, 1))
    data = open_sounds(tmp_path, length=4_000, sample_rate=RATE, labelled=True)
    _, labels = data[list(range(len(data)))]
    assert data.names == ("high", "low")
    assert labels.tolist() == [0, 1, 1]
    (note,) = data.notes
    for part in ("1 damaged (broken.wav)", "1 silent (quiet.wav)", "1 in no class's folder (stray.wav)"):
        assert part in note
    assert data.facts["sample_rate"] == RATE


def test_folders_that_hold_no_sounds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist; give a folder of sounds"):
        open_sounds(tmp_path / "nowhere", length=100, sample_rate=RATE)
    with pytest.raises(DataError, match=r"holds no sounds; looked for .aif, .aiff, .flac"):
        open_sounds(tmp_path, length=100, sample_rate=RATE)
    save(tmp_path / "low" / "a.wav", tone(100, 0.1))
    with pytest.raises(DataError, match="too few usable sounds to learn from"):
        open_sounds(tmp_path, length=800, sample_rate=RATE)
    with pytest.raises(DataError, match=r"All usable sounds in .* are of the class 'low'"):
        open_sounds(tmp_path, length=100, sample_rate=RATE, labelled=True)
