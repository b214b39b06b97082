"""Sounds in an .npz: the same stretches as from files, and what is refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from ganrt.errors import DataError
from ganrt_export.training.datasets import open_sounds
from ganrt_export.training.datasets.sound_arrays import npz_sounds

RATE = 8_000


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "sounds.npz", **arrays)
    return folder / "sounds.npz"


@given(lengths=st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_offsets_cut_the_samples_into_sounds(lengths: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    samples = np.arange(sum(lengths), dtype=np.int16)
    file = save(tmp_path_factory.mktemp("npz"), samples=samples, offsets=np.cumsum([0, *lengths]))
    sounds = npz_sounds(file, RATE)
    assert [len(sound) for sound in sounds] == lengths
    np.testing.assert_array_equal(np.concatenate(sounds), samples)


def test_they_are_the_stretches_of_the_same_sounds_in_files(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    sounds = [draws.integers(-9_000, 9_000, length).astype(np.int16) for length in (300, 1_000, 2_500)]
    (tmp_path / "files").mkdir()
    for number, sound in enumerate(sounds):
        soundfile.write(tmp_path / "files" / f"{number}.wav", sound, RATE)
    ends = np.cumsum([0, *map(len, sounds)])
    packed = open_sounds(save(tmp_path, samples=np.concatenate(sounds), offsets=ends), length=1_000, sample_rate=RATE)
    unpacked = open_sounds(tmp_path / "files", length=1_000, sample_rate=RATE)
    np.testing.assert_array_equal(packed.sounds, unpacked.sounds)
    assert packed.facts["sha256"] == unpacked.facts["sha256"]


def test_a_row_each_will_do_too(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(-9_000, 9_000, (5, 64)).astype(np.int16)
    opened = open_sounds(save(tmp_path, sounds=rows, sample_rate=RATE), length=64, sample_rate=RATE)
    np.testing.assert_array_equal(opened.sounds, rows)


WHOLE = np.ones(8, np.int16)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"other": WHOLE}, "has neither 'sounds' nor 'samples' and 'offsets'"),
        ({"samples": WHOLE}, "has neither 'sounds' nor"),
        ({"sounds": WHOLE}, r"'sounds' is int16 \[8\]; it must be int16, with 2 sizes"),
        ({"samples": WHOLE / 2, "offsets": np.array([0, 8])}, "'samples' is float64"),
        ({"samples": WHOLE, "offsets": np.array([0, 9])}, "'offsets' must be whole numbers in order, .* the 8 samples"),
        ({"samples": WHOLE, "offsets": np.array([-1, 8])}, "'offsets' must be"),
        ({"samples": WHOLE, "offsets": np.array([0, 5, 3])}, "'offsets' must be"),
        ({"samples": WHOLE, "offsets": np.array([0.0, 8.0])}, "'offsets' must be"),
        ({"sounds": WHOLE[None], "sample_rate": 16_000}, "is at 16000 Hz, not at 8000; set sample_rate"),
        ({"sounds": np.zeros((3, 8), np.int16)}, "too few usable sounds"),
        ({"sounds": np.array([WHOLE, None], object)}, "cannot be read as an .npz"),
    ],
)
def test_what_is_no_sound_is_refused(arrays: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=sentence):
        open_sounds(save(tmp_path, **arrays), length=8, sample_rate=RATE)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sounds.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"cannot be read as an \.npz"):
        open_sounds(tmp_path / "sounds.npz", length=8, sample_rate=RATE)
