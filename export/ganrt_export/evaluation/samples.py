"""What a generator draws to be judged: samples of one seed, each of which can be drawn again by its number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ganrt import Generator
from ganrt.errors import ArgumentError, legible
from ganrt.spec import Image

from .data import RealPictures

__all__ = ["Samples", "check_generator", "like_data", "same_classes"]

BATCH = 256  # pictures at a time


class Samples:
    """`count` samples of `seed`; `labels` int64 [count] are those asked for, None where the generator takes none."""

    def __init__(
        self,
        generator: Generator,
        count: int,
        seed: int,
        labels: NDArray[np.int64] | None,
        truncation: float | None = None,
    ) -> None:
        self.generator, self.count, self.seed, self.labels = generator, count, seed, labels
        self._truncation = truncation

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """All of them, uint8 [n, height, width, channels] at a time."""
        label = None if self.labels is None else self.labels.tolist()
        return self.generator.stream(self.count, batch=BATCH, seed=self.seed, label=label, truncation=self._truncation)

    def again(self, index: int) -> NDArray[np.uint8]:
        """Sample `index`, uint8 [height, width, channels]."""
        label = None if self.labels is None else int(self.labels[index])
        one: NDArray[np.uint8] = self.generator.sample(
            1, seed=self.seed, start=index, label=label, truncation=self._truncation
        )[0]
        return one


def check_generator(generator: Generator) -> Image:
    """The pictures that it makes. Raises ArgumentError when it makes none, or none from latents alone."""
    spec, name = generator.spec, legible(generator.name, 60)
    if not isinstance(spec.output, Image):
        raise ArgumentError(
            f"'{name}' makes {type(spec.output).__name__.lower()}; ganrt evaluate judges generators of pictures."
        )
    if spec.signals:
        raise ArgumentError(
            f"'{name}' takes a signal ('{legible(spec.signals[0].name, 60)}'); ganrt evaluate judges generators that "
            "draw from latents alone."
        )
    return spec.output


def like_data(real: RealPictures, to_generator: NDArray[np.int64], seed: int, count: int) -> NDArray[np.int64]:
    """`count` labels drawn with the shares that the training pictures have.

    Drawn, and not counted out: samples are then independent, as the pictures of the data are, which the errors of
    scores suppose. `to_generator`: the generator's class for each class of the data (`same_classes`).
    """
    assert real.training.labels is not None
    shares = np.bincount(real.training.labels, minlength=len(to_generator)) / len(real.training)
    draws = np.random.Generator(np.random.Philox(key=seed))
    return to_generator[draws.choice(len(shares), count, p=shares)]


def same_classes(generator: Generator, real: RealPictures) -> NDArray[np.int64] | None:
    """The generator's class for each class of the data, int64 [classes]; None when they do not have the same ones.

    By name where the names are the same, else by number where there are as many.
    """
    label, names = generator.spec.label, real.names
    if label is None or real.held_out.labels is None or len(names) != label.classes:
        return None
    if sorted(names) == sorted(label.names):
        return np.array([label.names.index(name) for name in names], np.int64)
    return np.arange(label.classes)
