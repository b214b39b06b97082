"""A golden of a truncation that the spec does not allow."""

import forge

ERROR = "ManifestError"
SENTENCE = (
    "{path}: manifest.json is not valid: a golden has the truncation 1000.0, which the spec does not "
    "allow. Export the bundle again."
)


def build(folder):
    return forge.as_zip(
        folder, forge.contents(edit=lambda manifest: manifest["goldens"]["samples"][0].update(truncation=1000.0))
    )
