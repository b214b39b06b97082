"""An input whose name is not UTF-8."""

import forge
import tiny

ERROR = "NotABundle"
SENTENCE = "{path}: 'generator.fp32.onnx' is not an ONNX model, or is damaged: a text in it is not UTF-8."


def build(folder):
    graph = tiny.make("conditional").files[tiny.GRAPH].replace(b"\x05label", b"\x05\xff\xfebel")
    return forge.as_zip(folder, forge.contents({tiny.GRAPH: graph}))
