"""Ten classes, ten names, two of them the same."""

import forge

ERROR = "ManifestError"
SENTENCE = (
    "{path}: manifest.json is not valid: label 'label' has 10 classes and 10 names, 1 of them different; "
    "every class needs a name of its own - at `$.spec.inputs[1]`. Export the bundle again."
)


def build(folder):
    return forge.as_zip(
        folder, forge.contents(edit=lambda manifest: manifest["spec"]["inputs"][1].update(names=["same"] * 10))
    )
