"""The real pictures that a generator is judged by: those it learnt from, and others that it has not seen.

A source with parts of its own gives both: MNIST's files, an .npz with train_images and test_images, a folder with
train and test in it. The pictures of any other, unless a second source is given, are split in two at random; what is
held out was then probably learnt from as well, and nothing can be said of memorising.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganrt.errors import ArgumentError, DataError, legible
from ganrt.spec import Image

from ..training.datasets import PictureFiles, Pictures, open_pictures
from ..training.datasets.decode import SUFFIXES, measure
from ..training.datasets.idx import holds_idx, idx_images

__all__ = ["Part", "RealPictures", "check_image", "open_data"]

_HELD_OUT = ("test", "val")  # names of the part that was not learnt from, the better first
_CHANNELS = (1, 3)
_MEASURED = 200  # files whose size is looked at


class Part:
    """Some of the pictures of a source, in a fixed random order: `part.pixels(0, 64)` are the first 64.

    `labels`: the class of each, int64 [n], or None.
    """

    def __init__(self, source: Pictures | PictureFiles, rows: NDArray[np.int64], names: Sequence[str]) -> None:
        self._source, self._rows = source, rows
        own = source.labels
        self.labels = None if own is None else _renamed(own.numpy()[rows], source.names, names)

    def __len__(self) -> int:
        return len(self._rows)

    def pixels(self, start: int, stop: int) -> NDArray[np.uint8]:
        """uint8 [stop - start, height, width, channels]. Raises DataError when a file cannot be decoded any more."""
        return self.chosen(np.arange(start, min(stop, len(self))))

    def chosen(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures at these places, as `pixels`."""
        images = self._source[self._rows[rows].tolist()][0]  # float32 in -1 .. 1
        pixels = ((images + 1) * 127.5).round().byte()
        return np.ascontiguousarray(pixels.numpy().transpose(0, 2, 3, 1))

    def at_most(self, count: int) -> Part:
        """The first `count` of them, or all."""
        part = Part.__new__(Part)
        part._source, part._rows = self._source, self._rows[:count]
        part.labels = None if self.labels is None else self.labels[:count]
        return part


class RealPictures(NamedTuple):
    """`training` and `held_out` pictures; `unseen`: the latter are a part of their own. `names` of the classes."""

    training: Part
    held_out: Part
    unseen: bool
    names: tuple[str, ...]
    facts: dict[str, Any]
    notes: tuple[str, ...]


def check_image(name: str, image: Image) -> None:
    """Raises ArgumentError when the pictures of a generator cannot be compared with what is read from files."""
    if image.height != image.width or image.height is None or image.channels not in _CHANNELS:
        raise ArgumentError(
            f"'{legible(name, 60)}' makes pictures of {image.width} x {image.height} with {image.channels} channels; "
            "only squares in grey (1) or colour (3) can be judged."
        )


def open_data(source: Path, held_out: Path | None, image: Image, *, labelled: bool | None = None) -> RealPictures:
    """The pictures at `source`, cropped and resized to those that a generator makes, and the held-out ones.

    `held_out`: another source for these. `labelled`: with the class of each; None, where the source has them.
    Raises DataError that says what is wrong with a source.
    """
    if not source.exists():
        raise DataError(f"{source} does not exist; give a folder of pictures, MNIST's files or an .npz, or 'mnist'.")
    if labelled is None:
        labelled = _has_labels(source) and (held_out is None or _has_labels(held_out))
    others = _others_of(source) if held_out is None else (held_out, "test")
    first = _read(*_first_of(source), image, labelled)
    names = first.names
    notes = [*_resized(source, image), *first.notes]
    if others is None:
        half = len(first) // 2
        order = _order(len(first))
        training, held = Part(first, order[half:], names), Part(first, order[:half], names)
        notes.append(
            "The data have no part of their own that was held out, so they were split in two at random; whether the "
            "generator memorised them cannot be told. Give such pictures with --held-out."
        )
        return RealPictures(training, held, False, names, dict(first.facts), tuple(notes))
    second = _read(*others, image, labelled)
    facts = {**first.facts, "held_out": dict(second.facts)}
    training, held = (Part(some, _order(len(some)), names) for some in (first, second))
    return RealPictures(training, held, True, names, facts, (*notes, *second.notes))


def _read(source: Path, part: str, image: Image, labelled: bool) -> Pictures | PictureFiles:
    assert image.height is not None
    return open_pictures(source, size=image.height, channels=image.channels, labelled=labelled, part=part)


def _others_of(source: Path) -> tuple[Path, str] | None:
    """Where the held-out pictures of a source are: a path and the name of its part; None when it has no such part."""
    if holds_idx(source):
        return (source, "test") if source.is_file() or any(source.glob("t10k-images*")) else None
    if source.suffix == ".npz":
        return next(((source, part) for part in _HELD_OUT if f"{part}_images" in _arrays(source)), None)
    inside = _parts_inside(source)
    return next(((source / part, "test") for part in _HELD_OUT if part in inside), None)


def _first_of(source: Path) -> tuple[Path, str]:
    inside = _parts_inside(source)
    return (source / "train" if "train" in inside else source), "train"


def _parts_inside(source: Path) -> set[str]:
    """`train` and the like, when a folder holds nothing else."""
    if not source.is_dir():
        return set()
    there = {entry.name for entry in source.iterdir() if entry.is_dir()}
    return there if {"train"} < there <= {"train", *_HELD_OUT} else set()


def _has_labels(source: Path) -> bool:
    if holds_idx(source):
        return True
    if source.suffix == ".npz":
        return any(name.endswith("labels") for name in _arrays(source))
    folder = _first_of(source)[0]
    pictures = [file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES] if folder.is_dir() else []
    inside = {file.relative_to(folder).parts[0] for file in pictures if file.parent != folder}
    return len(inside) > 1 and all(file.parent != folder for file in pictures)


def _arrays(file: Path) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as problem:
        raise DataError(f"{file} cannot be read as an .npz: {legible(problem)}.") from problem


def _renamed(labels: NDArray[np.int64], own: Sequence[str], names: Sequence[str]) -> NDArray[np.int64]:
    """Labels by the numbers of another part's classes. Raises DataError for a class that it does not have."""
    missing = [name for name in own if name not in names]
    if missing:
        raise DataError(
            f"The held-out pictures have the class '{legible(missing[0], 60)}', the training pictures do not."
        )
    return np.array([names.index(name) for name in own], np.int64)[labels]


def _order(count: int) -> NDArray[np.int64]:
    """The same random order each time; files come sorted by class."""
    return np.random.Generator(np.random.Philox(count)).permutation(count)


def _resized(source: Path, image: Image) -> list[str]:
    """What was done to pictures of another size than the generator's."""
    sizes = _sizes(source)
    if sizes == {(image.width, image.height)}:
        return []
    sides = [side for size in sizes for side in size]
    told = f"The real pictures, {min(sides)} to {max(sides)} pixels a side, were cropped to the square in the middle"
    return [f"{told} and resized to {image.width} x {image.height} (Lanczos); scores depend on how."]


def _sizes(source: Path) -> set[tuple[int, int]]:
    """Width and height of stored pictures; of some of them, where each has its own file."""
    folder, part = _first_of(source)
    if holds_idx(source):
        return {idx_images(source, part).images.shape[:0:-1]}
    if source.suffix == ".npz":
        with np.load(source, allow_pickle=False) as archive:
            shapes = [archive[name].shape for name in archive.files if name.endswith("images")]
        return {(shape[2], shape[1]) for shape in shapes[:1]}
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    found = set()
    for file in files[:: max(1, len(files) // _MEASURED)]:
        with suppress(DataError):  # skipped, and told so, by the reader
            found.add(measure(file))
    return found
