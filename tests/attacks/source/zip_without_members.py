"""The smallest zip there is."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle: it has no manifest.json."


def build(folder):
    return forge.as_zip(folder, {})
