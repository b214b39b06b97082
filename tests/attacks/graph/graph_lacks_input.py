"""A graph without the latents that the spec names."""

import forge

ERROR = "SpecError"
SENTENCE = "{path}: 'generator.fp32.onnx' has no input 'z', which its spec names; it has: label, noise."


def build(folder):
    def change(model):
        model.graph.input[0].name = "noise"

    return forge.as_zip(folder, forge.with_graph(change))
