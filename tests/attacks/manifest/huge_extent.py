"""A picture of a size that no memory holds."""

import forge

ERROR = "ManifestError"
SENTENCE = (
    "{path}: manifest.json is not valid: a picture of 16777216x16777216x1 values is larger than 2**31 - "
    "at `$.spec.output`. Export the bundle again."
)


def build(folder):
    return forge.as_zip(
        folder, forge.contents(edit=lambda manifest: manifest["spec"]["output"].update(height=1 << 24, width=1 << 24))
    )
