"""A digest that is another file's."""

import forge

ERROR = "IntegrityError"
SENTENCE = (
    "{path}: 'generator.fp32.onnx' has been changed or damaged: its SHA-256 is *..., the manifest says "
    "000000000000.... Get the bundle again."
)


def build(folder):
    held = forge.contents(edit=lambda manifest: manifest["files"]["generator.fp32.onnx"].update(sha256="0" * 64))
    return [forge.as_zip(folder, held), forge.as_directory(folder, held)]
