"""Pictures in pairs as training data: what a network is given, and what it should make of it."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganrt.errors import DataError

from .decode import SUFFIXES, decode, measure
from .pictures import to_range
from .skipped import Skipped

__all__ = ["Pairs", "open_pairs"]

_FOLDERS = (("input", "target"), ("A", "B"), ("a", "b"))


class Pairs:
    """Pairs of pictures, each uint8 [n, channels, size, size]; the two sides may differ in channels and size.

    A batch is (inputs, targets), float32 [batch, channels, size, size] in [-1, 1].
    """

    decodes = False

    def __init__(self, inputs: NDArray[np.uint8], targets: NDArray[np.uint8], name: str, notes: list[str]) -> None:
        self.inputs, self.targets = torch.from_numpy(inputs), torch.from_numpy(targets)
        digest = hashlib.sha256(inputs.data)
        digest.update(targets.data)
        self.facts: dict[str, Any] = {"name": name, "pairs": len(inputs), "sha256": digest.hexdigest()}
        self.notes = notes

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, ...]:
        return to_range(self.inputs[indices]), to_range(self.targets[indices])


def open_pairs(source: Path, *, size: int, channels: tuple[int, int] = (3, 3)) -> Pairs:
    """Pairs of pictures of the same name in two folders below `source`: input and target, or A and B.

    `channels`: of the inputs and of the targets, 1 (grey) or 3. Both are cropped to the square in the middle and
    resized to `size`. Raises DataError.
    """
    folders = next((two for two in _FOLDERS if all((source / one).is_dir() for one in two)), None)
    if folders is None:
        raise DataError(f"{source} has no folders 'input' and 'target' (or A and B), with pictures of the same names.")
    sides = [{file.stem: file for file in sorted((source / one).iterdir()) if _picture(file)} for one in folders]
    skipped, inputs, targets = Skipped(), [], []
    with warnings.catch_warnings(action="ignore"):
        for stem, file in sorted({**sides[1], **sides[0]}.items()):
            if stem not in sides[0] or stem not in sides[1]:
                skipped.add(file, "without a partner")
            elif (pair := _pair(sides[0][stem], sides[1][stem], size, channels, skipped)) is not None:
                inputs.append(pair[0])
                targets.append(pair[1])
    if len(inputs) < 2:
        told = f"; skipped {skipped}" if skipped else ""
        raise DataError(f"{source} has too few usable pairs to learn from{told}.")
    return Pairs(np.stack(inputs), np.stack(targets), source.name, [f"Skipped {skipped}."] if skipped else [])


def _picture(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and file.is_file()


def _pair(
    first: Path, second: Path, size: int, channels: tuple[int, int], skipped: Skipped
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    for file in (first, second):
        try:
            if min(measure(file)) < size:
                skipped.add(file, f"smaller than {size} x {size}")
                return None
        except DataError:
            skipped.add(file, "damaged")
            return None
    try:
        return decode(first, size, channels[0]), decode(second, size, channels[1])
    except DataError:
        skipped.add(first, "damaged")
        return None
