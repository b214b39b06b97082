"""A zip of other things."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle: it has no manifest.json."


def build(folder):
    return forge.as_zip(folder, {"notes.txt": b"nothing"})
