"""A name that would clear the terminal that lists it."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: Expected `str` matching regex * - at `$.name`. Export the bundle again."


def build(folder):
    return forge.as_zip(folder, forge.contents(edit=lambda manifest: manifest.update(name="\x1b[2Jdigits")))
