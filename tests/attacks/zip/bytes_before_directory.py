"""Bytes that belong to no member, behind the last."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is damaged: there are stray bytes after its last member."


def build(folder):
    return forge.as_zip(folder, forge.raw_zip(forge.members(forge.contents()), after_members=b"hidden"))
