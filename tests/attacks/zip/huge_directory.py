"""An end record whose directory is larger than any bundle's."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle: its directory claims a size that a bundle cannot have."


def build(folder):
    return forge.as_zip(folder, forge.raw_zip(forge.members(forge.contents()), directory_size=0xFFFFFFFF))
