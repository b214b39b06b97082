"""A graph that gives no pictures."""

import forge

ERROR = "SpecError"
SENTENCE = "{path}: 'generator.fp32.onnx' has no output 'image', which its spec names; it has: image_float."


def build(folder):
    def change(model):
        del model.graph.output[0]

    return forge.as_zip(folder, forge.with_graph(change))
