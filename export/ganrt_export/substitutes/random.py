"""Random numbers drawn inside a module, frozen: one sample's noise from a fixed seed, the same for all samples.

An exported generator is a function of its inputs, and engines ignore the seeds that a graph may carry. Frozen noise
does not depend on the batch either, so that sample i stays the same whatever is computed beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ganrt.latents import draw
from ganrt.spec import Latent

__all__ = ["Noise"]

Kind: TypeAlias = Literal["normal", "uniform"]
_SEED = 20_140
_LIKE: dict[Any, Kind] = {torch.randn_like: "normal", torch.rand_like: "uniform"}
_NEW: dict[Any, Kind] = {torch.randn: "normal", torch.rand: "uniform"}
_IN_PLACE: dict[Any, Kind] = {Tensor.normal_: "normal", Tensor.uniform_: "uniform"}


class Noise(TorchFunctionMode):
    """While it is active, each draw gives the constant of its place in the forward pass.

    `mode`: "freeze". The first dimension of what is drawn is taken for the batch.
    """

    def __init__(self, mode: Literal["freeze"] = "freeze") -> None:
        super().__init__()
        self.mode, self._draws = mode, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _LIKE:
            like = args[0]
            return self._draw(_LIKE[func], like.shape, kwargs.get("dtype") or like.dtype)
        if func in _NEW:
            size = kwargs.get("size") or (args[0] if len(args) == 1 and not isinstance(args[0], int) else args)
            return self._draw(_NEW[func], tuple(size), kwargs.get("dtype") or torch.get_default_dtype())
        if func in _IN_PLACE:
            tensor = args[0]
            first, second = _ends(func, args[1:], kwargs)
            drawn = self._draw(_IN_PLACE[func], tensor.shape, tensor.dtype)
            moved = drawn * second + first if func is Tensor.normal_ else drawn * (second - first) + first
            return tensor.copy_(moved)
        return func(*args, **kwargs)

    def _draw(self, kind: Kind, shape: Sequence[Any], dtype: torch.dtype) -> Tensor:
        self._draws += 1
        one = [int(size) for size in shape[1:]]
        numbers = draw(Latent(size=math.prod(one), name="noise", distribution=kind), _SEED, self._draws, 1)
        if kind == "uniform":
            numbers = 0.5 * (numbers + np.float32(1))  # drawn over -1 .. 1, wanted over 0 .. 1
        return torch.tensor(numbers.reshape(1, *one), dtype=dtype).expand(shape[0], *one)


def _ends(func: Callable[..., Any], given: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    names, default = (("mean", "std"), (0.0, 1.0)) if func is Tensor.normal_ else (("from", "to"), (0.0, 1.0))
    values = [*given[:2], *default[len(given) :]]
    return tuple(kwargs.get(name, value) for name, value in zip(names, values, strict=True))
