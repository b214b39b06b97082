"""Every field of the manifest, one after the other, with a value of another type."""

import json

import forge

ERROR = "ManifestError"
SENTENCE = "{path}: manifest.json is not valid: Expected `*`, got `*` - at `$.*`. Export the bundle again."


def build(folder):
    def wrong(field):
        return lambda manifest: manifest.update({field: None if field != "goldens" else 3})

    fields = json.loads(forge.contents()["manifest.json"])
    return [forge.as_zip(folder, forge.contents(edit=wrong(field)), f"{field}.ganrt") for field in fields]
