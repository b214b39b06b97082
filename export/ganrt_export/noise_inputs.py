"""Random numbers that a module draws inside, as latents of its graph: seeded and counted like its other inputs.

Each draw becomes an input `noise_0`, `noise_1`, ... of standard numbers, [batch, n], from which the module's own are
made. A draw that is the same for every sample (its first size is not the batch) stays what it is: a constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ganrt.latents import draw
from ganrt.spec import Latent

from .oracle import Oracle
from .signature import Call, Flat, rebuild
from .substitutes.random import Draw, Noise

__all__ = ["Opened", "open_noise"]

_BATCH = 3  # of the run that lists the draws: sizes of 1 and 2 are common for other reasons
_SEED = 16_180


class Opened(NamedTuple):
    """A module that takes its noise, the call with an example of it, and the latents that describe it."""

    module: nn.Module
    call: Call
    latents: tuple[Latent, ...]


def open_noise(module: nn.Module, call: Call) -> Opened:
    """The same module with its draws taken in as further arguments; itself where it draws nothing.

    Raises ExportError for a draw that cannot be made of normal or uniform numbers.
    """
    inputs, _ = Oracle(module, call, lambda batch: Noise("freeze", batch=batch)).answers(_BATCH)
    listed = Noise("record", batch=_BATCH)
    with torch.no_grad():
        Flat(module, call, lambda _: listed)(*(tensor.clone() for tensor in inputs))
    draws = tuple(listed.draws)
    latents = tuple(
        Latent(size=math.prod(one.shape[1:]), name=f"noise_{index}", distribution=one.distribution)
        for index, one in enumerate(one for one in draws if one.batched)
    )
    if not latents:
        return Opened(module, call, ())
    batch = len(call.tensors[0])
    tensors = (*call.tensors, *(torch.from_numpy(draw(latent, _SEED, 0, batch)) for latent in latents))
    names = (*call.names, *(latent.name for latent in latents))
    return Opened(_Taking(module, call, draws), Call(names, tensors, tensors, {}), latents)


class _Taking(nn.Module):
    """`forward(*tensors)`: the module's own, then standard numbers [batch, n] for each draw that is a sample's."""

    def __init__(self, module: nn.Module, call: Call, draws: Sequence[Draw]) -> None:
        super().__init__()
        self.module = module
        self._call, self._draws = call, tuple(draws)

    def forward(self, *tensors: Tensor) -> Any:
        own, noise = tensors[: len(self._call.tensors)], iter(tensors[len(self._call.tensors) :])
        given = [_standard(next(noise), one) if one.batched else None for one in self._draws]
        args, kwargs = rebuild((self._call.args, self._call.kwargs), iter(own))
        with Noise("input", batch=own[0].shape[0], tensors=given):
            return self.module(*args, **kwargs)


def _standard(numbers: Tensor, one: Draw) -> Tensor:
    """A latent as the draw's standard numbers: uniform ones lie over -1 .. 1 in a latent, over 0 .. 1 in a draw."""
    if one.distribution == "uniform":
        numbers = (0.5 * numbers + 0.5).clamp(max=1 - 2**-24)
    return numbers.reshape(-1, *one.shape[1:])
