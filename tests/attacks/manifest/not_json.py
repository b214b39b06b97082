"""A manifest that is no JSON."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: JSON is malformed: invalid character (byte *). Export the bundle again."


def build(folder):
    return forge.as_zip(folder, {**forge.contents(), "manifest.json": b"format: 1"})
