"""Weights that name another file but do not say that they are there."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'generator.fp32.onnx' keeps weights in files outside the bundle; export it with weights inside."


def build(folder):
    def change(model):
        model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")

    return forge.as_zip(folder, forge.with_graph(change))
