"""A model with two graphs: protobuf merges them, so that an engine would also see the first."""

import forge
import onnx
import tiny

ERROR = "NotABundle"
SENTENCE = "{path}: 'generator.fp32.onnx' is not an ONNX model, or is damaged: it holds two graphs."


def build(folder):
    outside = onnx.ModelProto()
    outside.graph.initializer.add(name="w", data_type=1, dims=[1]).external_data.add(
        key="location", value="/etc/passwd"
    )
    held = {tiny.GRAPH: outside.SerializeToString() + tiny.make("conditional").files[tiny.GRAPH]}
    return forge.as_zip(folder, forge.contents(held))
