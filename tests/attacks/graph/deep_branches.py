"""Branches within branches, more than any model has."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path}: 'generator.fp32.onnx' is not an ONNX model, or is damaged: its graphs are nested too deep."


def build(folder):
    def change(model):
        graph = model.graph
        for _ in range(40):
            graph = graph.node.add(op_type="If").attribute.add(name="then_branch").g

    return forge.as_zip(folder, forge.with_graph(change))
