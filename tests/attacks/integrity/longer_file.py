"""A listed file that is longer than listed."""

import forge

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' is * bytes long, the manifest says *. Get the bundle again."


def build(folder):
    held = forge.contents()
    held["goldens.npy"] += b"more"
    return [forge.as_zip(folder, held), forge.as_directory(folder, held)]
