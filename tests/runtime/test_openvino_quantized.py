"""8-bit graphs on OpenVINO: pairs of Quantize and Dequantize are computed as they are written, wherever they stand."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from ganrt import backends
from ganrt.backends.base import Graph, Options

pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'ganrt[openvino]'")

MOVES = {
    "joined": [helper.make_node("Concat", ["8bit", "8bit_too"], ["moved"], axis=1)],
    "woven": [
        helper.make_node("Reshape", ["8bit", "flat"], ["row"]),
        helper.make_node("Transpose", ["row"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["turned", "square"], ["moved"]),
    ],
    "as it is": [helper.make_node("Identity", ["8bit"], ["moved"])],
}


def convolution(moves: str, zero_point: int, *, padding: int, gives_8bit: bool = False) -> bytes:
    """x [batch, 4, 6, 6] -> leaky ReLU -> 8 bits -> moved about -> 3 x 3 convolution of 8-bit weights."""
    random = np.random.default_rng(3)
    signed = np.dtype(np.int8 if zero_point <= 0 else np.uint8)
    channels = 8 if moves == "joined" else 4
    constants = {
        "scale": np.float32(0.02),
        "zero": np.array(zero_point, signed),
        "flat": np.array([0, 4, 36], np.int64),
        "square": np.array([0, 4, 6, 6], np.int64),
        "weights": random.integers(-127, 128, (5, channels, 3, 3), np.int8),
        "steps": random.uniform(0.001, 0.01, 5).astype(np.float32),
        "zeros": np.zeros(5, np.int8),
    }
    nodes = [
        helper.make_node("LeakyRelu", ["x"], ["bent"], alpha=0.2),
        helper.make_node("QuantizeLinear", ["bent", "scale", "zero"], ["rounded"]),
        helper.make_node("DequantizeLinear", ["rounded", "scale", "zero"], ["8bit"]),
        helper.make_node("DequantizeLinear", ["rounded", "scale", "zero"], ["8bit_too"]),
        helper.make_node("DequantizeLinear", ["weights", "steps", "zeros"], ["w"], axis=0),
        *MOVES[moves],
        helper.make_node("Conv", ["moved", "w"], ["y"], pads=[padding] * 4),
    ]
    outputs = ["y", "8bit"] if gives_8bit else ["y"]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 6, 6])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", None, None, None]) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    data: bytes = model.SerializeToString()
    return data


def computed(engine: str, data: bytes, x: np.ndarray, outputs: list[str]) -> list[np.ndarray]:
    with closing(backends.open_session(engine, Graph(data, "", "int8"), Options(2, "int8"))) as session:
        found = session.evaluate({"x": x}, outputs)
    return [found[name] for name in outputs]


@settings(max_examples=12)
@given(
    moves=st.sampled_from(sorted(MOVES)),
    zero_point=st.sampled_from([-20, 0, 128, 100]),
    padding=st.sampled_from([0, 1]),
    batch=st.integers(1, 3),
)
def test_a_zero_point_is_kept_whatever_is_between_the_pair_and_the_convolution(
    moves: str, zero_point: int, padding: int, batch: int
) -> None:
    data = convolution(moves, zero_point, padding=padding)
    x = np.random.default_rng(batch).standard_normal((batch, 4, 6, 6)).astype(np.float32)
    (right,), (found,) = (computed(engine, data, x, ["y"]) for engine in ("onnxruntime", "openvino"))
    # a value halfway between two steps may be rounded to either: one step through one weight
    assert np.abs(found - right).max() <= 0.02 * 127 * 0.01 * 2


def test_a_pair_that_is_an_output_itself_is_given_too() -> None:
    data = convolution("as it is", 0, padding=1, gives_8bit=True)
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)
    right, found = (computed(engine, data, x, ["y", "8bit"]) for engine in ("onnxruntime", "openvino"))
    for one, other in zip(right, found, strict=True):
        assert np.abs(one - other).max() <= 0.03
