"""A manifest without its spec."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: Object missing required field `spec`. Export the bundle again."


def build(folder):
    return forge.as_zip(folder, forge.contents(edit=lambda manifest: manifest.pop("spec")))
