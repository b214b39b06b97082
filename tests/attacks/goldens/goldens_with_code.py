"""Goldens whose header is an expression."""

import forge
import tiny

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' is not a .npy file of float32 numbers in C order."


def build(folder):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }".ljust(117) + b"\n"
    header = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text
    return forge.as_zip(folder, forge.contents({tiny.GOLDENS: header}))
