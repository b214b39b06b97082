"""A folder of pictures with a sub-folder for each class: what is in it, without decoding more than headers.

chest/normal/1.png  chest/normal/2.png  chest/pneumonia/1.png  ...
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ganrt.errors import DataError, legible

__all__ = ["LabelledFolder", "read_folder"]

_GREY = frozenset(("1", "L", "LA", "I", "F", "I;16", "I;16L", "I;16B"))  # Pillow's modes without a colour
_PARTS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))


@dataclass(frozen=True)
class LabelledFolder:
    """`pictures`: how many each class has. `files`: everything that is not hidden, relative to `root`.

    `size`: width and height, None where pictures differ. `grey`: none has a colour. `suffix`: the most frequent one,
    with its dot. `others`: those of `files` that are no pictures of a class.
    """

    root: Path
    pictures: dict[str, int]
    size: tuple[int, int] | None
    grey: bool
    suffix: str
    files: tuple[Path, ...]
    others: tuple[Path, ...]


def read_folder(root: Path, advance: Callable[[int], None] = lambda files: None) -> LabelledFolder:
    """Looks at every file of a folder; `advance` hears of each. Raises DataError when no sub-folder holds a picture."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{root} {what}; give a folder that has a sub-folder for each class.")
    sizes: Counter[tuple[int, int]] = Counter()
    modes: set[str] = set()
    pictures, suffixes = Counter[str](), Counter[str]()
    files, others = [], []
    for file in _walk(root):
        files.append(file)
        measured = _measure(root / file) if len(file.parts) > 1 else None
        if measured is None:
            others.append(file)
        else:
            extent, mode = measured
            sizes[extent] += 1
            modes.add(mode)
            suffixes[file.suffix.lower()] += 1
            pictures[file.parts[0]] += 1
        advance(1)
    if not pictures:
        raise DataError(
            f"{root} holds no pictures in sub-folders; put those of each class into a folder of their own: "
            f"{root.name}/cat/1.png, {root.name}/dog/1.png."
        )
    if {name.casefold() for name in pictures} <= _PARTS:
        first = next(iter(pictures))
        raise DataError(
            f"{root} is divided into {', '.join(pictures)}, not into classes; give the part to train on, such as "
            f"{root / first}."
        )
    (suffix, _), *_ = suffixes.most_common(1)
    size = next(iter(sizes)) if len(sizes) == 1 else None
    return LabelledFolder(root, dict(pictures), size, modes <= _GREY, suffix, tuple(files), tuple(others))


def _walk(root: Path) -> Iterator[Path]:
    """Every file below `root`, relative to it and in order; not the hidden ones, nor what lies in hidden folders."""

    def refuse(problem: OSError) -> None:
        raise DataError(f"{problem.filename} cannot be read: {problem.strerror}.") from problem

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield (Path(folder) / name).relative_to(root)


def _measure(file: Path) -> tuple[tuple[int, int], str] | None:
    """Width and height and Pillow's mode of a picture, as its header tells them; None for anything else."""
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(file) as picture:
            return picture.size, picture.mode
    except PermissionError as problem:
        raise DataError(f"{legible(file)} cannot be read: {problem.strerror}.") from problem
    except Exception:  # noqa: BLE001  a decoder may raise anything for what is no picture
        return None
