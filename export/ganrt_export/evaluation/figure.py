"""Samples beside the training pictures nearest to them, as one picture: the eye sees a copy that no figure tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ganrt.media.image import FORMATS, enlarge, factor_for, write_image

from .run import Exhibit

__all__ = ["draw", "suffixes", "write_figure"]

_SIDE = 56  # of a picture, at least
_GAP, _SPACE, _MARGIN, _TEXT = 3, 28, 16, 15
_PAPER, _INK, _MARK = (255, 255, 255), (40, 40, 40), (74, 127, 181)


def write_figure(path: Path, exhibits: Sequence[Exhibit]) -> None:
    """Writes the figure as .png, .jpg or .webp. Raises ArgumentError for another suffix, OutputError."""
    write_image(path, draw(exhibits))


def suffixes() -> tuple[str, ...]:
    """What a figure's file may end in."""
    return tuple(f".{name}" for name in FORMATS)


def draw(exhibits: Sequence[Exhibit]) -> NDArray[np.uint8]:
    """The exhibits side by side, uint8 [height, width, 3]; a row for each sample, which stands first in a frame."""
    panels = [_panel(exhibit) for exhibit in exhibits]
    width = sum(panel.width for panel in panels) + _SPACE * (len(panels) - 1) + 2 * _MARGIN
    height = max(panel.height for panel in panels) + 2 * _MARGIN
    canvas, left = Image.new("RGB", (width, height), _PAPER), _MARGIN
    for panel in panels:
        canvas.paste(panel, (left, _MARGIN))
        left += panel.width + _SPACE
    return np.asarray(canvas).copy()


def _panel(exhibit: Exhibit) -> Image.Image:
    scale = factor_for(exhibit.samples.shape[1], exhibit.samples.shape[2], _SIDE)
    samples, neighbours = (_coloured(enlarge(some, scale)) for some in (exhibit.samples, exhibit.neighbours))
    rows, columns, height, width = neighbours.shape[:4]
    head, apart = 2 * _TEXT + 10, 4 * _GAP
    font = ImageFont.load_default(_TEXT)
    needed = max(round(font.getlength(exhibit.title)), width + apart + columns * (width + _GAP) - _GAP)
    panel = Image.new("RGB", (needed, head + rows * (height + _GAP) - _GAP), _PAPER)
    pen = ImageDraw.Draw(panel)
    pen.text((0, 0), exhibit.title, _INK, font)
    pen.text((width + apart, _TEXT + 4), "nearest training pictures", _MARK, font)
    for row in range(rows):
        top = head + row * (height + _GAP)
        panel.paste(Image.fromarray(samples[row]), (0, top))
        for column in range(columns):
            panel.paste(Image.fromarray(neighbours[row, column]), (width + apart + column * (width + _GAP), top))
    middle = width + apart // 2 - 1
    pen.line([(middle, head), (middle, panel.height)], _MARK)
    return panel


def _coloured(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pictures if pictures.shape[-1] == 3 else np.ascontiguousarray(np.repeat(pictures, 3, axis=-1))
