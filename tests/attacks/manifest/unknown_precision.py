"""A graph of a precision that the format does not have."""

import forge

ERROR = "ManifestError"
SENTENCE = (
    "{path}: manifest.json is not valid: Invalid enum value 'fp128' - at `key` in `$.graphs`. Export the bundle again."
)


def build(folder):
    return forge.as_zip(
        folder, forge.contents(edit=lambda manifest: manifest["graphs"].update(fp128="generator.fp32.onnx"))
    )
