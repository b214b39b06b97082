"""Sequences packed by their lengths, which PyTorch stores end to end, kept padded beside those lengths.

`pack_padded_sequence` makes a tensor whose size is the sum of the lengths, and one of how many sequences reach each
step; TimeGAN and many text encoders run an LSTM or GRU over that and pad it again. In a graph the padded sequence
stays as it is, time first, and the lengths go to ONNX's LSTM, GRU or RNN, which stop at each and give zeros after it.

What a module computes of packed data on its own way must keep each step by itself: among them, here, are steps beyond
a sequence's end. `follow` marks what may be and refuses what may not, such as a mean over all steps.

How long `pad_packed_sequence` makes its result without `total_length` depends on the values of the lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganrt.errors import ExportError

from ._tools import Function, Handlers, table

__all__ = ["HANDLERS", "Steps", "flat", "follow"]

_STEPS = "_ganrt_steps"  # marks a tensor [steps of all sequences, features ...]
_CONSUME = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu", "_pad_packed_sequence"})
_ASK = frozenset({"dim", "size", "__get__", "is_floating_point", "is_complex", "__len__"})
# each step by itself, whatever their arguments
_STEPWISE = frozenset(
    """embedding dropout relu leaky_relu prelu elu gelu silu selu celu mish hardtanh relu6 softplus
    tanh sigmoid exp log sqrt rsqrt square abs neg sin cos erf clamp add sub mul div true_divide pow rsub reciprocal
    where to float half double type contiguous clone detach requires_grad_ __add__ __radd__ __iadd__ __sub__ __rsub__
    __mul__ __rmul__ __imul__ __truediv__ __rtruediv__ __pow__ __neg__ __gt__ __lt__ __ge__ __le__""".split()  # noqa: SIM905
)
_BY_AXIS = frozenset({"cat", "concat", "concatenate", "softmax", "log_softmax", "chunk", "split", "mean", "sum", "glu"})


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
    return flat(values), Steps(lengths, values.shape[0])


def flat(values: Tensor) -> Tensor:
    """[longest, batch, features ...] as a packed sequence has its data, marked."""
    return _marked(values.flatten(0, 1))


def _marked(value: Tensor) -> Tensor:
    setattr(value, _STEPS, True)
    return value


def follow(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
    """Marks a result that is packed because an argument is; raises ExportError where steps would mix."""
    given = [*args, *kwargs.values()]
    given += [inner for one in given if isinstance(one, list | tuple) for inner in one]
    ranks = {one.dim() for one in given if isinstance(one, Tensor) and hasattr(one, _STEPS)}
    if not ranks:
        return
    name = getattr(func, "__name__", "")
    results = [one for one in (result if isinstance(result, list | tuple) else [result]) if isinstance(one, Tensor)]
    if name in _CONSUME or (not results and name in _ASK):
        return
    plain = name if name.startswith("__") else name.rstrip("_")
    rank = min(ranks)
    if len(ranks) > 1 or not _stepwise(plain, rank, args, kwargs, results):
        raise ExportError(
            f"The module mixes the steps of packed sequences ({name}), of which the graph has some beyond each "
            "sequence's end; pad them first, with pad_packed_sequence, and leave those out by the lengths."
        )
    for one in results:
        _marked(one)


def _stepwise(name: str, rank: int, args: tuple[Any, ...], kwargs: Mapping[str, Any], results: list[Tensor]) -> bool:
    """Does it leave the first axis, the steps, alone? `rank`: of the packed arguments; with 1, the last axis is it."""
    if name in _BY_AXIS:
        place = 2 if name in ("chunk", "split") else 1
        return rank > 1 and kwargs.get("dim", args[place] if len(args) > place else 0) in (-1, 1, [-1], (-1,))
    if name == "__getitem__":
        first, *rest = args[1] if isinstance(args[1], tuple) else (args[1],)
        if first is Ellipsis:
            return rank > 1 and len(rest) == 1
        return isinstance(first, slice) and first == slice(None)
    if name in ("linear", "layer_norm"):
        return rank > 1
    # an operand of more axes would put others before the steps
    return name in _STEPWISE and (name == "embedding" or all(one.dim() == rank for one in results))


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
