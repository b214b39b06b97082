"""A member that says 1 TiB in a zip64 field."""

import struct

import forge

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' claims 1099511627776 bytes, more than the file can hold."


def build(folder):
    manifest, graph, goldens = forge.members(forge.contents())
    extra = struct.pack("<2H2Q", 1, 16, 1 << 40, 1 << 40)
    return forge.as_zip(folder, forge.raw_zip([manifest, graph, goldens.but(size=0xFFFFFFFF, extra=extra)]))
