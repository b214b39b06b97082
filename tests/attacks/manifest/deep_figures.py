"""Figures nested 900 levels deep, which take a thousand times their size when written out."""

import json

import forge

ERROR = "ManifestError"
SENTENCE = (
    "{path}: manifest.json is not valid: quality, fidelity and provenance go at most 16 levels deep. "
    "Export the bundle again."
)


def build(folder):
    return forge.as_zip(
        folder, forge.contents(edit=lambda manifest: manifest.update(quality={"a": json.loads("[" * 900 + "]" * 900)}))
    )
