"""A file of no bytes."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle, or is cut short: it does not end as a zip file does."


def build(folder):
    return forge.as_zip(folder, b"")
