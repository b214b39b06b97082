"""Features of a classifier that was trained here: the judge of digits, or one that learns the classes of your data.

Both are kept in ganrt's cache as safetensors. Copy that file to another machine and name it as the features there, and
scores compare: trained anew elsewhere, rounding makes another network.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ganrt import cache
from ganrt.errors import ArgumentError

from ...training.datasets import LabelledImages, fetch_mnist, mnist
from ...training.datasets.pictures import MEMORY
from ...training.judge import Classifier, JudgeSettings, features, judge, load
from ..data import RealPictures

__all__ = ["ClassifierFeatures", "digits", "from_file", "trained"]

_DIGITS = tuple("0123456789")
_LEAST_STEPS = 500  # of a classifier of your data


class ClassifierFeatures:
    """The penultimate features of a classifier of pictures of one size."""

    def __init__(self, network: Classifier, name: str, says: str, names: Sequence[str]) -> None:
        self._network, self.name, self.says, self.names = network, name, says, tuple(names)
        self.dimensions = network.score.in_features
        state = network.state_dict()
        told = b"".join(key.encode() + state[key].cpu().contiguous().numpy().tobytes() for key in sorted(state))
        self.digest = hashlib.sha256(told).hexdigest()

    def embed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        channels, size = self._network.channels, self._network.size
        if pictures.shape[1:] != (size, size, channels):
            height, width, other = pictures.shape[1:]
            raise ArgumentError(
                f"The features '{self.name}' are of pictures of {size} x {size} with {channels} channels, not of "
                f"{width} x {height} with {other}; choose others with --features."
            )
        return features(self._network, np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))

    def classify(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        with torch.inference_mode():
            answers: NDArray[np.int64] = self._network.score(torch.from_numpy(features)).argmax(dim=1).numpy()
        return answers


def digits(tell: Callable[[str], None]) -> ClassifierFeatures:
    """The judge of digits, trained on MNIST the first time. Raises DataError when that cannot be had."""
    tell("reading MNIST")
    data = mnist(fetch_mnist(cache.folder() / "data"), "train")
    network = judge(cache.folder() / "judge", data, on_step=_told(tell, "training the judge of digits"))
    return ClassifierFeatures(network, "digits", "ganrt's classifier of digits, trained on MNIST here", _DIGITS)


def trained(real: RealPictures, epochs: int | None, tell: Callable[[str], None]) -> ClassifierFeatures:
    """A classifier of the classes of the training pictures, trained on them the first time.

    `epochs`: those of the judge by default, and more of few pictures. Raises ArgumentError when they have no classes.
    """
    labels, names = real.training.labels, real.names
    if labels is None:
        raise ArgumentError(
            "--features train needs the class of each picture: a folder for each class, MNIST's files, or an .npz with "
            "'labels'; for pictures without, choose other features."
        )
    tell("reading the pictures")
    picture_bytes = real.training.pixels(0, 1).nbytes
    some = real.training.at_most(max(1, MEMORY // picture_bytes))
    images = np.ascontiguousarray(some.pixels(0, len(some)).transpose(0, 3, 1, 2))
    assert some.labels is not None
    data, settings = LabelledImages(images, some.labels), _settings(len(images), epochs)
    told = hashlib.sha256(images.tobytes() + some.labels.tobytes() + repr((names, settings)).encode()).hexdigest()
    network = judge(
        cache.folder() / "judge" / told[:16],
        data,
        settings,
        on_step=_told(tell, "training a classifier of the data"),
        classes=len(names),
    )
    says = f"a classifier of the {len(names)} classes of {len(some):,} training pictures, trained here"
    return ClassifierFeatures(network, "train", says, names)


def from_file(path: Path, names: Sequence[str]) -> ClassifierFeatures:
    """One that was kept by either. Raises CheckpointError when the file holds none."""
    network = load(path)
    known = names if len(names) == network.score.out_features else ()
    return ClassifierFeatures(network, path.name, f"the classifier in {path.name}", known)


def _settings(pictures: int, epochs: int | None) -> JudgeSettings:
    """The judge's, with the average of its weights over the last tenth of the steps, however few these are."""
    usual = JudgeSettings()
    epochs = epochs or max(usual.epochs, math.ceil(_LEAST_STEPS * usual.batch / pictures))
    steps = epochs * math.ceil(pictures / usual.batch)
    return replace(usual, epochs=epochs, ema_decay=min(usual.ema_decay, max(0.0, 1 - 10 / steps)))


def _told(tell: Callable[[str], None], what: str) -> Callable[[int, int], None]:
    return lambda step, steps: tell(f"{what}, {step / steps:.0%}")
