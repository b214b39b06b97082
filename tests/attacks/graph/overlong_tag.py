"""A field number beyond 32 bits, of which an engine sees only the lower ones."""

import forge
import tiny

ERROR = "NotABundle"
SENTENCE = "{path}: 'generator.fp32.onnx' is not an ONNX model, or is damaged: it has a field that ONNX cannot have."


def build(folder):
    tag = (1 << 32) + (7 << 3) + 2
    varint = bytes([(tag >> shift & 0x7F) | 0x80 for shift in range(0, 28, 7)]) + bytes([tag >> 28])
    return forge.as_zip(
        folder, forge.contents({tiny.GRAPH: varint + b"\0" + tiny.make("conditional").files[tiny.GRAPH]})
    )
