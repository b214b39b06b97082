"""A bundle from the future, with fields that nobody knows yet."""

import forge

ERROR = "FormatTooNew"
SENTENCE = "{path} is written in bundle format 2; this ganrt reads up to 1. Update it: pip install --upgrade ganrt"


def build(folder):
    return forge.as_zip(folder, forge.contents(edit=lambda manifest: manifest.update(format=2, future=True)))
