"""Two members of one name: readers differ on which one counts."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path} holds 'goldens.npy' twice."


def build(folder):
    listed = forge.members(forge.contents())
    return forge.as_zip(folder, forge.raw_zip([*listed, listed[-1]]))
