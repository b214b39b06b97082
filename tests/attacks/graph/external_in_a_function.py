"""Weights of another file inside a function of the model."""

import forge
from onnx import TensorProto, helper

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'generator.fp32.onnx' keeps weights in files outside the bundle; export it with weights inside."


def build(folder):
    def change(model):
        outside = TensorProto(name="c", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
        outside.external_data.add(key="location", value="/etc/passwd")
        node = helper.make_node("Constant", [], ["c"], value=outside)
        opset = [helper.make_opsetid("", 17)]
        model.functions.append(helper.make_function("local", "f", [], ["c"], [node], opset))

    return forge.as_zip(folder, forge.with_graph(change))
