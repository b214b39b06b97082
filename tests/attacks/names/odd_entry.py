"""Names that are not the plain way to say where a file is."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: the member name * is not a plain path inside the bundle; it is refused."
NAMES = ["./a", "a/./b", "a//b", "a/", ""]


def build(folder):
    return [
        forge.as_zip(folder, {**forge.contents(), name: b"evil"}, f"{number}.ganrt")
        for number, name in enumerate(NAMES)
    ]
