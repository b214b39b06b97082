"""Sequences packed by their lengths, which PyTorch stores end to end, kept padded beside those lengths.

`pack_padded_sequence` makes a tensor whose size is the sum of the lengths, and one of how many sequences reach each
step; TimeGAN and many text encoders run an LSTM or GRU over that and pad it again. In a graph the padded sequence
stays as it is, time first, and the lengths go to ONNX's LSTM, GRU or RNN, which stop at each and give zeros after it.

How long `pad_packed_sequence` makes its result without `total_length` depends on the values of the lengths.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganrt.errors import ExportError

from ._tools import Handlers, table

__all__ = ["HANDLERS", "Steps"]


class Steps:
    """In the place of `PackedSequence.batch_sizes`: int64 `lengths` [batch] of sequences padded to `longest`."""

    device = torch.device("cpu")

    def __init__(self, lengths: Tensor, longest: Any) -> None:
        self.lengths, self.longest = lengths, longest

    def __getitem__(self, step: int) -> Any:
        if step != 0:
            raise ExportError("The module reads how many packed sequences reach a step, which only the lengths say.")
        return self.lengths.shape[0]

    def size(self, axis: int) -> int:
        """Less than any `total_length`, so that only a missing one is 0."""
        return 0

    def unpacked(self, data: Tensor) -> Tensor:
        """What `pack_padded_sequence` gave, or the same of other features, as [longest, batch, ...]."""
        return data.reshape(self.longest, self.lengths.shape[0], *data.shape[1:])

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return NotImplemented  # it is here so that PyTorch takes one for a tensor and asks the mode


def _pack(input: Tensor, lengths: Tensor, batch_first: bool = False) -> Any:
    """(the padded sequence, time first, end to end; its `Steps`)"""
    if not torch.compiler.is_exporting():
        return NotImplemented
    values = input.transpose(0, 1) if batch_first else input
    return values.flatten(0, 1), Steps(lengths, values.shape[0])


def _pad(data: Tensor, steps: Any, batch_first: bool, padding_value: float, total_length: Any) -> Any:
    """(the sequence, its end filled with a value; its lengths)"""
    if not isinstance(steps, Steps):
        return NotImplemented
    if isinstance(total_length, int) and total_length == 0:
        raise ExportError(
            "The module pads packed sequences to the longest of them, so that the size of its result depends on the "
            "values of the lengths; give pad_packed_sequence the total_length of what was packed."
        )
    values = steps.unpacked(data)
    outside = torch.arange(steps.longest)[:, None] >= steps.lengths
    values = values.masked_fill(outside.reshape(*outside.shape, *[1] * (values.dim() - 2)), padding_value)
    more = total_length - steps.longest
    if not isinstance(more, int) or more:
        values = torch.cat([values, values.new_full((more, *values.shape[1:]), padding_value)])
    return (values.transpose(0, 1) if batch_first else values), steps.lengths


_VF = torch._C._VariableFunctions
HANDLERS: Handlers = table([((_VF._pack_padded_sequence,), _pack), ((_VF._pad_packed_sequence,), _pad)])
