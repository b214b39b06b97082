"""Goldens of another picture's size."""

import forge
import numpy as np
import tiny

ERROR = "IntegrityError"
SENTENCE = "{path}: the goldens have shape (12, 1, 5, 6), the manifest says (12, 1, 6, 5)."


def build(folder):
    return forge.as_zip(folder, forge.contents({tiny.GOLDENS: tiny.npy(np.zeros((12, 1, 5, 6), np.float32))}))
