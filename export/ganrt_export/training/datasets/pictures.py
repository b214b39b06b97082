"""Pictures as training data: in memory where they fit, else decoded when a step asks for them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .decode import decode

__all__ = ["MEMORY", "PictureFiles", "Pictures", "to_range"]

MEMORY = 1 << 30  # bytes of uint8 pictures that are kept in memory


class Pictures:
    """Pictures uint8 [n, channels, height, width], with a class each (int64 [n]) where `labels` are given.

    A batch is (images float32 [batch, channels, height, width] in [-1, 1],), or (images, labels int64 [batch]).
    `names`: of the classes. `facts`: where they come from. `notes`: what their user should know.
    """

    decodes = False

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64] | None = None,
        names: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.images = torch.from_numpy(np.require(images, requirements="W"))  # a copy of what is read-only
        self.labels = None if labels is None else torch.from_numpy(labels)
        self.names, self.notes = tuple(names), tuple(notes)
        digest = hashlib.sha256(np.ascontiguousarray(images).data)
        digest.update(b"" if labels is None else labels.data)
        self.facts = {**(facts or {}), "images": len(images), "sha256": digest.hexdigest()}

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, ...]:
        return _batch(self.images[indices], self.labels, indices)


class PictureFiles:
    """As `Pictures`, each decoded from its file, cropped and resized when it is asked for.

    A batch raises DataError, naming the file, when one cannot be decoded any more.
    """

    decodes = True

    def __init__(
        self,
        files: Sequence[Path],
        size: int,
        channels: int,
        labels: NDArray[np.int64] | None = None,
        names: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self._files, self._size, self._channels = list(files), size, channels
        self.labels = None if labels is None else torch.from_numpy(labels)
        self.names, self.notes = tuple(names), tuple(notes)
        told = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
        self.facts = {**(facts or {}), "images": len(files), "sha256": hashlib.sha256(told.encode()).hexdigest()}

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, ...]:
        with warnings.catch_warnings(action="ignore"):
            images = np.stack([decode(self._files[index], self._size, self._channels) for index in indices])
        return _batch(torch.from_numpy(images), self.labels, indices)


def to_range(images: Tensor) -> Tensor:
    """uint8 0 .. 255 -> float32 -1 .. 1."""
    return images.float().div(127.5).sub(1)


def _batch(images: Tensor, labels: Tensor | None, indices: list[int]) -> tuple[Tensor, ...]:
    return (to_range(images),) if labels is None else (to_range(images), labels[indices])
