"""Pairs of QuantizeLinear and DequantizeLinear as one FakeQuantize each, as OpenVINO's own tools write them.

OpenVINO reads a pair as FakeQuantize -> Convert -> Convert -> Subtract -> Multiply. Where an activation is then moved
about (reshaped, joined) on its way to a convolution, 2026.4 forgets its zero point on x86-64: digits came 20 dB off
where 40 are right, an RRDB network 37 where 63 are. One FakeQuantize is computed rightly, and the rounding is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ["join_pairs"]


def join_pairs(model: Any) -> None:
    """Changes the `openvino.Model`; pairs with a scale for each channel, and the graph's own outputs, stay."""
    operations: Any = import_module("openvino.opset13")
    for rounded in model.get_ordered_ops():
        if rounded.get_type_name() != "FakeQuantize":
            continue
        for scaled, zero, scale in _dequantized(rounded):
            ends = [_number(rounded.input_value(index)) for index in (3, 4)]
            if None in (*ends, zero, scale) or _is_output(scaled):
                continue
            low, high = (np.float32((end - zero) * scale) for end in ends)  # type: ignore[operator]
            joined = operations.fake_quantize(
                *(rounded.input_value(index) for index in range(3)), low, high, rounded.get_attributes()["levels"]
            )
            for taker in scaled.output(0).get_target_inputs():
                taker.replace_source_output(joined.output(0))
    model.validate_nodes_and_infer_types()


def _dequantized(rounded: Any) -> Iterator[tuple[Any, float | None, float | None]]:
    """What multiplies its whole numbers by a scale, with the zero point that was taken off and the scale."""
    for whole in _takers(rounded, "Convert"):
        for number in _takers(whole, "Convert"):
            for scaled in _takers(number, "Multiply"):
                yield scaled, 0.0, _number(scaled.input_value(1))
            for moved in _takers(number, "Subtract"):
                for scaled in _takers(moved, "Multiply"):
                    yield scaled, _number(moved.input_value(1)), _number(scaled.input_value(1))


def _takers(node: Any, kind: str) -> list[Any]:
    found = [taker.get_node() for taker in node.output(0).get_target_inputs()]
    return [one for one in found if one.get_type_name() == kind]


def _is_output(node: Any) -> bool:
    return bool(_takers(node, "Result"))


def _number(value: Any) -> float | None:
    """A constant's only number, whatever it was converted from; None where there are more."""
    node = value.get_node()
    while node.get_type_name() in ("Convert", "Reshape"):
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or node.get_data().size != 1:
        return None
    return float(node.get_data().reshape(-1)[0])
