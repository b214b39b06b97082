"""Sparse weights in another file."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'generator.fp32.onnx' keeps weights in files outside the bundle; export it with weights inside."


def build(folder):
    def change(model):
        sparse = model.graph.sparse_initializer.add(dims=[4])
        sparse.values.name = "sparse"
        sparse.indices.external_data.add(key="location", value="/etc/passwd")

    return forge.as_zip(folder, forge.with_graph(change))
