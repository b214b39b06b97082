"""Goldens with their axes in the other order."""

import forge
import numpy as np
import tiny

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' is not a .npy file of float32 numbers in C order."


def build(folder):
    return forge.as_zip(
        folder, forge.contents({tiny.GOLDENS: tiny.npy(np.asfortranarray(np.zeros((12, 1, 6, 5), np.float32)))})
    )
