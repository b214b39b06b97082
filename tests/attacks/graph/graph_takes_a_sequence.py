"""An input that is no tensor."""

import forge
from onnx import helper

ERROR = "NotABundle"
SENTENCE = "{path}: 'generator.fp32.onnx' is not an ONNX model, or is damaged: an input or output is not a tensor."


def build(folder):
    def change(model):
        sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, ["batch", 8]))
        model.graph.input[0].type.CopyFrom(sequence)

    return forge.as_zip(folder, forge.with_graph(change))
