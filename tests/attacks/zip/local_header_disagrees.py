"""A member that is called otherwise in its own header."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is damaged: its directory and its member 'goldens.npy' disagree."


def build(folder):
    manifest, graph, goldens = forge.members(forge.contents())
    return forge.as_zip(folder, forge.raw_zip([manifest, graph, goldens.but(local_name=b"payload.py!")]))
