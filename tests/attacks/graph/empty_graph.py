"""A graph of no bytes."""

import forge
import tiny

ERROR = "NotABundle"
SENTENCE = "{path}: 'generator.fp32.onnx' is not an ONNX model, or is damaged: it holds no graph."


def build(folder):
    return forge.as_zip(folder, forge.contents({tiny.GRAPH: b""}))
