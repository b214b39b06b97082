"""`nn.LSTM`, `nn.GRU` and `nn.RNN` as ONNX's own operations.

Plain export unrolls them: a node for every step, and no length but the example's. ONNX has them whole, with other gate
orders (LSTM i o f c for PyTorch's i f g o, GRU z r h for r z n with the reset after the product) and both biases side
by side. Packed sequences (`packed`) become padded ones with their lengths. Only while a trace runs; anywhere else
PyTorch's own are called.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganrt.errors import ExportError

from ._tools import Handlers, table
from .packed import Steps, flat

__all__ = ["HANDLERS"]

_LSTM, _GRU = (0, 3, 1, 2), (1, 0, 2)


def _lstm(input: Tensor, state: Any, weights: Any, *rest: Any) -> Any:
    """(output, hidden, cell) of `nn.LSTM` without a projection."""
    if isinstance(state, Steps):
        return _packed(_lstm, input, state, weights, *rest)
    if not _traced(rest):
        return NotImplemented
    hidden, cell = state
    if hidden.shape[-1] != cell.shape[-1]:
        raise ExportError(
            f"An LSTM with a projection (proj_size={hidden.shape[-1]}) has no form in ONNX; "
            "export the network without it or unroll it with nn.LSTMCell."
        )
    return _run("LSTM", _LSTM, {}, input, [hidden, cell], weights, *rest)


def _gru(input: Tensor, state: Any, weights: Any, *rest: Any) -> Any:
    if isinstance(state, Steps):
        return _packed(_gru, input, state, weights, *rest)
    if not _traced(rest):
        return NotImplemented
    return _run("GRU", _GRU, {"linear_before_reset": 1}, input, [state], weights, *rest)


def _rnn(activation: str) -> Any:
    def replacement(input: Tensor, state: Any, weights: Any, *rest: Any) -> Any:
        if isinstance(state, Steps):
            return _packed(replacement, input, state, weights, *rest)
        if not _traced(rest):
            return NotImplemented
        directions = 2 if rest[4] else 1
        return _run("RNN", (0,), {"activations": [activation] * directions}, input, [state], weights, *rest)

    return replacement


def _traced(rest: tuple[Any, ...]) -> bool:
    """Is this a trace, without dropout between layers? `rest` ends with the lengths where they are given."""
    dropout, train = rest[2], rest[3]
    return torch.compiler.is_exporting() and len(rest) in (6, 7) and not (dropout and train)


def _packed(run: Any, data: Tensor, steps: Steps, state: Any, weights: Any, *rest: Any) -> Any:
    """The same of a packed sequence: its layers are given (data, steps, state, weights, ...), never batch first."""
    results = run(steps.unpacked(data), state, weights, *rest, False, steps.lengths)
    if results is NotImplemented:
        raise ExportError("The module runs over packed sequences with dropout between its layers; call eval() on it.")
    return flat(results[0]), *results[1:]


def _run(
    operation: str,
    gates: tuple[int, ...],
    attributes: dict[str, Any],
    input: Tensor,
    states: list[Tensor],
    weights: list[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    lengths: Tensor | None = None,
) -> Any:
    directions, size = (2 if bidirectional else 1), states[0].shape[-1]
    each = 4 if has_biases else 2
    values = input.transpose(0, 1) if batch_first else input
    length, batch = values.shape[:2]
    steps = None if lengths is None else lengths.to(torch.int32)
    last: list[list[Tensor]] = [[] for _ in states]
    for layer in range(num_layers):
        chosen = range(layer * directions, (layer + 1) * directions)
        sets = [weights[place * each : (place + 1) * each] for place in chosen]
        inner, recurrent = (torch.stack([_ordered(one[which], gates) for one in sets]) for which in (0, 1))
        bias = None
        if has_biases:
            bias = torch.stack([torch.cat([_ordered(one[which], gates) for which in (2, 3)]) for one in sets])
        initial = [state[layer * directions : (layer + 1) * directions] for state in states]
        results = torch.onnx.ops.symbolic_multi_out(
            operation,
            [values, inner, recurrent, bias, steps, *initial],
            {"hidden_size": size, "direction": "bidirectional" if bidirectional else "forward", **attributes},
            dtypes=[values.dtype] * (1 + len(states)),
            shapes=[[length, directions, batch, size], *([[directions, batch, size]] * len(states))],
        )
        values = results[0].transpose(1, 2).flatten(2)
        for kept, final in zip(last, results[1:], strict=True):
            kept.append(final)
    output = values.transpose(0, 1) if batch_first else values
    return (output, *(torch.cat(kept) for kept in last))


def _ordered(weight: Tensor, gates: tuple[int, ...]) -> Tensor:
    """The rows of each gate in ONNX's order."""
    if len(gates) == 1:
        return weight
    pieces = weight.chunk(len(gates))
    return torch.cat([pieces[gate] for gate in gates])


HANDLERS: Handlers = table(
    [
        ((torch.lstm,), _lstm),
        ((torch.gru,), _gru),
        ((torch.rnn_tanh,), _rnn("Tanh")),
        ((torch.rnn_relu,), _rnn("Relu")),
    ]
)
