"""A field name of a megabyte, which the message must not repeat."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: Object contains unknown field `aaa*.... Export the bundle again."


def build(folder):
    return forge.as_zip(folder, {**forge.contents(), "manifest.json": b'{"format": 1, "' + b"a" * 1_000_000 + b'": 1}'})
