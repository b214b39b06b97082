"""A Constant node whose sparse tensor lies in another file."""

import forge
from onnx import SparseTensorProto, helper

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'generator.fp32.onnx' keeps weights in files outside the bundle; export it with weights inside."


def build(folder):
    def change(model):
        outside = SparseTensorProto(dims=[1])
        outside.values.external_data.add(key="location", value="/etc/passwd")
        model.graph.node.append(helper.make_node("Constant", [], ["c"], sparse_value=outside))

    return forge.as_zip(folder, forge.with_graph(change))
