"""A number of 5,000 digits."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: Integer value out of range - at `$.format`. Export the bundle again."


def build(folder):
    return forge.as_zip(folder, {**forge.contents(), "manifest.json": b'{"format": ' + b"9" * 5000 + b"}"})
