"""A zip member that is a link."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'goldens.npy' is a link; a bundle holds plain files only."


def build(folder):
    manifest, graph, goldens = forge.members(forge.contents())
    return forge.as_zip(folder, forge.raw_zip([manifest, graph, goldens.but(mode=0o120777)]))
