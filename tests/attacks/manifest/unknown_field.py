"""A manifest with a field that the format does not have."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: Object contains unknown field `pre_install`. Export the bundle again."


def build(folder):
    return forge.as_zip(folder, forge.contents(edit=lambda manifest: manifest.update(pre_install="rm -rf /")))
