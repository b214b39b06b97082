"""The networks that scores can be measured in, by name or file; which one it was is part of every score.

digits       the judge of digits
train        a classifier of the classes of your data, trained here
inception    Inception-V3, the features of FID, where its weights are at hand; or a .pth of them
random       random weights, where there is nothing else
FILE.onnx    any network
FILE.safetensors    a classifier that digits or train left in the cache, here or elsewhere
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ganrt.errors import ArgumentError, legible

from ...training.datasets import MNIST_FACTS
from ..data import RealPictures
from .base import Features
from .classifier import ClassifierFeatures, digits, from_file, trained
from .graph import GraphFeatures
from .inception import InceptionFeatures, find_weights
from .random import RandomFeatures

__all__ = ["NAMES", "ClassifierFeatures", "Features", "open_features"]

NAMES = ("digits", "train", "inception", "random")
_WEIGHTS = (".pth", ".pt")


def open_features(
    name: str,
    real: RealPictures,
    *,
    value_range: tuple[float, float] | None = None,
    epochs: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Features:
    """The network called `name`, or in the file `name`; "auto": digits for MNIST, else train where there are classes.

    `value_range`: what pixels become, for an .onnx that takes float32; `epochs`: of train, 12 or more by default.
    Raises ArgumentError when there is no such network or it cannot be had, MissingExtra, CheckpointError, DataError.
    """
    if name == "auto":
        name = _chosen(real)
    path, suffix = Path(name), Path(name).suffix.lower()
    if value_range is not None and suffix != ".onnx":
        raise ArgumentError("--feature-range is for features in an .onnx file; leave it out.")
    if epochs is not None and name != "train":
        raise ArgumentError(f"--epochs is for --features train, and not for {legible(name, 80)}; leave it out.")
    if name not in NAMES and not path.is_file():
        raise ArgumentError(
            f"There are no features '{legible(name, 80)}'; choose {', '.join(NAMES)}, or a file: .onnx, .safetensors "
            "of ganrt's classifiers, .pth of Inception-V3."
        )
    match name:
        case "digits":
            return digits(tell)
        case "train":
            return trained(real, epochs, tell)
        case "inception":
            return InceptionFeatures(find_weights())
        case "random":
            return RandomFeatures(real.training.pixels(0, 1).shape[-1])
    if suffix == ".onnx":
        return GraphFeatures(path, value_range)
    if suffix == ".safetensors":
        return from_file(path, real.names)
    if suffix in _WEIGHTS:
        return InceptionFeatures(path)
    raise ArgumentError(f"{path} is no network of features: give an .onnx, a .safetensors or a .pth.")


def _chosen(real: RealPictures) -> str:
    if real.facts.get("name") == MNIST_FACTS["name"]:
        return "digits"
    if real.training.labels is not None:
        return "train"
    raise ArgumentError(
        "The data have no classes to train features on; choose --features inception, random, or a network of yours, "
        "FILE.onnx."
    )
