"""The frames of a film as pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganrt.errors import DataError, legible

from .decode import fit
from .pyav import pyav

__all__ = ["SUFFIXES", "video_images"]

SUFFIXES = frozenset((".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".mpg", ".mpeg"))


def video_images(file: Path, size: int, channels: int, memory: int) -> NDArray[np.uint8]:
    """Every frame of a film, cropped to the square in the middle: uint8 [n, channels, size, size].

    Of a film that would take more than `memory` bytes, every second, fourth, ... frame. Raises DataError when it cannot
    be decoded or is smaller than `size`, MissingExtra without PyAV.
    """
    av, frames, every = pyav("Reading a film"), [], 1
    try:
        with av.open(str(file)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if min(frame.width, frame.height) < size:
                    raise DataError(f"{file} is {frame.width} x {frame.height}, smaller than {size} x {size}.")
                if number % every:
                    continue
                frames.append(fit(frame.to_image(), size, channels))
                if len(frames) * frames[0].nbytes > memory:
                    frames, every = frames[::2], 2 * every
    except (av.FFmpegError, OSError, ValueError, IndexError) as problem:
        raise DataError(f"{file} cannot be decoded as a film: {legible(problem)}.") from problem
    if len(frames) < 2:
        raise DataError(f"{file} has {len(frames)} frames, too few to learn from.")
    return np.stack(frames)
