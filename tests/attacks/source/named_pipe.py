"""A pipe that nobody writes to: opening it would wait for ever."""

import os

ERROR = "NotABundle"
SENTENCE = "{path} is neither a file nor a folder, so it is not a bundle."


def build(folder):
    path = folder / "pipe.ganrt"
    os.mkfifo(path)
    return path
