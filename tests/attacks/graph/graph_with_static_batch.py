"""A graph for exactly four samples."""

import forge

ERROR = "SpecError"
SENTENCE = "{path}: 'generator.fp32.onnx': input 'z' is float32 [4, 8], its spec says float32 [any, 8]."


def build(folder):
    def change(model):
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4

    return forge.as_zip(folder, forge.with_graph(change))
