"""A download that lost its beginning."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is *"


def build(folder):
    whole = forge.raw_zip(forge.members(forge.contents()))
    return [forge.as_zip(folder, whole[size:], f"{size}.ganrt") for size in range(64, len(whole), 640)]
