"""A graph of zeros, which must not be read to its end to be refused."""

import forge
import tiny

ERROR = "NotABundle"
SENTENCE = "{path}: 'generator.fp32.onnx' is not an ONNX model, or is damaged: it has a field that ONNX cannot have."


def build(folder):
    return forge.as_zip(folder, forge.contents({tiny.GRAPH: bytes(10_000_000)}))
