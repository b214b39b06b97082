"""`assert` about the values of a tensor, which a trace cannot look at: taken for true.

Vocos and many others write `assert (envelope > 1e-11).all()` in forward; the export stops there, because the truth of a
tensor would have to be known. What the assertion protects was checked when the module ran in PyTorch. nn.Transformer
asks whether its mask happens to be the causal one, which decides about speed alone: no. Any other `if` about a tensor's
values still stops the export: the graph would follow one of its branches only.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import transformer

from ._tools import Function, Handlers

__all__ = ["HANDLERS"]


def _asserted(_: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What the caller's `assert` needs to pass, while a trace runs; NotImplemented anywhere else."""
    if not torch.compiler.is_exporting():
        return NotImplemented
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        frame = frame.f_back
    if frame is None:
        return NotImplemented
    if frame.f_code is transformer._detect_is_causal_mask.__code__:
        return False
    rest = [step for step in dis.get_instructions(frame.f_code) if step.offset >= frame.f_lasti]
    names = [step.opname for step in rest[:6] if step.opname not in ("TO_BOOL", "NOT_TAKEN", "CACHE")]
    if len(names) < 2 or "JUMP" not in names[0] or not _raises(rest, names[1]):
        return NotImplemented
    return "IF_TRUE" in names[0]


def _raises(rest: list[dis.Instruction], name: str) -> bool:
    if name == "LOAD_COMMON_CONSTANT":  # Python 3.14
        return any(step.argval is AssertionError or step.argrepr == "AssertionError" for step in rest[:6])
    return name == "LOAD_ASSERTION_ERROR"


def _valid(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """torch.distributions asks so whether its parameters are allowed, and refuses them otherwise."""
    return True if torch.compiler.is_exporting() else NotImplemented


HANDLERS: Handlers = {Tensor.__bool__: _asserted, torch._is_all_true: _valid}
