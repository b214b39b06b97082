"""A member on a drive of Windows, or in a hidden stream of a file."""

import forge

ERROR = "UnsafeMember"
SENTENCE = "{path}: the member name * is not a plain path inside the bundle; it is refused."
NAMES = ["C:evil", "C:/evil", "goldens.npy:hidden"]


def build(folder):
    return [
        forge.as_zip(folder, {**forge.contents(), name: b"evil"}, f"{number}.ganrt")
        for number, name in enumerate(NAMES)
    ]
