"""A picture under a bundle's name."""

from PIL import Image

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle, or is cut short: it does not end as a zip file does."


def build(folder):
    path = folder / "picture.ganrt"
    Image.new("RGB", (8, 8)).save(path, "PNG")
    return path
