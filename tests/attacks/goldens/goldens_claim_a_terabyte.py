"""Goldens whose header says a terabyte."""

import forge
import tiny

ERROR = "IntegrityError"
SENTENCE = "{path}: 'goldens.npy' holds 0 bytes of numbers, its header says float32 (262144, 1048576)."


def build(folder):
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (262144, 1048576), }".ljust(117) + b"\n"
    header = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text
    return forge.as_zip(folder, forge.contents({tiny.GOLDENS: header}))
