"""Goldens that numpy would unpickle, and that run a command when it does."""

import io
import os

import forge
import numpy as np
import tiny

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' is not a .npy file of float32 numbers in C order."


def build(folder):
    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(folder / "executed"),)

    stream = io.BytesIO()
    np.save(stream, np.array([Payload()], object), allow_pickle=True)
    return forge.as_zip(folder, forge.contents({tiny.GOLDENS: stream.getvalue()}))
