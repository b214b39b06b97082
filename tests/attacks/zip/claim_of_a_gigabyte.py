"""A small zip with a member that says it has 1 GiB."""

import forge

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' claims 1073741824 bytes, more than the file can hold."


def build(folder):
    manifest, graph, goldens = forge.members(forge.contents())
    return forge.as_zip(folder, forge.raw_zip([manifest, graph, goldens.but(size=1 << 30)]))
