"""A listed file that is not there."""

import forge

ERROR = "IntegrityError"
SENTENCE = "{path} lacks 'goldens.npy', which its manifest lists. Get the bundle again."


def build(folder):
    held = forge.contents()
    del held["goldens.npy"]
    return [forge.as_zip(folder, held), forge.as_directory(folder, held)]
