"""A manifest that lists a file above the bundle, which is there."""

import hashlib

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: the member name '../evil' is not a plain path inside the bundle; it is refused."


def build(folder):
    (folder / "evil").write_bytes(b"evil")
    entry = {"sha256": hashlib.sha256(b"evil").hexdigest(), "size": 4}
    return forge.as_directory(
        folder, forge.contents(edit=lambda manifest: manifest["files"].update({"../evil": entry}))
    )
