"""A name that would move the cursor of a terminal, or end early in C."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: the member name * is not a plain path inside the bundle; it is refused."
NAMES = ["a\x1b[2Jb", "a\nb", "a\x00b"]


def build(folder):
    return [
        forge.as_zip(folder, {**forge.contents(), name: b"evil"}, f"{number}.ganrt")
        for number, name in enumerate(NAMES)
    ]
