"""A folder in which one file is a link."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'goldens.npy' is a link; a bundle holds plain files only."


def build(folder):
    root = forge.as_directory(folder, forge.contents())
    (root / "goldens.npy").rename(folder / "elsewhere.npy")
    (root / "goldens.npy").symlink_to(folder / "elsewhere.npy")
    return root
