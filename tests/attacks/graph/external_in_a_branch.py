"""Weights of another file inside a branch of an If, itself inside a branch of an If."""

import forge
from onnx import TensorProto, helper

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'generator.fp32.onnx' keeps weights in files outside the bundle; export it with weights inside."


def build(folder):
    def change(model):
        def branch(nodes, tensors=()):
            return helper.make_graph(nodes, "branch", [], [], list(tensors))

        outside = TensorProto(name="w", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
        outside.external_data.add(key="location", value="weights.bin")
        inner = helper.make_node("If", ["c"], ["y"], then_branch=branch([], [outside]), else_branch=branch([]))
        model.graph.node.append(
            helper.make_node("If", ["c"], ["x"], then_branch=branch([]), else_branch=branch([inner]))
        )

    return forge.as_zip(folder, forge.with_graph(change))
