"""A member with the flag for encryption."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'generator.fp32.onnx' is compressed or encrypted; bundles are plain."


def build(folder):
    manifest, graph, goldens = forge.members(forge.contents())
    return forge.as_zip(folder, forge.raw_zip([manifest, graph.but(flags=0x801), goldens]))
