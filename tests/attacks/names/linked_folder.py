"""A folder in which a subfolder is a link."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'engines' is a link; a bundle holds plain files only."


def build(folder):
    root = forge.as_directory(folder, forge.contents())
    (folder / "elsewhere").mkdir()
    (root / "engines").symlink_to(folder / "elsewhere")
    return root
