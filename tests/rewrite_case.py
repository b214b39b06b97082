"""What every test of a rewrite needs: a small graph, the rewrite alone on it, and both run without an engine's own.

The reference of a law is PyTorch in float64; a rewritten graph must be as near to it as float32 arithmetic comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx_ir.passes import common

ROUNDING = 4e-6  # of the largest value: float32 has 6e-8, and sums here are of a few hundred terms


class Build:
    """An ONNX graph, node by node: `build("Relu", x)` gives the name of its result."""

    def __init__(self, **inputs: Sequence[int | str]) -> None:
        self.inputs = inputs
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}

    def __call__(self, operation: str, *inputs: Any, name: str = "", **attributes: Any) -> str:
        names = [one if isinstance(one, str) else self.weight(one) for one in inputs]
        made = name or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, names, [made], **attributes))
        return made

    def weight(self, array: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = np.asarray(array)
        return name

    def bytes(self, *outputs: str, types: Mapping[str, int] | None = None, opset: int = 20) -> bytes:
        """The model; the shapes of its outputs are inferred."""
        types = types or {}
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in self.inputs.items()],
            [helper.make_tensor_value_info(name, types.get(name, TensorProto.FLOAT), None) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        model = onnx.shape_inference.infer_shapes(model, data_prop=True, strict_mode=True)
        return model.SerializeToString()


def run(data: bytes, feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """All outputs on ONNX Runtime, without its own rewrites."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, dict(feeds))


def rewrite(data: bytes, *rewrites: Callable[[ir.Graph], int]) -> tuple[bytes, int]:
    """The model after these rewrites, valid and with its ports, and how often the last one applied."""
    model = ir.from_proto(onnx.load_from_string(data))
    applied = 0
    for one in rewrites:
        common.ShapeInferencePass()(model)
        applied = one(model.graph)
    common.RemoveUnusedNodesPass()(model)
    common.NameFixPass()(model)
    made = ir.to_proto(model).SerializeToString()
    onnx.checker.check_model(made, full_check=True)
    given, found = (onnx.load_from_string(one).graph for one in (data, made))
    assert [port.name for port in given.input] == [port.name for port in found.input]
    assert [port.name for port in given.output] == [port.name for port in found.output]
    return made, applied


def operations(data: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(data).graph.node)


def assert_near(found: NDArray[Any], expected: Any, rounding: float = ROUNDING) -> None:
    """Equal to float32 rounding, against the largest value expected."""
    wanted = np.asarray(expected, np.float64)
    assert found.shape == wanted.shape
    scale = max(float(np.abs(wanted).max(initial=0.0)), 1e-3)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=rounding * scale)
