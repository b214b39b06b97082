"""float16 in the types of a graph: valid, strongly typed, as small as it can be, and the same at its edges."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ganrt import Bundle
from ganrt_export.precision.half_types import Halves
from ganrt_export.precision.samples import outputs_of

DIGITS = Bundle.open("digits").graph()


def graph(nodes: list[onnx.NodeProto], constants: dict[str, NDArray], width: int = 4) -> bytes:
    """x float32 [batch, width] -> y float32."""
    for node in nodes:
        node.name = node.output[0]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return onnx.shape_inference.infer_shapes(model).SerializeToString()


def types(data: bytes) -> dict[str, int]:
    """Element type of every tensor; fails for a graph whose types contradict each other."""
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    found = {one.name: one.type.tensor_type.elem_type for one in (*inferred.value_info, *inferred.input)}
    found |= {one.name: one.type.tensor_type.elem_type for one in inferred.output}
    return found | {weight.name: weight.data_type for weight in inferred.initializer}


SQUARES = graph(
    [
        helper.make_node("Mul", ["x", "x"], ["square"]),
        helper.make_node("Add", ["square", "epsilon"], ["more"]),
        helper.make_node("Sqrt", ["more"], ["root"]),
        helper.make_node("Mul", ["root", "gain"], ["y"]),
    ],
    {"epsilon": np.float32(1e-8).reshape(()), "gain": np.linspace(0.1, 1.7, 4, dtype=np.float32)},
)


def test_everything_lowered_is_float16_inside_and_the_same_outside() -> None:
    found, before = types(Halves(DIGITS).lowered(())), onnx.load_from_string(DIGITS).graph
    assert {one.name: found[one.name] for one in (*before.input, *before.output)} == {
        one.name: one.type.tensor_type.elem_type for one in (*before.input, *before.output)
    }
    inside = set(found) - {one.name for one in (*before.input, *before.output)}
    assert TensorProto.FLOAT not in {found[name] for name in inside}


@pytest.mark.parametrize("kept", ["square", "more", "root", "y"])
def test_an_operation_that_is_kept_takes_and_gives_float32(kept: str) -> None:
    data = Halves(SQUARES).lowered({kept})
    found = types(data)
    for node in onnx.load_from_string(data).graph.node:
        if node.op_type != "Cast":
            wanted = TensorProto.FLOAT if node.name == kept else TensorProto.FLOAT16
            assert {found[name] for name in (*node.input, *node.output)} == {wanted}, node.name


def test_a_tensor_is_cast_once_for_all_that_take_it() -> None:
    nodes = [helper.make_node("Exp", ["x"], ["e"])]
    nodes += [helper.make_node(op, ["e"], [op.lower()]) for op in ("Sin", "Cos", "Tanh")]
    nodes += [helper.make_node("Sum", ["sin", "cos", "tanh"], ["y"])]
    low = onnx.load_from_string(Halves(graph(nodes, {})).lowered({"sin", "cos", "tanh"}))
    assert [node.input[0] for node in low.graph.node if node.op_type == "Cast"].count("e") == 1


def test_with_everything_kept_it_is_the_graph_it_was() -> None:
    halves = Halves(SQUARES)
    x = np.random.default_rng(0).standard_normal((3, 4), np.float32)
    (before,), (after,) = (outputs_of(data, [{"x": x}], ["y"]) for data in (SQUARES, halves.lowered(halves.operations)))
    np.testing.assert_array_equal(before["y"], after["y"])


def test_the_emulation_is_float16_to_the_bit() -> None:
    x = np.random.default_rng(1).standard_normal((50, 4), np.float32)
    halves = Halves(SQUARES)
    (found,) = outputs_of(halves.switched(), [{"x": x, **halves.switches(())}], ["y"])
    half = x.astype(np.float16)
    more = (half * half + np.float16(1e-8)).astype(np.float32)
    root = np.sqrt(more).astype(np.float16)
    expected = root * np.linspace(0.1, 1.7, 4, dtype=np.float32).astype(np.float16)
    np.testing.assert_array_equal(found["y"], expected.astype(np.float32))


def test_the_emulation_with_every_switch_off_is_float32() -> None:
    x = np.random.default_rng(2).standard_normal((5, 4), np.float32)
    halves = Halves(SQUARES)
    (found,) = outputs_of(halves.switched(), [{"x": x, **halves.switches(halves.operations)}], ["y"])
    (expected,) = outputs_of(SQUARES, [{"x": x}], ["y"])
    np.testing.assert_array_equal(found["y"], expected["y"])


def test_what_overflows_is_infinite_in_the_emulation() -> None:
    data = graph([helper.make_node("Mul", ["x", "gain"], ["y"])], {"gain": np.full(4, 60_000, np.float32)})
    halves = Halves(data)
    (found,) = outputs_of(halves.switched(), [{"x": np.full((1, 4), 2, np.float32), **halves.switches(())}], ["y"])
    assert np.isposinf(found["y"]).all()


def test_constants_that_float16_turns_into_something_else_are_no_choice() -> None:
    assert Halves(SQUARES).unfit == {"more"}
    large = graph([helper.make_node("Mul", ["x", "c"], ["y"])], {"c": np.array([1, 2, 3, 1e6], np.float32)})
    assert Halves(large).unfit == {"y"}
    few_small = graph([helper.make_node("Mul", ["x", "c"], ["y"])], {"c": np.array([1, 2, 3, 1e-9], np.float32)})
    assert Halves(few_small).unfit == frozenset()


def test_the_scales_of_a_resize_stay_float32_as_its_schema_wants() -> None:
    shape, scales = np.array([-1, 1, 2, 2], np.int64), np.array([1, 1, 2, 2], np.float32)
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["picture"]),
        helper.make_node("Resize", ["picture", "", "scales"], ["y"], mode="nearest"),
    ]
    found = types(Halves(graph(nodes, {"shape": shape, "scales": scales})).lowered(()))
    assert found["scales"] == TensorProto.FLOAT
    assert found["picture"] == TensorProto.FLOAT16


def test_a_loop_stays_as_it_is_and_is_fed_float32() -> None:
    body = helper.make_graph(
        [helper.make_node("Mul", ["row", "outside"], ["squared"])],
        "body",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("squared", TensorProto.FLOAT, [4])],
    )
    nodes = [
        helper.make_node("ReduceMean", ["x", "axes"], ["outside"], keepdims=0),
        helper.make_node("Scan", ["x"], ["scanned"], body=body, num_scan_inputs=1),
        helper.make_node("Tanh", ["scanned"], ["y"]),
    ]
    data = graph(nodes, {"axes": np.array([0], np.int64)})
    halves = Halves(data)
    assert halves.operations == ("outside", "y")
    x = np.random.default_rng(3).standard_normal((3, 4), np.float32)
    (before,), (after,) = (outputs_of(one, [{"x": x}], ["y"]) for one in (data, halves.lowered(())))
    np.testing.assert_allclose(after["y"], before["y"], atol=2e-3)


def test_equal_graphs_give_equal_bytes() -> None:
    assert Halves(DIGITS).lowered(("conv2d",)) == Halves(DIGITS).lowered(("conv2d",))
