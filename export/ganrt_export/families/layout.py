"""What the keys and shapes of a checkpoint say, read without trusting them.

A layout is the keys by which a family knows its generator, each with the rank of its tensor. Sizes come from shapes;
a shape that cannot be read ends in one sentence, and no shape makes a network larger than memory before it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

import torch
from torch import nn

from ganrt.errors import CheckpointError, legible

from .base import State

__all__ = ["Layout", "build", "check_channels", "count", "foreign", "matches", "shape"]

Layout: TypeAlias = Mapping[str, int]
Network = TypeVar("Network", bound=nn.Module)


def matches(state: State, layout: Layout) -> bool:
    """Has `state` every key of `layout`, with a tensor of that rank?"""
    return all(key in state and state[key].ndim == rank for key, rank in layout.items())


def count(state: State, prefix: str) -> int:
    """One more than the largest n of the keys `prefix`n.*, 0 when there is none; `prefix` is "main." or "block"."""
    pattern = re.compile(re.escape(prefix) + r"(\d{1,4})\.")
    return max((int(found[1]) + 1 for found in map(pattern.match, state) if found), default=0)


def shape(state: State, key: str, rank: int, family: str) -> tuple[int, ...]:
    """The shape of `state[key]`. Raises CheckpointError when it is missing, of another rank, or empty."""
    if key not in state:
        raise foreign(family, f"it lacks {key}")
    sizes = tuple(state[key].shape)
    if len(sizes) != rank or 0 in sizes:
        raise foreign(family, f"'{key}' is {list(sizes)}, where {rank} sizes above 0 belong")
    return sizes


def foreign(family: str, reason: str) -> CheckpointError:
    """The error for a checkpoint that is not `family`'s; `reason` ends its sentence."""
    return CheckpointError(f"The checkpoint is not a {family} generator: {legible(reason)}.")


def check_channels(channels: int, family: str) -> None:
    """Raises CheckpointError when so many channels are no picture."""
    if not 1 <= channels <= 4:
        raise foreign(family, f"its last layer gives {channels} channels, and a picture has 1 to 4")


def build(make: Callable[[], Network], family: str) -> Network:
    """The network of `make` with memory and no values, for `load_exactly` to fill.

    Nothing is drawn at random, and memory is touched only when the weights that fit have come.
    """
    try:
        with torch.device("meta"):
            network = make()
        network = network.to_empty(device="cpu")
    except (MemoryError, RuntimeError) as error:
        raise foreign(family, "its sizes belong to a network larger than this machine's memory") from error
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith("num_batches_tracked"):  # absent from old checkpoints
                buffer.zero_()
    return network
