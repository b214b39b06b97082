"""A folder in which a small file became a gigabyte of nothing."""

import forge

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' is 1073741824 bytes long, the manifest says *. Get the bundle again."


def build(folder):
    root = forge.as_directory(folder, forge.contents())
    with (root / "goldens.npy").open("r+b") as file:
        file.truncate(1 << 30)
    return root
