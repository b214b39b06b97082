"""A text under a graph's name."""

import forge
import tiny

ERROR = "NotABundle"
SENTENCE = "{path}: 'generator.fp32.onnx' is not an ONNX model, or is damaged: *."


def build(folder):
    return forge.as_zip(folder, forge.contents({tiny.GRAPH: b"version https://git-lfs.github.com/spec/v1\n"}))
