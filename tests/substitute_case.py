"""What every test of a substitute does: the same numbers in PyTorch, and the same in a graph of any batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from ganrt_export.substitutes import Substitutes
from ganrt_export.trace import quiet

BATCHES = (1, 2, 3, 8)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_near(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Equal shape and type; whole numbers equal, others within `tolerance` of the largest magnitude."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    if expected.dtype.kind not in "fc":
        np.testing.assert_array_equal(found, expected)
    elif expected.size:
        scale = max(float(np.abs(expected).max()), 1e-6)
        assert float(np.abs(found - expected).max()) <= tolerance * scale


def assert_same(function: Callable[..., Any], *inputs: Any, tolerance: float = 1e-5) -> None:
    """`function` gives under the substitutes what it gives without them."""
    expected = function(*inputs)
    with Substitutes():
        found = function(*inputs)
    for one, other in zip(_leaves(found), _leaves(expected), strict=True):
        assert_near(one.numpy(), other.numpy(), tolerance)


def exported(
    function: Callable[..., Any],
    inputs: Sequence[Tensor],
    axes: Sequence[int] = (0,),
    *,
    opset: int = 20,
    inside: Callable[..., Any] = lambda *_: Substitutes(),
) -> bytes:
    """The graph of `function`, traced under the substitutes, whose inputs' `axes` may change."""

    class Traced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.function = function

        def forward(self, *tensors: Tensor) -> Any:
            with inside(*tensors):
                return self.function(*tensors)

    shapes = (tuple({axis: torch.export.Dim.DYNAMIC for axis in axes if axis < one.dim()} for one in inputs),)
    with quiet(), torch.no_grad():
        traced = torch.export.export(Traced().eval(), tuple(inputs), dynamic_shapes=shapes, strict=False)
        program = torch.onnx.export(
            traced, tuple(inputs), dynamo=True, optimize=False, opset_version=opset, verbose=False
        )
    assert program is not None
    graph: bytes = program.model_proto.SerializeToString()
    return graph


def run(graph: bytes, inputs: Sequence[Tensor]) -> list[np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, {name: one.numpy() for name, one in zip(names, inputs, strict=True)})


def assert_exported(
    function: Callable[..., Any],
    inputs: Callable[[int], Sequence[Tensor]],
    axes: Sequence[int] = (0,),
    *,
    opset: int = 20,
    tolerance: float = 1e-5,
) -> list[str]:
    """`inputs(batch)` through the graph are what PyTorch gives, at every batch; returns the graph's operations."""
    graph = exported(function, inputs(2), axes, opset=opset)
    for batch in BATCHES:
        given = inputs(batch)
        with torch.no_grad():
            expected = _leaves(function(*given))
        for one, other in zip(run(graph, given), expected, strict=True):
            assert_near(one, other.numpy(), tolerance)
    return [node.op_type for node in onnx.load_from_string(graph).graph.node]


def _leaves(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else list(result)
