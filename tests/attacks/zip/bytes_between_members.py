"""Bytes that belong to no member."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is damaged: there are stray or shared bytes before 'generator.fp32.onnx'."


def build(folder):
    return forge.as_zip(folder, forge.raw_zip(forge.members(forge.contents()), between=b"hidden"))
