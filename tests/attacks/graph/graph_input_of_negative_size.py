"""A size that is a negative number."""

import forge

ERROR = "SpecError"
SENTENCE = "{path}: 'generator.fp32.onnx': input 'z' is float32 [any, -1], its spec says float32 [any, 8]."


def build(folder):
    def change(model):
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -1

    return forge.as_zip(folder, forge.with_graph(change))
