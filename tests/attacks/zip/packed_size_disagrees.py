"""A stored member with two sizes."""

import forge

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' claims * bytes, more than the file can hold."


def build(folder):
    manifest, graph, goldens = forge.members(forge.contents())
    return forge.as_zip(folder, forge.raw_zip([manifest, graph, goldens.but(packed=1)]))
