"""A gigabyte of nothing that takes no room on disk."""

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle, or is cut short: it does not end as a zip file does."


def build(folder):
    path = folder / "sparse.ganrt"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    return path
