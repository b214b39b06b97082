"""LSTM, GRU and RNN as whole operations of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from substitute_case import assert_exported, assert_same, exported, numbers
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ganrt.errors import ExportError
from ganrt_export.substitutes.plain_python import symbolic_sizes


class Recurrent(nn.Module):
    """`network` along the axis of time; the result with its last state."""

    def __init__(self, network: nn.RNNBase) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if not self.network.batch_first:
            x = x.transpose(0, 1)
        output, state = self.network(x)
        states: tuple[Any, ...] = state if isinstance(state, tuple) else (state,)
        first = output if self.network.batch_first else output.transpose(0, 1)
        return first, *(one.transpose(0, 1) for one in states)


NETWORKS = {
    "LSTM": (nn.LSTM, {"batch_first": True}),
    "LSTM, both directions, two layers": (nn.LSTM, {"bidirectional": True, "num_layers": 2}),
    "GRU, no biases": (nn.GRU, {"bias": False, "batch_first": True}),
    "GRU, both directions, two layers": (nn.GRU, {"bidirectional": True, "num_layers": 2, "dropout": 0.5}),
    "RNN": (nn.RNN, {"bidirectional": True}),
    "RNN of ReLU": (nn.RNN, {"nonlinearity": "relu", "batch_first": True}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_graph_has_one_operation_a_layer_for_every_batch_and_length(name: str) -> None:
    kind, options = NETWORKS[name]
    module = Recurrent(kind(5, 4, **options)).eval()
    operations = assert_exported(module, lambda batch: (numbers(batch, 6 + batch, 5, seed=batch),), axes=(0, 1))
    assert sum(operation in ("LSTM", "GRU", "RNN") for operation in operations) == options.get("num_layers", 1)
    assert "Loop" not in operations


def test_in_pytorch_it_is_pytorchs_own() -> None:
    module = Recurrent(nn.GRU(5, 4)).eval().requires_grad_(False)
    assert_same(module, numbers(2, 6, 5), tolerance=0)


class Packed(nn.Module):
    """`network` over sequences packed by their lengths; padded again with -2, and its last state."""

    def __init__(self, network: nn.RNNBase, total: int | None = 6) -> None:
        super().__init__()
        self.network, self.total = network, total

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        first = self.network.batch_first
        x = x if first else x.transpose(0, 1)
        packed = pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
        output, state = self.network(packed)
        states: tuple[Any, ...] = state if isinstance(state, tuple) else (state,)
        padded, found = pad_packed_sequence(output, first, padding_value=-2.0, total_length=self.total)
        return padded if first else padded.transpose(0, 1), found, *(one.transpose(0, 1) for one in states)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("longest", [6, 9])
def test_packed_sequences_stop_at_their_lengths(name: str, longest: int) -> None:
    kind, options = NETWORKS[name]
    module = Packed(kind(5, 4, **options), longest).eval()

    def inputs(batch: int) -> tuple[Tensor, Tensor]:
        return numbers(batch, 6, 5, seed=batch), torch.arange(batch) * 5 % 6 + 1

    with symbolic_sizes(module):
        operations = assert_exported(module, inputs)
    assert sum(operation in ("LSTM", "GRU", "RNN") for operation in operations) == options.get("num_layers", 1)


def test_padding_to_the_longest_is_refused_with_the_remedy() -> None:
    module = Packed(nn.GRU(5, 4, batch_first=True), None).eval()
    with symbolic_sizes(module), pytest.raises(ExportError, match="total_length"):
        exported(module, (numbers(2, 6, 5), torch.tensor([6, 2])))


@pytest.mark.parametrize(
    ("mix", "named"),
    [
        (lambda data: data - data.mean(0, keepdim=True), "mean"),
        (lambda data: data * data.sum(-1).softmax(-1)[:, None], "softmax"),
        (lambda data: data[:, :1] * 0 + data - data[..., 0].mean(-1), "mean"),
        (lambda data: data + (data[:, 0] - data[:, :1]).sum(-1, keepdim=True), "sub"),
        (lambda data: (data + torch.ones(1, 1, 4)).mean(1), "add"),
        (lambda data: data + data[0], "getitem"),
    ],
)
def test_steps_of_packed_sequences_are_not_mixed(mix: Callable[[Tensor], Tensor], named: str) -> None:
    class Mixing(Packed):
        def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            output, _ = self.network(packed)
            output = output._replace(data=mix(output.data))
            return (pad_packed_sequence(output, True, total_length=6)[0],)

    module = Mixing(nn.GRU(5, 4, batch_first=True)).eval()
    with symbolic_sizes(module), pytest.raises(ExportError, match=rf"packed sequences \(.*{named}"):
        exported(module, (numbers(2, 6, 5), torch.tensor([6, 2])))


def test_a_projection_is_refused_in_one_sentence() -> None:
    module = Recurrent(nn.LSTM(5, 4, proj_size=3, batch_first=True)).eval()
    with pytest.raises(ExportError, match="projection"):
        exported(module, (numbers(2, 6, 5),))
