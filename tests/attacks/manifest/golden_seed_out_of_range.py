"""A golden of a seed that cannot be asked for."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: *. Export the bundle again."


def build(folder):
    return forge.as_zip(
        folder, forge.contents(edit=lambda manifest: manifest["goldens"]["samples"][0].update(seed=1 << 64))
    )
