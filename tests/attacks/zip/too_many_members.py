"""A zip of more members than any bundle has."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} holds more than 10000 files; it is not a bundle."


def build(folder):
    return forge.as_zip(folder, {f"{index}": b"" for index in range(10_001)})
