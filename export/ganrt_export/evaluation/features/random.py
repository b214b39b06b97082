"""Features of a network that learnt nothing: convolutions of fixed random weights.

For pictures unlike those of ImageNet, and where no network is at hand; Naeem et al. 2020 (arXiv:2002.09797) find that
such features rank generators well there. Coarse: they see edges and colours, and not what a picture shows.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from ganrt.latents import draw
from ganrt.spec import Latent

__all__ = ["RandomFeatures"]

_WIDTHS = (24, 48, 64)  # of layers, each of half the size; the means of all are features
_SEED = 2_020
_AT_ONCE = 256


class RandomFeatures:
    """Means and deviations over a picture of three layers of ReLU, of pictures with some number of channels."""

    name = "random"
    says = "a network of random weights, which sees edges and colours and not what a picture shows"
    dimensions = 2 * sum(_WIDTHS)

    def __init__(self, channels: int) -> None:
        self._weights = [
            _weights(index, inputs, outputs)
            for index, (inputs, outputs) in enumerate(zip((channels, *_WIDTHS[:-1]), _WIDTHS, strict=True))
        ]
        told = b"".join(weights.numpy().tobytes() for weights in self._weights)
        self.digest = hashlib.sha256(told).hexdigest()

    def embed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        planes = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        with torch.inference_mode():
            parts = [self._of(part.float().div(127.5).sub(1)) for part in torch.split(planes, _AT_ONCE)]
            made: NDArray[np.float32] = torch.cat(parts).numpy()
        return made

    def _of(self, planes: torch.Tensor) -> torch.Tensor:
        layers = []
        for weights in self._weights:
            planes = F.relu(F.conv2d(planes, weights, stride=2, padding=1))
            layers += [planes.mean(dim=(2, 3)), planes.std(dim=(2, 3), correction=0)]
        return torch.cat(layers, dim=1)


def _weights(index: int, inputs: int, outputs: int) -> torch.Tensor:
    """3 x 3 weights [outputs, inputs, 3, 3] that keep the size of what goes through (He et al. 2015).

    Uniform, and so the same to the bit on every machine.
    """
    values = draw(Latent(size=inputs * 9, name="weights", distribution="uniform"), _SEED + index, 0, outputs)
    return torch.from_numpy(values * np.float32((6 / (inputs * 9)) ** 0.5)).view(outputs, inputs, 3, 3)
