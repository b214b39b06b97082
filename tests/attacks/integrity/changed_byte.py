"""One bit of one weight changed."""

import forge

ERROR = "IntegrityError"
SENTENCE = (
    "{path}: 'generator.fp32.onnx' has been changed or damaged: its SHA-256 is *..., the manifest says "
    "*.... Get the bundle again."
)


def build(folder):
    held = forge.contents()
    graph = bytearray(held["generator.fp32.onnx"])
    graph[len(graph) // 2] ^= 1
    held["generator.fp32.onnx"] = bytes(graph)
    return [forge.as_zip(folder, held), forge.as_directory(folder, held)]
