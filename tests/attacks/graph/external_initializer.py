"""Weights in another file."""

import forge
from onnx import TensorProto

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'generator.fp32.onnx' keeps weights in files outside the bundle; export it with weights inside."


def build(folder):
    def change(model):
        outside = model.graph.initializer[0]
        outside.data_location = TensorProto.EXTERNAL
        outside.external_data.add(key="location", value="../../etc/passwd")

    return forge.as_zip(folder, forge.with_graph(change))
