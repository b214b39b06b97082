"""Samples as pictures to look at while a generator learns: images as they are, sounds as waveforms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ganrt.spec import Audio, Image, Output
from ganrt_export.reference import to_pixels

__all__ = ["pictures"]

_WAVE = (48, 160)  # height and width of a waveform, pixels


def pictures(raw: NDArray[np.float32], output: Output) -> NDArray[np.uint8] | None:
    """uint8 [n, height, width, channels] of what a network gave, [n, ...]; None for what cannot be looked at."""
    match output:
        case Image():
            return to_pixels(raw, output)
        case Audio():
            return np.stack([_waveform(sound.mean(axis=0)) for sound in raw])
    return None


def _waveform(sound: NDArray[np.float32]) -> NDArray[np.uint8]:
    """White on black: in each column a line from the lowest to the highest value of its stretch, -1 .. 1 in all."""
    height, width = _WAVE
    rows = np.clip(np.rint((1 - sound) / 2 * (height - 1)), 0, height - 1).astype(int)
    stretches = np.array_split(rows, min(width, len(rows)))
    row = np.arange(height)[:, None]
    top, bottom = (np.array([end(stretch) for stretch in stretches]) for end in (np.min, np.max))
    return (((row >= top) & (row <= bottom)) * np.uint8(255))[..., None].astype(np.uint8)
