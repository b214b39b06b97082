"""Tensors taken from a checkpoint one by one: what is asked must be there, what is there must be asked.

Weights come as float64, so that constants folded into them are rounded once, when the network takes them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganrt.errors import CheckpointError, legible

from ..base import State
from .networks import linear

__all__ = ["Weights"]


class Weights:
    """The weights of a `family` generator, each to be taken once."""

    def __init__(self, state: State, family: str) -> None:
        self.family = family
        self._left = dict(state)

    def __contains__(self, key: str) -> bool:
        return key in self._left

    def take(self, key: str, *shape: int | None) -> Tensor:
        """The tensor of this name and shape, float64; None stands for any size.

        Raises CheckpointError when it is missing, of another shape, or holds no real numbers.
        """
        if key not in self._left:
            raise CheckpointError(f"The checkpoint is not a {self.family} generator: it lacks '{legible(key)}'.")
        tensor = self._left.pop(key)
        fits = tensor.ndim == len(shape) and all(
            have > 0 if want is None else have == want for have, want in zip(tensor.shape, shape, strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise CheckpointError(
                f"The checkpoint is not a {self.family} generator of consistent sizes: '{legible(key)}' is "
                f"{list(tensor.shape)}, the rest of it asks for [{wanted}]."
            )
        if not tensor.dtype.is_floating_point:
            raise CheckpointError(f"The checkpoint's '{legible(key)}' is {tensor.dtype}; a weight must be a float.")
        return tensor.detach().to("cpu", torch.float64)

    def size(self, key: str, dimension: int) -> int:
        """One size of a tensor that is still to be taken; CheckpointError when there is no such."""
        tensor = self._left.get(key)
        if tensor is None:
            raise CheckpointError(f"The checkpoint is not a {self.family} generator: it lacks '{legible(key)}'.")
        if tensor.ndim <= dimension:
            raise CheckpointError(
                f"The checkpoint is not a {self.family} generator: '{legible(key)}' is {list(tensor.shape)}."
            )
        return int(tensor.shape[dimension])

    def linear(
        self, name: str, in_features: int, out_features: int | None = None, *, scale: float = 1.0, shift: float = 0.0
    ) -> nn.Linear:
        """The layer `name`, weight and bias times `scale`, `shift` added."""
        weight = self.take(f"{name}.weight", out_features, in_features)
        bias = self.take(f"{name}.bias", weight.shape[0])
        return linear(weight * scale, bias * scale + shift)

    def equalized(
        self,
        name: str,
        in_features: int,
        out_features: int | None = None,
        *,
        multiplier: float = 1.0,
        gain: float = 1.0,
    ) -> nn.Linear:
        """A layer with an equalised learning rate (Karras et al. 2017, arXiv:1710.10196), its constants folded in.

        `multiplier`: the learning rate's own. `gain`: that of the activation that follows.
        """
        scale = multiplier * gain
        weight = self.take(f"{name}.weight", out_features, in_features) * (scale / math.sqrt(in_features))
        return linear(weight, self.take(f"{name}.bias", weight.shape[0]) * scale)

    def fir(self, key: str, *, gain: float = 1.0) -> Tensor:
        """A square filter of even size for sampling up by two, times `gain`, float64 [size, size]."""
        fir = self.take(key, None, None) * gain
        if fir.shape[0] != fir.shape[1] or fir.shape[0] % 2:
            raise CheckpointError(
                f"The checkpoint's filter '{legible(key)}' is {list(fir.shape)}; StyleGAN2 samples up with a square "
                "filter of even size, as a rule [4, 4]."
            )
        return fir

    def finish(self) -> None:
        """Raises CheckpointError when a tensor has not been taken."""
        left = sorted(self._left)
        if left:
            listing = legible(", ".join(left[:4])) + (f" and {len(left) - 4} more" if len(left) > 4 else "")
            raise CheckpointError(
                f"The checkpoint is not a {self.family} generator: it has, beside what the network knows, {listing}."
            )
