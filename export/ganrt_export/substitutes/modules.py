"""A module made ready for tracing: a copy whose batch norms do not look at the batch.

Batch norm that runs with the statistics of its batch (pix2pix) is, for one sample, instance norm with the same weights:
    (x - mean) / sqrt(var + eps) over batch and space      equals      over space, at batch 1
so that is what the graph computes for every sample, and what the notes say.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["prepare", "with_instance_norm"]

_INSTANCE = {nn.BatchNorm1d: nn.InstanceNorm1d, nn.BatchNorm2d: nn.InstanceNorm2d, nn.BatchNorm3d: nn.InstanceNorm3d}


def prepare(module: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """A copy of `module` to trace, and notes on what is not as it was. The module itself is left alone."""
    try:
        ready = copy.deepcopy(module)
    except Exception:  # noqa: BLE001  a module that holds what cannot be copied is traced as it is
        return module, ()
    notes: list[str] = []
    names = with_instance_norm(ready)
    if names:
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        notes.append(
            f"Batch norm with the batch's own statistics ({shown}) became the equivalent instance norm: each sample is "
            "computed as PyTorch computes it alone. Call eval() first if running statistics were meant."
        )
    return ready, tuple(notes)


def with_instance_norm(module: nn.Module) -> list[str]:
    """Replaces, in place, batch norms that use the batch's statistics; returns their names."""
    found = list(_by_batch(module))
    for name, norm in found:
        parent, _, child = name.rpartition(".")
        setattr(module.get_submodule(parent), child, _instance_norm(norm))
    return [name for name, _ in found]


def _by_batch(module: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    for name, part in module.named_modules():
        if name and type(part) in _INSTANCE and (part.training or part.running_mean is None):
            yield name, part


def _instance_norm(norm: _BatchNorm) -> nn.Module:
    instance = _INSTANCE[type(norm)](norm.num_features, eps=norm.eps, affine=norm.affine, track_running_stats=False)
    if norm.affine:
        with torch.no_grad():
            instance.weight.copy_(norm.weight)
            instance.bias.copy_(norm.bias)
    return instance.eval()
