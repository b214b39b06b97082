"""Pictures: uint8 [height, width, channels] to PNG, JPEG or WebP; many of them as one grid."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from .atomic import write_bytes

__all__ = [
    "FORMATS",
    "check_format",
    "check_pictures",
    "encode_image",
    "enlarge",
    "factor_for",
    "grid",
    "layout",
    "write_image",
]

# suffix -> Pillow's name, the longest side that the format can hold, what makes it look right
FORMATS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "png": ("PNG", 2**31 - 1, {}),
    "jpg": ("JPEG", 65_500, {"quality": 95, "subsampling": 0}),
    "jpeg": ("JPEG", 65_500, {"quality": 95, "subsampling": 0}),
    "webp": ("WEBP", 16_383, {"quality": 95}),
}
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_COMFORTABLE = 300  # pixels; a smaller picture is hard to see on a screen
_GAP = 2
_GREY = 128  # stands out from black and from white pictures
_MOST_PIXELS = 2**28


def grid(images: NDArray[np.uint8], columns: int | None = None, scale: int | None = None) -> NDArray[np.uint8]:
    """One picture of many, row by row, with a thin gap between them.

    `images`: uint8 [n, height, width, channels]. `columns`: as many as make the picture about square, by default.
    `scale`: each pixel becomes scale x scale of them; by default 1, or what brings a small grid to 300 pixels.
    Returns uint8 [height, width, channels]; the gap is grey, and transparent where there is transparency.
    Raises ArgumentError.
    """
    check_pictures(images)
    count, height, width, channels = images.shape
    columns, scale, tall, wide = layout(count, height, width, columns, scale)
    canvas = np.full((tall, wide, channels), _GREY, np.uint8)
    if channels in (2, 4):
        canvas[..., -1] = 0
    for index, image in enumerate(enlarge(images, scale)):
        row, column = divmod(index, columns)
        top, left = row * (height * scale + _GAP), column * (width * scale + _GAP)
        canvas[top : top + height * scale, left : left + width * scale] = image
    return canvas


def layout(count: int, height: int, width: int, columns: int | None, scale: int | None) -> tuple[int, int, int, int]:
    """Columns, scale, height and width of the grid of `count` pictures. Raises ArgumentError when it cannot be."""
    for name, value in (("columns", columns), ("scale", scale)):
        if value is not None and value < 1:
            raise ArgumentError(f"{name} is {value}; it must be at least 1.")
    columns = min(columns or math.ceil(math.sqrt(count * height / width)), count)
    rows = -(-count // columns)
    scale = scale or factor_for(rows * height, columns * width)
    tall, wide = rows * (height * scale + _GAP) - _GAP, columns * (width * scale + _GAP) - _GAP
    if tall * wide > _MOST_PIXELS:
        raise ArgumentError(
            f"A grid of {count} pictures would be {wide} x {tall} pixels; write them into a folder instead."
        )
    return columns, scale, tall, wide


def enlarge(images: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Every pixel as scale x scale of them (nearest neighbour): uint8 [..., height, width, channels]."""
    if scale < 1:
        raise ArgumentError(f"scale is {scale}; it must be at least 1.")
    return images if scale == 1 else images.repeat(scale, axis=-3).repeat(scale, axis=-2)


def factor_for(height: int, width: int, comfortable: int = _COMFORTABLE) -> int:
    """The whole number that brings the longer side of a small picture to at least `comfortable` pixels."""
    return max(1, -(-comfortable // max(height, width)))


def write_image(path: str | Path, image: NDArray[np.uint8]) -> None:
    """Writes one picture, uint8 [height, width, channels], as .png, .jpg or .webp by the path's suffix.

    Raises ArgumentError for a suffix or array that is no picture, OutputError when it cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower().removeprefix(".")
    write_bytes(path, encode_image(image, suffix))


def encode_image(image: NDArray[np.uint8], format: str) -> memoryview:
    """The bytes of a picture file; `format` is a key of FORMATS. Raises ArgumentError."""
    from PIL import Image

    check_pictures(image[None])
    height, width, channels = image.shape
    check_format(format, height, width, channels)
    name, _, options = FORMATS[format]
    pixels = image[..., 0] if channels == 1 else image
    buffer = io.BytesIO()
    Image.frombytes(_MODES[channels], (width, height), pixels.tobytes()).save(buffer, name, **options)
    return buffer.getbuffer()


def check_format(format: str, height: int, width: int, channels: int) -> None:
    """Raises ArgumentError when a picture of this size cannot be written as this format."""
    if format not in FORMATS:
        raise ArgumentError(f"There is no picture format '{format}'; choose one of {', '.join(FORMATS)}.")
    name, longest, _ = FORMATS[format]
    if max(height, width) > longest:
        raise ArgumentError(
            f"A .{format} holds at most {longest} pixels a side, not {width} x {height}; choose .png, or a folder."
        )
    if channels in (2, 4) and name == "JPEG":
        raise ArgumentError("A .jpg cannot hold transparency; choose .png or .webp.")


def check_pictures(images: NDArray[Any]) -> None:
    """Raises ArgumentError unless `images` is uint8 [n, height, width, 1 to 4], with something in it."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in _MODES or 0 in images.shape:
        raise ArgumentError(
            "Pictures are uint8 [n, height, width, channels] with 1 to 4 channels, "
            f"not {images.dtype} {list(images.shape)}."
        )
