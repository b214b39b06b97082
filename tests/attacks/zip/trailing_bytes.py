"""Another file behind the zip."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle, or is cut short: it does not end as a zip file does."


def build(folder):
    return forge.as_zip(folder, forge.raw_zip(forge.members(forge.contents())) + b"more")
