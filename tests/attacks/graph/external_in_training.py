"""Weights of another file in the part for training."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'generator.fp32.onnx' keeps weights in files outside the bundle; export it with weights inside."


def build(folder):
    def change(model):
        outside = model.training_info.add().algorithm.initializer.add(name="w", data_type=1, dims=[1])
        outside.external_data.add(key="location", value="/etc/passwd")

    return forge.as_zip(folder, forge.with_graph(change))
