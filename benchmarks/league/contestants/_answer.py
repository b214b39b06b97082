"""What every contestant does alike: read the inputs, keep its first answer, draw latents anew, make pixels."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganrt.spec import Image, Label, Latent, Spec

__all__ = ["drawing", "keep", "load", "pixels"]


def load(file: str) -> dict[str, NDArray[Any]]:
    with np.load(file, allow_pickle=False) as held:
        return dict(held)


def keep(file: str, answer: NDArray[Any]) -> None:
    """float32, as the network gives it."""
    temporary = Path(f"{file}.part.npy")
    np.save(temporary, np.asarray(answer, np.float32))
    os.replace(temporary, file)


def drawing(feeds: dict[str, NDArray[Any]], spec: Spec) -> Callable[[], None]:
    """What fills the arrays anew before a call, as users draw latents and labels: numpy's generator, in place."""
    random = np.random.default_rng(0)
    latents = [feeds[part.name] for part in spec.inputs if isinstance(part, Latent)]
    labels = [(feeds[part.name], part.classes) for part in spec.inputs if isinstance(part, Label)]

    def draw() -> None:
        for array in latents:
            random.standard_normal(dtype=np.float32, out=array)
        for array, classes in labels:
            if array.ndim == 1:
                array[:] = random.integers(0, classes, len(array))

    return draw


def pixels(y: NDArray[Any], spec: Spec) -> NDArray[Any]:
    """uint8 [batch, height, width, channels] where the network makes pictures; the array is overwritten."""
    if not isinstance(spec.output, Image):
        return y
    scale = 255 / (spec.output.high - spec.output.low)
    np.multiply(y, scale, out=y)
    np.add(y, -spec.output.low * scale, out=y)
    np.rint(y, out=y)
    np.clip(y, 0, 255, out=y)
    return np.ascontiguousarray(y.transpose(0, 2, 3, 1).astype(np.uint8))
