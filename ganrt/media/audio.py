"""Sounds: float32 [channels, length] to WAV or FLAC, through libsndfile. Needs ganrt[media]."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, MissingExtra
from .atomic import write_bytes

__all__ = ["FORMATS", "encode_audio", "write_audio"]

FORMATS = {"wav": "WAV", "flac": "FLAC"}


def write_audio(path: str | Path, sound: NDArray[np.float32], sample_rate: int) -> None:
    """Writes one sound, float32 [channels, length] in -1 .. 1, as .wav or .flac, 16 bits a value.

    Values beyond -1 .. 1 are clipped. Raises ArgumentError for a suffix or array that is no sound, MissingExtra
    without soundfile, OutputError when it cannot be written.
    """
    path = Path(path)
    write_bytes(path, encode_audio(sound, sample_rate, path.suffix.lower().removeprefix(".")))


def encode_audio(sound: NDArray[np.float32], sample_rate: int, format: str) -> memoryview:
    """The bytes of a sound file; `format` is a key of FORMATS. Raises ArgumentError, MissingExtra."""
    if format not in FORMATS:
        raise ArgumentError(f"There is no sound format '{format}'; choose one of {', '.join(FORMATS)}.")
    if sound.ndim != 2 or sound.dtype.kind != "f" or not np.isfinite(sound).all():
        raise ArgumentError(
            f"A sound is float32 [channels, length] without NaN or infinity, not {sound.dtype} {list(sound.shape)}."
        )
    soundfile = _soundfile()
    buffer = io.BytesIO()  # libsndfile hides what a disk refuses; Python's own file does not
    try:
        soundfile.write(buffer, sound.T, sample_rate, subtype="PCM_16", format=FORMATS[format])
    except soundfile.SoundFileError as problem:
        raise ArgumentError(f"A .{format} file cannot hold this sound: {problem}") from problem
    return buffer.getbuffer()


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as problem:  # OSError: the package is there, the C library is not
        raise MissingExtra("Writing sound needs soundfile; install it with: pip install 'ganrt[media]'") from problem
    return soundfile
