"""An engine that is not among the listed files."""

import forge

ERROR = "ManifestError"
SENTENCE = (
    "{path}: manifest.json is not valid: 'engines/x.plan' is used but not listed in files. Export the bundle again."
)


def build(folder):
    engine = {
        "file": "engines/x.plan",
        "graph": "0" * 64,
        "engine": "tensorrt-rtx",
        "version": "1.7",
        "precision": "fp32",
        "capabilities": ["8.6"],
        "profiles": [{"batch": [1, 1, 1]}],
        "platform": "linux-x86_64",
    }
    return forge.as_zip(folder, forge.contents(edit=lambda manifest: manifest["engines"].update(x=engine)))
