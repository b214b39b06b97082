"""Sounds in an .npz: one after the other in one array, or a row each."""

from __future__ import annotations

import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganrt.errors import DataError, legible

__all__ = ["npz_sounds"]


def npz_sounds(file: Path, sample_rate: int) -> list[NDArray[np.int16]]:
    """The sounds of an .npz, int16 [samples] each, which are at `sample_rate` unless its `sample_rate` says otherwise.

    Either `sounds` int16 [n, length]; or `samples` int16 [all of them], sound i of which runs from `offsets`[i] to
    `offsets`[i + 1]. Raises DataError, also for another rate: resampling is for sound files.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            names = ("sounds", "samples", "offsets", "sample_rate")
            arrays = {name: archive[name] for name in names if name in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as problem:
        raise DataError(f"{file} cannot be read as an .npz: {legible(problem)}.") from problem
    rate = arrays.get("sample_rate", np.array(sample_rate))
    if rate.size != 1 or rate.item() != sample_rate:
        raise DataError(
            f"{file} is at {legible(rate, 20)} Hz, not at {sample_rate}; set sample_rate, or give sound files."
        )
    if "sounds" in arrays:
        return list(_checked(file, "sounds", arrays["sounds"], 2))
    if "samples" not in arrays or "offsets" not in arrays:
        raise DataError(f"{file} has neither 'sounds' nor 'samples' and 'offsets'.")
    samples, offsets = _checked(file, "samples", arrays["samples"], 1), arrays["offsets"]
    ends = offsets.ndim == 1 and offsets.dtype.kind in "iu" and len(offsets) > 1
    if not ends or offsets[0] < 0 or offsets[-1] > len(samples) or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise DataError(f"{file}: 'offsets' must be whole numbers in order, from 0 up to the {len(samples)} samples.")
    return [samples[start:end] for start, end in pairwise(offsets.tolist())]


def _checked(file: Path, name: str, array: NDArray[Any], rank: int) -> NDArray[np.int16]:
    if array.dtype != np.int16 or array.ndim != rank:
        raise DataError(f"{file}: '{name}' is {array.dtype} {list(array.shape)}; it must be int16, with {rank} sizes.")
    return array
