"""A path to nothing."""

ERROR = "BundleNotFound"
SENTENCE = "There is no file, folder or bundled generator '{path}'. Bundled generators: *."


def build(folder):
    return folder / "faces.ganrt"
