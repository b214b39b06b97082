"""Lower precisions of a graph, each behind its gate: `half` (float16), `light` (float16 weights alone), `int8`.

A precision is given back only when it passes; what overflows or breaks the gate stays higher, as few operations as
needed, found by measuring and not by a list. Raises ganrt.FidelityError when nothing passes.
"""

from __future__ import annotations

from .lowered import FP16, INT8, Lowered
from .to_half import half
from .to_int8 import int8
from .to_light import light

__all__ = ["FP16", "INT8", "Lowered", "half", "int8", "light"]
