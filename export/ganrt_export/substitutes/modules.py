"""A module made ready for tracing: a copy whose weights are weights, and whose batch norms do not look at the batch.

Weight norm and spectral norm compute a weight from others at every call; in inference it is always the same one, so the
copy holds that. Hooks that nobody knows, such as an equalised learning rate's, stay.

Batch norm that runs with the statistics of its batch (pix2pix) is, for one sample, instance norm with the same weights:
    (x - mean) / sqrt(var + eps) over batch and space      equals      over space, at batch 1
so that is what the graph computes for every sample, and what the notes say. It is found by its mode, whether it never
kept running statistics, was left in train mode, or is put there by a `train()` of the module's own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

__all__ = ["PerSampleNorm", "copied", "prepare", "with_instance_norm", "without_norms_of_weights"]


def prepare(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy of `module` to trace, in its mode, and notes on what is not as it was. The module itself is left alone."""
    ready = copied(module)
    if ready is module:
        return module, ()
    without_norms_of_weights(ready)
    names = with_instance_norm(ready)
    if not names:
        return ready, ()
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    note = (
        f"Batch norm with the batch's own statistics ({shown}) became the equivalent instance norm: each sample is "
        "computed as PyTorch computes it alone. Call eval() first if running statistics were meant."
    )
    return ready, (note,)


def copied(module: nn.Module) -> nn.Module:
    """A deep copy; results that a module keeps are copied without their gradient, and what cannot be copied, such as a
    lock, is shared. The module itself if even that fails.
    """
    kept: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            for tensor in _results(value):
                kept[id(tensor)] = tensor.detach().clone()
    with suppress(Exception):
        return copy.deepcopy(module, dict(kept))
    for part in module.modules():
        for value in vars(part).values():
            if not _copies(value, kept):
                kept[id(value)] = value
    with suppress(Exception):
        return copy.deepcopy(module, dict(kept))
    return module


def without_norms_of_weights(module: nn.Module) -> None:
    """Replaces, in place, what weight norm, spectral norm and other parametrizations compute by its present value."""
    for part in list(module.modules()):
        for hook in list(part._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                remove_weight_norm(part, hook.name)
            elif isinstance(hook, SpectralNorm) and not part.training:  # in train mode it changes at every call
                remove_spectral_norm(part, hook.name)
        if parametrize.is_parametrized(part):
            own = type(part)  # the copy shares its class with the original, and undoing takes the weight off the class
            members = {name: value for name, value in vars(own).items() if name not in ("__dict__", "__weakref__")}
            part.__class__ = type(own.__name__, own.__bases__, members)
            for name, chain in list(part.parametrizations.items()):  # type: ignore[union-attr, operator]
                if not (part.training and any(isinstance(one, _SpectralNorm) for one in chain)):
                    with suppress(Exception):  # one that cannot be undone is traced
                        parametrize.remove_parametrizations(part, name, leave_parametrized=True)


class PerSampleNorm(nn.Module):
    """Batch norm with its batch's statistics, of one sample at a time: float [batch, features, ...] of any rank."""

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__()
        self.eps, self.training = norm.eps, False
        self.register_parameter("weight", norm.weight)
        self.register_parameter("bias", norm.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.instance_norm(input, weight=self.weight, bias=self.bias, use_input_stats=True, eps=self.eps)


def with_instance_norm(module: nn.Module) -> list[str]:
    """Replaces, in place, batch norms that use the batch's statistics; returns their names."""
    found = list(_by_batch(module))
    for name, norm in found:
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, PerSampleNorm(norm))
    return [name for name, _ in found]


def _by_batch(module: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    own = (_BatchNorm.forward, SyncBatchNorm.forward)  # a subclass with a forward of its own does more
    for name, part in module.named_modules(remove_duplicate=False):
        known = name and isinstance(part, _BatchNorm) and type(part).forward in own
        if known and (part.training or part.running_mean is None):
            yield name, part


def _results(value: Any) -> Iterator[Tensor]:
    """The tensors in a value that have a history, which PyTorch refuses to copy."""
    if isinstance(value, Tensor):
        if not value.is_leaf:
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _results(inner)
    elif isinstance(value, list | tuple | set):
        for inner in value:
            yield from _results(inner)


def _copies(value: Any, kept: dict[int, Any]) -> bool:
    try:
        copy.deepcopy(value, dict(kept))
    except Exception:  # noqa: BLE001  a stranger's object raises what it likes
        return isinstance(value, dict) and any(isinstance(inner, nn.Module) for inner in value.values())
    return True
