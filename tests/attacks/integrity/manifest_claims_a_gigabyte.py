"""A manifest that says a small file has 1 GiB."""

import forge

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' is * bytes long, the manifest says 1073741824. Get the bundle again."


def build(folder):
    held = forge.contents(edit=lambda manifest: manifest["files"]["goldens.npy"].update(size=1 << 30))
    return [forge.as_zip(folder, held), forge.as_directory(folder, held)]
