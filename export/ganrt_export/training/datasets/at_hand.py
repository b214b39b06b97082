"""Real data that are at hand without a network, for a trial of a recipe in seconds: they come with packages.

digits    1,797 handwritten digits of scikit-learn (UCI, CC BY 4.0), 8 x 8 enlarged to 28 x 28, in MNIST's format
photos    64 x 64 patches of the two photos in scikit-learn (CC BY), a folder each
pairs     the same patches, grey as input and in colour as target
sounds    four channels of the EEG recording in matplotlib, as WAV files of 8 kHz

The packages are not imported, which would take longer than a recipe's trial trains: their files are read.
"""

from __future__ import annotations

import gzip
import wave
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ganrt.errors import MissingExtra

__all__ = ["KINDS", "prepare"]

_PATCH = 64
_PROJECTS = {"sklearn": "scikit-learn", "matplotlib": "matplotlib"}  # package -> what it is called in the registry


def prepare(kind: str, folder: Path) -> Path:
    """Writes data of a kind into `folder` and returns what a recipe is to be given. Raises MissingExtra."""
    folder.mkdir()
    return KINDS[kind](folder)


def _digits(folder: Path) -> Path:
    with gzip.open(_file("sklearn", "datasets/data/digits.csv.gz"), "rt") as table:
        rows = np.loadtxt(table, np.uint8, delimiter=",")  # 64 values in 0 .. 16, then the class
    small, labels = (rows[:, :-1] * 15.9).astype(np.uint8).reshape(-1, 8, 8), rows[:, -1]
    large = (Image.fromarray(image).resize((28, 28), Image.Resampling.BICUBIC) for image in small)
    images = np.stack([np.asarray(image) for image in large])
    for prefix, part in (("train", slice(0, 1500)), ("t10k", slice(1500, None))):
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(_idx(images[part]))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(_idx(labels[part]))
    return folder


def _photos(folder: Path) -> Path:
    for name, photo in _pictures().items():
        (folder / name).mkdir()
        for number, patch in enumerate(_patches(photo)):
            Image.fromarray(patch).save(folder / name / f"{number:03}.png")
    return folder


def _pairs(folder: Path) -> Path:
    for side, mode in (("input", "L"), ("target", "RGB")):
        (folder / side).mkdir()
        for name, photo in _pictures().items():
            for number, patch in enumerate(_patches(photo)):
                Image.fromarray(patch).convert(mode).save(folder / side / f"{name}{number:03}.png")
    return folder


def _sounds(folder: Path) -> Path:
    channels = np.fromfile(_file("matplotlib", "mpl-data/sample_data/eeg.dat"), np.float64).reshape(800, 4).T
    for number, channel in enumerate(channels):
        signal = np.tile(channel / np.abs(channel).max(), 12)  # 800 samples are shorter than what a recipe makes
        with wave.open(str(folder / f"channel{number}.wav"), "wb") as sound:
            sound.setparams((1, 2, 8_000, len(signal), "NONE", "not compressed"))
            sound.writeframes((signal * 32767).astype("<i2").tobytes())
    return folder


def _pictures() -> dict[str, NDArray[np.uint8]]:
    return {
        name: np.asarray(Image.open(_file("sklearn", f"datasets/images/{name}.jpg"))) for name in ("china", "flower")
    }


def _patches(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = photo.shape[0] // _PATCH, photo.shape[1] // _PATCH
    tiles = photo[: rows * _PATCH, : columns * _PATCH].reshape(rows, _PATCH, columns, _PATCH, 3)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(-1, _PATCH, _PATCH, 3)


def _file(package: str, inside: str) -> Path:
    """A file that comes with a package. Raises MissingExtra where it does not."""
    found = find_spec(package)
    file = None if found is None or found.origin is None else Path(found.origin).parent / inside
    if file is None or not file.is_file():
        raise MissingExtra(f"--smoke trains on data that come with {_PROJECTS[package]}: pip install 'ganrt[train]'")
    return file


def _idx(array: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


KINDS: dict[str, Callable[[Path], Path]] = {"digits": _digits, "photos": _photos, "pairs": _pairs, "sounds": _sounds}
