"""A manifest with a gigabyte of nothing behind it."""

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is larger than 16 MiB."


def build(folder):
    root = forge.as_directory(folder, forge.contents())
    with (root / "manifest.json").open("r+b") as file:
        file.truncate(1 << 30)
    return root
