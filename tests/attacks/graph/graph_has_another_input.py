"""A graph that takes what the spec does not mention."""

import forge
from onnx import TensorProto, helper

ERROR = "SpecError"
SENTENCE = "{path}: 'generator.fp32.onnx' takes 'secret', which its spec does not mention."


def build(folder):
    def change(model):
        model.graph.input.append(helper.make_tensor_value_info("secret", TensorProto.FLOAT, ["batch", 1]))

    return forge.as_zip(folder, forge.with_graph(change))
