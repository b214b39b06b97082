"""A name of 60,000 characters."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: a member name of 60000 characters is refused; 255 is the longest."


def build(folder):
    return forge.as_zip(folder, {**forge.contents(), "a" * 60_000: b""})
