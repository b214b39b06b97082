"""A member at an absolute path."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: the member name * is not a plain path inside the bundle; it is refused."
NAMES = ["/etc/passwd", "//server/share"]


def build(folder):
    return [
        forge.as_zip(folder, {**forge.contents(), name: b"evil"}, f"{number}.ganrt")
        for number, name in enumerate(NAMES)
    ]
