"""Latents in float64."""

import forge
from onnx import TensorProto

ERROR = "SpecError"
SENTENCE = "{path}: 'generator.fp32.onnx': input 'z' is float64 [any, 8], its spec says float32 [any, 8]."


def build(folder):
    def change(model):
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE

    return forge.as_zip(folder, forge.with_graph(change))
