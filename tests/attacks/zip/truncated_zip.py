"""A download that stopped: cut at every 64th byte."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle, or is cut short: it does not end as a zip file does."


def build(folder):
    whole = forge.raw_zip(forge.members(forge.contents()))
    return [forge.as_zip(folder, whole[:size], f"{size}.ganrt") for size in range(0, len(whole), 64)]
