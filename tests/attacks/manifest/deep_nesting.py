"""A manifest of 100,000 brackets."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: maximum recursion depth exceeded*. Export the bundle again."


def build(folder):
    return forge.as_zip(folder, {**forge.contents(), "manifest.json": b'{"format": 1, "quality": ' + b"[" * 100_000})
