"""A folder whose manifest is a link."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'manifest.json' is a link; a bundle holds plain files only."


def build(folder):
    root = forge.as_directory(folder, forge.contents())
    (root / "manifest.json").rename(folder / "elsewhere.json")
    (root / "manifest.json").symlink_to(folder / "elsewhere.json")
    return root
