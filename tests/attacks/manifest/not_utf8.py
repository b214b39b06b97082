"""A manifest in another encoding."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: *. Export the bundle again."


def build(folder):
    return forge.as_zip(folder, {**forge.contents(), "manifest.json": '{"format": 1, "name": "ä"}'.encode("latin-1")})
