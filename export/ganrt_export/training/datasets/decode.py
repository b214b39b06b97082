"""One picture file -> a square of pixels. What Pillow warns of is its callers' to silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ganrt.errors import DataError, legible

__all__ = ["SUFFIXES", "decode", "fit", "measure"]

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))
_MODES = {1: "L", 3: "RGB"}


def measure(file: Path) -> tuple[int, int]:
    """Width and height that a file's header tells. Raises DataError when it is no picture."""
    try:
        with Image.open(file) as picture:
            return picture.size
    except Exception as problem:  # a decoder may raise anything for a damaged file
        raise DataError(f"{file} is no picture: {legible(problem)}.") from problem


def decode(file: Path, size: int, channels: int) -> NDArray[np.uint8]:
    """A picture file as uint8 [channels, size, size]: `fit` says how. Raises DataError when it cannot be decoded."""
    try:
        with Image.open(file) as picture:
            picture.draft(_MODES[channels], (2 * size, 2 * size))  # a large JPEG decodes to a fraction of its size
            return fit(picture, size, channels)
    except Exception as problem:
        raise DataError(f"{file} cannot be decoded: {legible(problem)}.") from problem


def fit(picture: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """The largest square in the middle of a picture, resized to uint8 [channels, size, size], grey or colour.

    Turned as its EXIF says; transparency lies on white; of an animation the first frame.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits a pixel
        picture = Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    square = ImageOps.fit(picture.convert(_MODES[channels]), (size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(square)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
