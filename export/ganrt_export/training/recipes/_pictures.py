"""What recipes for any pictures have in common: their colour and their sides."""

from __future__ import annotations

from pathlib import Path

from ganrt.errors import ArgumentError

from ..datasets import PictureFiles, Pictures, open_pictures
from ..recipe import Data

__all__ = ["channels_of", "first_side", "open_grey_or_coloured"]

_SIDES = (28, 32, 64, 128)


def open_grey_or_coloured(source: Path, size: int, *, labelled: bool = False) -> Pictures | PictureFiles:
    """`open_pictures` in grey where no picture at `source` has a colour. Raises DataError."""
    coloured = open_pictures(source, size=size, channels=3, labelled=labelled)
    if isinstance(coloured, Pictures) and bool((coloured.images == coloured.images[:, :1]).all()):
        return open_pictures(source, size=size, channels=1, labelled=labelled)
    return coloured


def channels_of(data: Data) -> int:
    """1 for grey pictures, 3 for coloured ones."""
    images, *_ = data[[0]]
    return images.shape[1]


def first_side(size: int) -> int:
    """The side, 7 or 8, whose doubling gives pictures of `size`. Raises ArgumentError for other sizes than these.

    >>> [first_side(size) for size in (28, 32, 64, 128)]
    [7, 8, 8, 8]
    """
    if size not in _SIDES:
        raise ArgumentError(f"The size is {size}; this recipe makes squares of {', '.join(map(str, _SIDES))} pixels.")
    return 7 if size == 28 else 8
