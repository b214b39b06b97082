"""Weights in half the bytes: which are rounded, that the graph is exactly the rounded module, what is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from ganrt.errors import FidelityError
from ganrt_export.families.cgan import FoldedGenerator
from ganrt_export.half_weights import SMALLEST, round_weights
from ganrt_export.to_onnx import export_onnx


def test_large_weights_are_float16_numbers_and_small_ones_are_untouched(exported) -> None:
    folded = FoldedGenerator(exported.trained)
    before, after = folded.state_dict(), round_weights(folded).state_dict()
    for name, weight in after.items():
        large = weight.numel() >= SMALLEST
        assert torch.equal(weight, before[name].half().float() if large else before[name]), name
    assert any(weight.numel() < SMALLEST for weight in after.values())


def test_rounding_makes_a_copy(exported) -> None:
    folded = FoldedGenerator(exported.trained)
    before = {name: value.clone() for name, value in folded.state_dict().items()}
    round_weights(folded)
    assert all(torch.equal(value, before[name]) for name, value in folded.state_dict().items())


def test_rounding_twice_is_rounding_once(exported) -> None:
    again = round_weights(exported.module).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in exported.module.state_dict().items())


def test_the_graph_stores_exactly_the_modules_weights(exported) -> None:
    stored = {w.name: w for w in onnx.load_from_string(exported.half_graph).graph.initializer}
    plain = {w.name: w for w in onnx.load_from_string(exported.graph).graph.initializer}
    for name, weight in plain.items():
        array = numpy_helper.to_array(weight)
        large = array.dtype == np.float32 and array.size >= SMALLEST
        half = stored[f"{name}.half" if large else name]
        assert half.data_type == (TensorProto.FLOAT16 if large else weight.data_type)
        np.testing.assert_array_equal(numpy_helper.to_array(half).astype(array.dtype), array)


def test_every_large_weight_is_cast_once_and_the_rest_of_the_graph_is_the_same(exported) -> None:
    halves, plain = (onnx.load_from_string(graph).graph for graph in (exported.half_graph, exported.graph))
    casts = [node for node in halves.node if node.input[0].endswith(".half")]
    assert [node.op_type for node in casts] == ["Cast"] * len(casts)
    assert list(halves.node)[len(casts) :] == list(plain.node)
    large = sum(np.prod(w.dims) >= SMALLEST for w in plain.initializer)
    assert len(casts) == large > 0
    assert len(exported.half_graph) < 0.6 * len(exported.graph)


def test_weights_that_float16_does_not_hold_are_refused(exported) -> None:
    with pytest.raises(FidelityError, match=r"does not fit float16; call round_weights\(module\) first"):
        export_onnx(FoldedGenerator(exported.trained), exported.spec, half_weights=True)
