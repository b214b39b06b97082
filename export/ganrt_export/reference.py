"""The reference: what the PyTorch module itself answers, and the pixels that follow from it.

Every graph, precision and engine is held to these numbers; goldens are rows of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ganrt.latents import Draws
from ganrt.spec import Image, Spec

__all__ = ["evaluate", "sample", "scale_and_offset", "to_pixels"]

_BATCH = 64  # more takes memory and saves no time on a CPU


def evaluate(module: nn.Module, spec: Spec, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The module's own output, float32, for the graph's inputs by name."""
    tensors = [torch.from_numpy(np.ascontiguousarray(feeds[port.name])) for port in spec.input_ports()]
    with torch.inference_mode():
        output: NDArray[np.float32] = module(*tensors).numpy()
    return output


def sample(module: nn.Module, draws: Draws) -> NDArray[np.float32]:
    """The module's own output for every sample of `draws`, float32 [draws.count, ...]."""
    starts = range(0, draws.count, _BATCH)
    parts = [draws.feeds(start, min(_BATCH, draws.count - start)) for start in starts]
    return np.concatenate([evaluate(module, draws.spec, feeds) for feeds in parts])


def to_pixels(raw: NDArray[np.float32], image: Image) -> NDArray[np.uint8]:
    """What the graph makes of its raw output: uint8 [batch, height, width, channels], in the same float32 steps."""
    scale, offset = scale_and_offset(image)
    steps = np.clip(np.rint(raw * scale + offset), 0, 255)
    return np.ascontiguousarray(steps.transpose(0, 2, 3, 1)).astype(np.uint8)


def scale_and_offset(image: Image) -> tuple[np.float32, np.float32]:
    """`image.low` .. `image.high` -> 0 .. 255 as x scale + offset."""
    scale = 255 / (image.high - image.low)
    return np.float32(scale), np.float32(-image.low * scale)
