"""A folder in which one file is a pipe."""

import os

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: 'pipe' is not a plain file."


def build(folder):
    root = forge.as_directory(folder, forge.contents())
    os.mkfifo(root / "pipe")
    return root
