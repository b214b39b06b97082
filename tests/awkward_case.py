"""A generator as a stranger would hand it over, and inputs for it at any batch.

The networks of `awkward/` keep every trap of the papers and repositories they are written after, and are small.
"""

from __future__ import annotations

import dataclasses
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.spectral_norm import SpectralNorm

__all__ = [
    "Case",
    "Kind",
    "call",
    "flat",
    "holes",
    "lengths",
    "normal",
    "one_hot",
    "pixels",
    "truth",
    "uniform",
    "whole",
]

EXAMPLE_BATCH = 2
Kind: TypeAlias = Callable[[int, torch.Generator], Tensor]


@dataclasses.dataclass(frozen=True)
class Case:
    """`make()` is the network; `takes` says what it is called with: a kind for a tensor alone, a tuple for arguments by
    position, a dict for arguments by name, nested as the network wants them. What is no kind is passed as it is.

    `refused`: a pattern in the sentence with which the export must refuse it. `rowwise`: every output has the batch
    first, and a row of it depends on that row of the inputs alone. `quick`: tested without `-m slow` too.
    """

    name: str
    make: Callable[[], nn.Module]
    takes: Any
    refused: str | None = None
    rowwise: bool = True
    quick: bool = False

    def build(self) -> tuple[nn.Module, Any]:
        """The network with lively weights, the same at every call and in eval mode, and inputs of batch 2."""
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the old weight_norm and torch.jit are deprecated, and everywhere
            torch.manual_seed(zlib.crc32(self.name.encode()))
            module = self.make()
            _enliven(module)
        module.eval()
        return module, self.inputs(EXAMPLE_BATCH)

    def inputs(self, batch: int, seed: int = 0) -> Any:
        """Fresh inputs of that batch, in the shape of `takes`."""
        generator = torch.Generator().manual_seed(1000 * batch + seed)

        def draw(part: Any) -> Any:
            if isinstance(part, dict):
                return {name: draw(value) for name, value in part.items()}
            if isinstance(part, (tuple, list)):
                return type(part)(map(draw, part))
            return part(batch, generator) if callable(part) else part

        return draw(self.takes)


def call(module: nn.Module, inputs: Any) -> Any:
    """The module's own answer, without gradients, to copies of the inputs."""

    def copied(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: copied(value) for name, value in part.items()}
        if isinstance(part, (tuple, list)):
            return type(part)(map(copied, part))
        return part.clone() if isinstance(part, Tensor) else part

    inputs = copied(inputs)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(inputs, dict):
            return module(**inputs)
        return module(*inputs) if isinstance(inputs, tuple) else module(inputs)


def flat(tree: Any) -> list[Tensor]:
    """The tensors in a tree of tuples, lists, dicts and dataclasses, in order; None and plain numbers are left out."""
    return list(_leaves(tree))


def _leaves(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _leaves(value)
    elif isinstance(tree, (tuple, list)):
        for value in tree:
            yield from _leaves(value)
    elif dataclasses.is_dataclass(tree):
        for field in dataclasses.fields(tree):
            yield from _leaves(getattr(tree, field.name))


def _enliven(module: nn.Module) -> None:
    """No weight or statistic stays at the 0 or 1 of its initialisation, so that none can be lost unseen.

    The vectors of spectral norm are brought to where training brings them; from random ones sigma is near 0.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.is_floating_point() and parameter.numel() and parameter.min() == parameter.max():
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
        for name, values in module.named_buffers():
            if name.endswith("running_var"):
                values.uniform_(0.5, 2)
            elif name.endswith("running_mean"):
                values.normal_(0, 0.3)
        for part in module.modules():
            for hook in part._forward_pre_hooks.values():
                for _ in range(20 if isinstance(hook, SpectralNorm) else 0):
                    hook.compute_weight(part, do_power_iteration=True)


def normal(*shape: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> Kind:
    """N(0, scale^2), [batch, *shape]."""
    return lambda batch, generator: scale * torch.randn(batch, *shape, generator=generator, dtype=dtype)


def uniform(*shape: int, low: float = -1.0, high: float = 1.0) -> Kind:
    """U(low, high), [batch, *shape]."""
    return lambda batch, generator: low + (high - low) * torch.rand(batch, *shape, generator=generator)


def whole(high: int, *shape: int, low: int = 0, dtype: torch.dtype = torch.int64) -> Kind:
    """Whole numbers low .. high - 1, [batch, *shape]: labels, indices, tokens."""
    return lambda batch, generator: torch.randint(low, high, (batch, *shape), generator=generator, dtype=dtype)


def lengths(longest: int) -> Kind:
    """Lengths 1 .. longest, int64 [batch]."""
    return whole(longest + 1, low=1)


def one_hot(classes: int) -> Kind:
    """One-hot rows, float32 [batch, classes]."""
    return lambda batch, generator: torch.eye(classes)[torch.randint(classes, (batch,), generator=generator)]


def pixels(*shape: int) -> Kind:
    """uint8 [batch, *shape]."""
    return whole(256, *shape, dtype=torch.uint8)


def truth(*shape: int, share: float = 0.6) -> Kind:
    """bool [batch, *shape], true in that share; the first of the last dimension always."""

    def draw(batch: int, generator: torch.Generator) -> Tensor:
        values = torch.rand(batch, *shape, generator=generator) < share
        values[..., 0] = True
        return values

    return draw


def holes(*shape: int, share: float = 0.7) -> Kind:
    """float32 0 or 1, [batch, *shape], 1 in that share."""
    return lambda batch, generator: (torch.rand(batch, *shape, generator=generator) < share).float()
