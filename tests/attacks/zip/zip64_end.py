"""A zip64 record that announces a directory of its own."""

import struct

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle: its directory claims a size that a bundle cannot have."


def build(folder):
    listed = forge.members(forge.contents())
    place = len(forge.raw_zip(listed)) - 22
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 3, 3, 1 << 40, 0)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, place, 1)
    return forge.as_zip(folder, forge.raw_zip(listed, before_end=record + locator))
