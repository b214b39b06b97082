"""Pictures in an .npz, as numpy and MedMNIST keep them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganrt.errors import DataError, legible

from .decode import fit

__all__ = ["ArrayImages", "fit_all", "npz_images"]


class ArrayImages(NamedTuple):
    """Images uint8 [n, channels, size, size]; labels int64 [n] and the names of the classes, where there are some."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None
    names: tuple[str, ...]


def npz_images(file: Path, size: int, channels: int, *, part: str = "train", labelled: bool = False) -> ArrayImages:
    """The pictures of an .npz: `images`, or the only uint8 array of rank 3 or 4; of MedMNIST's, `train_images`.

    They are uint8 [n, height, width] or [n, height, width, channels]; labels are numbers or words [n] or [n, 1], called
    `labels`. Raises DataError.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as archive:
            name = _name(archive, f"{part}_images", "images", file)
            stored = archive[name]
            key = name.replace("images", "labels")
            words = archive[key] if labelled and key in archive.files and key != name else None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as problem:
        raise DataError(f"{file} cannot be read as an .npz: {legible(problem)}.") from problem
    if stored.dtype != np.uint8 or stored.ndim not in (3, 4) or 0 in stored.shape:
        raise DataError(
            f"{file}: '{name}' is {stored.dtype} {list(stored.shape)}; pictures are uint8 [n, height, width] or "
            "[n, height, width, channels]."
        )
    if stored.ndim == 4 and stored.shape[3] not in (1, 3, 4):
        raise DataError(f"{file}: '{name}' has {stored.shape[3]} channels, last; pictures have 1, 3 or 4.")
    if labelled and words is None:
        raise DataError(f"{file} has no '{key}' beside '{name}'; this recipe needs the class of each picture.")
    images = fit_all(stored, size, channels, file)
    if words is None:
        return ArrayImages(images, None, ())
    if words.size != len(images) or words.dtype.kind not in "iubU":
        raise DataError(f"{file}: '{key}' is {words.dtype} {list(words.shape)}; it must be one class a picture.")
    names, labels = np.unique(words.reshape(-1), return_inverse=True)
    return ArrayImages(images, labels.astype(np.int64), tuple(str(one) for one in names))


def _name(archive: Any, *wanted: Any) -> str:
    *names, file = wanted
    found = [name for name in names if name in archive.files]
    other = [name for name in archive.files if archive[name].dtype == np.uint8 and archive[name].ndim in (3, 4)]
    if not found and len(other) != 1:
        listing = legible(", ".join(archive.files) or "nothing")
        raise DataError(f"{file} has no array '{names[0]}' or '{names[-1]}'; it has {listing}.")
    return str((found or other)[0])


def fit_all(stored: NDArray[np.uint8], size: int, channels: int, source: Path) -> NDArray[np.uint8]:
    """Pictures uint8 [n, height, width] or [n, height, width, channels] as `fit` makes them of each.

    Those of the right size and colour are not touched. Raises DataError when they are smaller than `size`.
    """
    height, width = stored.shape[1:3]
    if min(height, width) < size:
        raise DataError(
            f"{source}: its pictures are {width} x {height}, smaller than {size} x {size}; ask for "
            f"--size {min(height, width)} or less, where the recipe has a choice."
        )
    planes = stored if stored.ndim == 4 else stored[..., None]
    if planes.shape[1:] == (size, size, channels):
        return np.ascontiguousarray(planes.transpose(0, 3, 1, 2))
    flat = planes[..., 0] if planes.shape[3] == 1 else planes
    return np.stack([fit(Image.fromarray(picture), size, channels) for picture in flat])
