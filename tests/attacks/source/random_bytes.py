"""A file of noise."""

import forge

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle, or is cut short: it does not end as a zip file does."


def build(folder):
    return forge.as_zip(folder, bytes(index * 167 % 251 for index in range(5000)))
