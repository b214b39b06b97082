"""A member that is a path on Windows only."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: the member name * is not a plain path inside the bundle; it is refused."
NAMES = ["..\\evil", "a\\b"]


def build(folder):
    return [
        forge.as_zip(folder, {**forge.contents(), name: b"evil"}, f"{number}.ganrt")
        for number, name in enumerate(NAMES)
    ]
