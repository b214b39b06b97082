"""Pictures in a folder and the folders below it: which are usable, which are not and why."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganrt.errors import DataError, legible

from .decode import SUFFIXES, decode, measure
from .pictures import MEMORY, PictureFiles, Pictures
from .skipped import Skipped

__all__ = ["folder_pictures"]


def folder_pictures(source: Path, size: int, channels: int, *, labelled: bool = False) -> Pictures | PictureFiles:
    """The pictures of a folder, at least `size` a side, cropped to the square in the middle and resized.

    `labelled`: those in each folder directly below `source` are a class, called after that folder. Up to `MEMORY` bytes
    of them are kept in memory; of more, each is decoded when it is asked for. Raises DataError when fewer than two are
    usable, or all are of one class.
    """
    found = sorted(file for file in source.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise DataError(f"{source} holds no pictures; looked for {', '.join(sorted(SUFFIXES))}.")
    skipped = Skipped()
    with warnings.catch_warnings(action="ignore"):
        files = [file for file in found if _usable(file, size, source if labelled else None, skipped)]
        small = len(files) * channels * size**2 <= MEMORY
        decoded = _decode_all(files, size, channels, skipped) if small else {}
    files = list(decoded) if small else files
    if len(files) < 2:
        told = f"; skipped {skipped}" if skipped else ""
        raise DataError(f"{source} has too few usable pictures to learn from, {len(files)} of {len(found)}{told}.")
    labels, names = _classes(source, files) if labelled else (None, ())
    facts, notes = {"name": source.name}, [f"Skipped {skipped}."] if skipped else []
    if not small:
        return PictureFiles(files, size, channels, labels, names, facts, notes)
    return Pictures(np.stack(list(decoded.values())), labels, names, facts, notes)


def _usable(file: Path, size: int, classes_in: Path | None, skipped: Skipped) -> bool:
    """Is a file, by its header, a picture of at least `size` a side, in a folder of a class where that matters?"""
    if file.parent == classes_in:
        skipped.add(file, "in no class's folder")
        return False
    try:
        smaller = min(measure(file)) < size
    except DataError:
        skipped.add(file, "damaged")
        return False
    if smaller:
        skipped.add(file, f"smaller than {size} x {size}")
    return not smaller


def _decode_all(files: list[Path], size: int, channels: int, skipped: Skipped) -> dict[Path, NDArray[np.uint8]]:
    def image_of(file: Path) -> NDArray[np.uint8] | None:
        try:
            return decode(file, size, channels)
        except DataError:
            skipped.add(file, "damaged")
            return None

    with ThreadPoolExecutor() as threads:
        images = threads.map(image_of, files)
        return {file: image for file, image in zip(files, images, strict=True) if image is not None}


def _classes(source: Path, files: list[Path]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    names, labels = np.unique([file.relative_to(source).parts[0] for file in files], return_inverse=True)
    if len(names) < 2:
        raise DataError(
            f"All usable pictures in {source} are of the class '{legible(names[0], 60)}'; put those of each class in a "
            f"folder of their own: {source.name}/cat/1.png, {source.name}/dog/1.png."
        )
    return labels.astype(np.int64), tuple(str(name) for name in names)
