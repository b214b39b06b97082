"""A latent of more numbers than any generator takes."""

import forge

ERROR = "ManifestError"
SENTENCE = (
    "{path}: manifest.json is not valid: Expected `int` <= 16777216 - at `$.spec.inputs[0].size`. Export "
    "the bundle again."
)


def build(folder):
    return forge.as_zip(
        folder, forge.contents(edit=lambda manifest: manifest["spec"]["inputs"][0].update(size=1 << 40))
    )
