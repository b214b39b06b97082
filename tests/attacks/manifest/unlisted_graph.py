"""A graph that is not among the listed files."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: 'other.onnx' is used but not listed in files. Export the bundle again."


def build(folder):
    return forge.as_zip(folder, forge.contents(edit=lambda manifest: manifest["graphs"].update(fp32="other.onnx")))
