"""A picture, and at the same time a zip: zip readers look at the end only."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is damaged: there are stray or shared bytes before 'manifest.json'."


def build(folder):
    listed = forge.members(forge.contents())
    picture = b"\x89PNG\r\n\x1a\n" + bytes(100)
    return [
        forge.as_zip(folder, forge.raw_zip(listed, before=picture), "offsets_adjusted.ganrt"),
        forge.as_zip(folder, picture + forge.raw_zip(listed), "offsets_as_they_were.ganrt"),
    ]
