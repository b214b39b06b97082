"""An end record that places its directory before or behind the file."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is *damaged: *."


def build(folder):
    listed = forge.members(forge.contents())
    return [
        forge.as_zip(folder, forge.raw_zip(listed, directory_offset=0xFFFFFFFF), "behind.ganrt"),
        forge.as_zip(folder, forge.raw_zip(listed, directory_size=4 << 20), "before.ganrt"),
    ]
