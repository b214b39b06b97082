"""A folder of other things, links among them."""

ERROR = "NotABundle"
SENTENCE = "{path} is not a bundle: it has no manifest.json."


def build(folder):
    root = folder / "project"
    root.mkdir()
    (root / "link").symlink_to("/etc/passwd")
    return root
