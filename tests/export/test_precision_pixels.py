"""The pixels of a quantized graph in one operation: the same pixels, or the graph as it was."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from ganrt.spec import Image, Latent, Spec
from ganrt_export.precision.rounded_pixels import rounded_pixels
from ganrt_export.precision.samples import outputs_of
from ganrt_export.to_onnx import export_onnx


class Spread(nn.Module):
    """z [batch, 12] -> [batch, 3, 2, 2], beyond the range as well."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, z: Tensor) -> Tensor:
        return (z / 4 + 0.5).reshape(-1, 3, 2, 2) * (self.high - self.low) + self.low


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0), (-0.5, 0.5)])
def test_the_pixels_are_those_of_the_whole_chain(low: float, high: float) -> None:
    spec = Spec(inputs=(Latent(size=12),), output=Image(height=2, width=2, channels=3, low=low, high=high))
    plain = export_onnx(Spread(low, high).eval(), spec)
    short = rounded_pixels(plain, "image", "image_float")
    onnx.checker.check_model(onnx.load_from_string(short), full_check=True)
    kinds = [node.op_type for node in onnx.load_from_string(short).graph.node]
    assert "QuantizeLinear" in kinds
    assert not {"Round", "Cast"} & set(kinds)
    feeds = [{"z": np.random.default_rng(0).standard_normal((5000, 12)).astype(np.float32)}]
    (before,), (after,) = (outputs_of(one, feeds, ["image", "image_float"]) for one in (plain, short))
    np.testing.assert_array_equal(after["image_float"], before["image_float"])
    steps = np.abs(after["image"].astype(int) - before["image"].astype(int))
    assert steps.max() <= 1  # where a half is rounded after another product
    assert (steps == 0).mean() > 0.999


def test_pixels_that_are_made_in_another_way_stay() -> None:
    nodes = [
        helper.make_node("Tanh", ["z"], ["image_float"]),
        helper.make_node("Exp", ["image_float"], ["grown"]),
        helper.make_node("Cast", ["grown"], ["image"], to=TensorProto.UINT8),
    ]
    ports = [
        helper.make_tensor_value_info(name, kind, ["batch", 4])
        for name, kind in (("z", TensorProto.FLOAT), ("image", TensorProto.UINT8), ("image_float", TensorProto.FLOAT))
    ]
    made = helper.make_graph(nodes, "g", ports[:1], ports[1:], [numpy_helper.from_array(np.float32(1), "unused")])
    data = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9).SerializeToString()
    assert rounded_pixels(data, "image", "image_float") == data
