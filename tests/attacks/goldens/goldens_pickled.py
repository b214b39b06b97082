"""Goldens that are a bare pickle."""

import forge
import tiny

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' is not a .npy file of float32 numbers in C order."


def build(folder):
    return forge.as_zip(folder, forge.contents({tiny.GOLDENS: b"cposix\nsystem\n(S'touch executed'\ntR."}))
