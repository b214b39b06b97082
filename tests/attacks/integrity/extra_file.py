"""A file that the manifest does not list."""

import forge

ERROR = "IntegrityError"
SENTENCE = "{path} holds 'run_me.py', which its manifest does not list; it may have been tampered with."


def build(folder):
    held = {**forge.contents(), "run_me.py": b"import os"}
    return [forge.as_zip(folder, held), forge.as_directory(folder, held)]
