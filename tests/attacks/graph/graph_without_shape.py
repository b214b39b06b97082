"""An input of any shape at all."""

import forge

ERROR = "SpecError"
SENTENCE = "{path}: 'generator.fp32.onnx': input 'z' is float32 [], its spec says float32 [any, 8]."


def build(folder):
    def change(model):
        model.graph.input[0].type.tensor_type.ClearField("shape")

    return forge.as_zip(folder, forge.with_graph(change))
