"""A size below nothing."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: Expected `int` >= 0 - at `$.files[...].size`. Export the bundle again."


def build(folder):
    return forge.as_zip(folder, forge.contents(edit=lambda manifest: manifest["files"]["goldens.npy"].update(size=-1)))
