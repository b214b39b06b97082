"""The ways of tracing, and where a graph leaves its module."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from ganrt import Spec, backends
from ganrt.backends.base import Graph, Options
from ganrt.spec import Signal
from ganrt.spec import Tensor as Numbers
from ganrt_export.diverge import first_difference
from ganrt_export.signature import Call, Flat
from ganrt_export.to_onnx import finish
from ganrt_export.trace import attempts, onnx_program, quiet

SPEC = Spec(inputs=(Signal(name="x", kind="tensor", shape=(4, 6)),), output=Numbers(shape=(4, 6), raw="y"))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(torch.sin(self.linear(x)) * 2)


@pytest.fixture(scope="module")
def flat() -> tuple[Flat, Tensor]:
    x = torch.randn(2, 4, 6)
    return Flat(Network().eval(), Call(("x",), (x,), (x,), {})), x


def run(graph: bytes, x: np.ndarray) -> np.ndarray:
    session = backends.open_session("onnxruntime", Graph(graph, "", "fp32"), Options(threads=1))
    return session.evaluate({"x": x}, ["y"])["y"]


def test_every_way_gives_the_module_at_every_batch(flat: tuple[Flat, Tensor]) -> None:
    module, x = flat
    ways = list(attempts(module, (x,), ["x"], ["y"], [[0]]))
    assert [attempt.way for attempt in ways] == ["traced", "traced", "analysed", "scripted", *["per sample"] * 3]
    for attempt in ways:
        assert attempt.model is not None, attempt
        graph = finish(attempt.model, SPEC, trust_shapes=attempt.way == "traced")
        for batch in (1, 2, 3, 8):
            given = torch.randn(batch, 4, 6)
            np.testing.assert_allclose(run(graph, given.numpy()), module(given)[0].detach().numpy(), atol=1e-6)


def test_tracing_says_nothing(flat: tuple[Flat, Tensor], capfd: pytest.CaptureFixture[str]) -> None:
    module, x = flat
    list(attempts(module, (x,), ["x"], ["y"], [[0]]))
    assert capfd.readouterr() == ("", "")


def test_the_first_operation_that_differs_is_named(flat: tuple[Flat, Tensor]) -> None:
    module, x = flat
    with quiet():
        program = onnx_program(module, (x,), ["x"], ["y"], [[0]])
    assert first_difference(program, (x,)) == ""
    sine = next(node for node in program.model.graph if node.op_type == "Sin")
    sine.op_type = "Cos"
    assert first_difference(program, (x,)).startswith("'sin' (Cos), ")


def test_a_scan_is_one_operation_over_the_batch(flat: tuple[Flat, Tensor]) -> None:
    module, x = flat
    *_, last = attempts(module, (x,), ["x"], ["y"], [[0]])
    assert last.model is not None
    finish(last.model, SPEC, trust_shapes=False)
    assert [node.op_type for node in last.model.graph if node.op_type != "Constant"] == ["Scan"]
    assert isinstance(last.model, ir.Model)
