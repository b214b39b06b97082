"""A graph cut at every 61st byte, with the digests of what is left."""

import forge
import tiny

ERROR = "NotABundle"
SENTENCE = "{path}: 'generator.fp32.onnx' is not an ONNX model, or is damaged: *."


def build(folder):
    graph = tiny.make("conditional").files[tiny.GRAPH]
    cuts = range(30, len(graph), 61)
    return [forge.as_zip(folder, forge.contents({tiny.GRAPH: graph[:cut]}), f"{cut}.ganrt") for cut in cuts]
