"""An extra field that ends in the middle."""

import struct

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle, or is damaged: *."


def build(folder):
    manifest, graph, goldens = forge.members(forge.contents())
    extras = [struct.pack("<2H4s", 1, 4, b"1234"), struct.pack("<2H4s", 1, 24, b"1234")]
    return [
        forge.as_zip(folder, forge.raw_zip([manifest, graph, goldens.but(size=0xFFFFFFFF, extra=extra)]), f"{n}.ganrt")
        for n, extra in enumerate(extras)
    ]
