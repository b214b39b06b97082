"""A format before the first."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json gives format 0; the first format is 1."


def build(folder):
    return forge.as_zip(folder, forge.contents(edit=lambda manifest: manifest.update(format=0)))
