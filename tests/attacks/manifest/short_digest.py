"""A digest that is not one."""

import forge

ERROR = "ManifestError"
SENTENCE = (
    "{path}: manifest.json is not valid: Expected `str` matching regex '^[0-9a-f]{{64}}$' - at "
    "`$.files[...].sha256`. Export the bundle again."
)


def build(folder):
    return forge.as_zip(
        folder, forge.contents(edit=lambda manifest: manifest["files"]["goldens.npy"].update(sha256="abc"))
    )
