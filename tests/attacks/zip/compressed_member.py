"""A deflated member, which could unfold to any size."""

import zipfile

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'generator.fp32.onnx' is compressed or encrypted; bundles are plain."


def build(folder):
    path = folder / "deflated.ganrt"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in forge.contents().items():
            archive.writestr(name, data, zipfile.ZIP_DEFLATED if name.endswith(".onnx") else zipfile.ZIP_STORED)
    return path
