"""A golden of a class that does not exist."""

import forge

ERROR = "ManifestError"
SENTENCE = (
    "{path}: manifest.json is not valid: a golden has the label 99, which the spec does not know. Export "
    "the bundle again."
)


def build(folder):
    return forge.as_zip(
        folder, forge.contents(edit=lambda manifest: manifest["goldens"]["samples"][0].update(label=99))
    )
