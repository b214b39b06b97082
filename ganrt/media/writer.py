"""Where samples go: one picture, one file of arrays, a folder of many files. Decided before the first is made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError
from ..spec import Audio, Image, Output, Table, Tensor
from .array import FORMATS as ARRAYS
from .array import array_writer
from .atomic import Replacement, make_folder, write_bytes
from .audio import FORMATS as SOUNDS
from .audio import encode_audio
from .image import FORMATS as PICTURES
from .image import check_format, encode_image, enlarge, grid, layout
from .table import FORMATS as TABLES
from .table import table_writer
from .video import FORMATS as FILMS
from .video import check_film, encode_video

__all__ = ["Writer", "choose_writer", "slug"]

Append: TypeAlias = Callable[[NDArray[Any]], None]
Beside: TypeAlias = Callable[[], Mapping[str, NDArray[Any]]]
Open: TypeAlias = Callable[[], AbstractContextManager[Append]]


@dataclass(frozen=True)
class Writer:
    """`path`: the file or folder to be made. `open()`: a context that gives a function to append batches, [n, ...].

    A file appears when the context ends well. Raises OutputError when it cannot be written.
    """

    path: Path
    open: Open


def choose_writer(
    target: str | None,
    output: Output,
    count: int,
    *,
    name: str,
    seed: int = 0,
    start: int = 0,
    labels: Sequence[int | str] = (),
    format: str | None = None,
    columns: int | None = None,
    scale: int | None = None,
    fps: float | None = None,
    beside: Beside | None = None,
) -> Writer:
    """The writer for `count` samples of a generator with this output.

    `target`: a file, whose suffix is the format; a folder, when it ends in / or is one; None for `name` and the usual
    suffix. A picture file gets all samples in a grid of `columns`, `scale` times enlarged. Files in a folder are named
    after `name`, `seed`, the label in `labels` (cycled by sample index; empty when drawn) and the sample's index.
    `fps`: the samples are pictures of a film, which may be written as .gif or .mp4.
    `beside`: makes the arrays that go into an .npz beside the samples. Raises ArgumentError for what cannot be.
    """
    singles, film = _FORMATS[type(output)], fps if isinstance(output, Image) else None
    whole = tuple(dict.fromkeys((*(() if film is None else FILMS), *ARRAYS)))
    if target is None:
        suffix = format or (singles if film is None else FILMS)[0]
        several_sounds = isinstance(output, Audio) and count > 1 and suffix in SOUNDS
        target = f"{slug(name)}/" if several_sounds else f"{slug(name)}.{suffix}"
    path = Path(target)
    if not target.endswith(("/", os.sep)) and not os.path.isdir(target):  # noqa: PTH112  Path's raises for a long name
        suffix = _suffix(path, format, (*singles, *whole))
        return Writer(path, _one_file(path, suffix, output, count, columns, scale, film, beside))
    suffix = _known(format or singles[0], (*singles, *whole))
    files = _Files(path, f"{slug(name)}-seed{seed}", suffix, start, count, labels)
    if suffix in whole or isinstance(output, Table):
        inside = path / f"{files.stem}.{suffix}"
        open_file = _one_file(inside, suffix, output, count, columns, scale, film, beside)
        return Writer(inside, partial(_made_first, path, open_file))
    if isinstance(output, Audio):
        return Writer(path, partial(_folder, files, lambda one: encode_audio(one, output.sample_rate, suffix)))
    assert isinstance(output, Image)  # a tensor has whole-file formats only
    _, scale, tall, wide = layout(1, *_extent(output), 1, 1 if scale is None else scale)
    check_format(suffix, tall, wide, output.channels)
    return Writer(path, partial(_folder, files, lambda one: encode_image(enlarge(one, scale), suffix)))


def _one_file(
    path: Path,
    suffix: str,
    output: Output,
    count: int,
    columns: int | None,
    scale: int | None,
    fps: float | None,
    beside: Beside | None,
) -> Open:
    if suffix in ARRAYS:
        return partial(array_writer, path, count, beside)
    match output:
        case Image() if fps is not None and suffix in FILMS:
            check_film(suffix, *_extent(output), fps, scale)
            return partial(_at_once, path, lambda every: encode_video(every, suffix, fps, scale))
        case Image():
            _, _, tall, wide = layout(count, *_extent(output), columns, scale)
            check_format(suffix, tall, wide, output.channels)
            return partial(_at_once, path, lambda every: encode_image(grid(every, columns, scale), suffix))
        case Audio(sample_rate=sample_rate):
            if count > 1:
                raise ArgumentError(f"{path} holds one sound, not {count}; give a folder instead, ending in /.")
            return partial(_at_once, path, lambda every: encode_audio(every[0], sample_rate, suffix))
        case Table(columns=names):
            return partial(table_writer, path, names)
        case Tensor():
            raise AssertionError("a tensor has array formats only, and those were served above")


def _extent(image: Image) -> tuple[int, int]:
    """Height and width; what is drawn from latents has them fixed."""
    return image.height or 1, image.width or 1


def slug(text: str) -> str:
    """A file name that is safe anywhere, from a name that a stranger chose.

    >>> slug("../../my faces"), slug("..")
    ('my-faces', 'samples')
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")[:80] or "samples"


@dataclass(frozen=True)
class _Files:
    """Names such as digits-seed7-label3-000012.png."""

    folder: Path
    stem: str
    suffix: str
    start: int
    count: int
    labels: Sequence[int | str]

    def name(self, index: int) -> str:
        digits = max(6, len(str(self.start + self.count - 1)))
        label = f"-label{slug(str(self.labels[index % len(self.labels)]))}" if self.labels else ""
        return f"{self.stem}{label}-{index:0{digits}d}.{self.suffix}"


@contextmanager
def _folder(files: _Files, encode: Callable[[NDArray[Any]], memoryview]) -> Iterator[Append]:
    """A file each, every one whole, so that a stop half-way leaves only whole files."""
    index = files.start

    def append(batch: NDArray[Any]) -> None:
        nonlocal index
        for sample in batch:
            write_bytes(files.folder / files.name(index), encode(sample))
            index += 1

    make_folder(files.folder)
    yield append


@contextmanager
def _made_first(folder: Path, open_file: Open) -> Iterator[Append]:
    make_folder(folder)
    with open_file() as append:
        yield append


@contextmanager
def _at_once(path: Path, encode: Callable[[NDArray[Any]], memoryview]) -> Iterator[Append]:
    """A file that needs all samples before its first byte."""
    batches: list[NDArray[Any]] = []
    with Replacement(path) as file:  # opened first: a place that cannot be written is found before the work
        yield batches.append
        file.write(encode(np.concatenate(batches)))


_FORMATS: dict[type[Output], tuple[str, ...]] = {
    Image: tuple(PICTURES),
    Audio: tuple(SOUNDS),
    Table: TABLES,
    Tensor: tuple(ARRAYS),
}


def _suffix(path: Path, format: str | None, known: tuple[str, ...]) -> str:
    suffix = path.suffix.lower().removeprefix(".")
    if not suffix:
        raise ArgumentError(f"'{path}' does not say what to write: end it in .{known[0]}, or in / for a folder.")
    if format is not None and format != suffix:
        raise ArgumentError(f"'{path}' and the format '{format}' disagree; leave one out.")
    return _known(suffix, known)


def _known(suffix: str, known: tuple[str, ...]) -> str:
    if suffix not in known:
        raise ArgumentError(f"These samples cannot be written as '{suffix}'; choose one of {', '.join(known)}.")
    return suffix
