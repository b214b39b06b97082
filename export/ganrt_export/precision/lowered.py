"""What came of lowering a graph: its bytes, what it was held to, and what had to stay higher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from ganrt.backends.acceptance import DEFAULT_BOUND
from ganrt.errors import FidelityError
from ganrt.manifest import Bound, Precision

from .gate import Figures, shortfall

__all__ = ["FP16", "INT8", "Lowered", "fault", "faults_told", "refusal"]

FP16 = DEFAULT_BOUND
INT8 = Bound(psnr_db=38.0, within_one=0.0)


class Lowered(NamedTuple):
    """A graph that passed its gate.

    `figures`: by engine, and "emulated" where the arithmetic itself was; an engine that does not reach the gate has its
    `fault` told and will not serve the graph. `kept`: the operations that stay higher, as "Pow 'val_12'", in the order
    of the graph; `of`: how many there were to choose from. `arithmetic`: what the gate computed in, in words.
    """

    precision: Precision
    graph: bytes
    bound: Bound
    figures: Mapping[str, Figures]
    kept: tuple[str, ...]
    of: int
    arithmetic: str
    seconds: float

    @property
    def automatic(self) -> bool:
        """Did an engine pass the default gate too? Then `precision="auto"` may take it."""
        return any(shortfall(figures, DEFAULT_BOUND) <= 1 for figures in self.figures.values())


def refusal(precision: str, figures: Figures, bound: Bound, blame: str) -> FidelityError:
    """The error of a gate that nothing passes: how far off, and what is to blame."""
    return FidelityError(f"No {precision} graph of this generator passes its gate: {fault(figures, bound)}. {blame}")


def faults_told(found: Mapping[str, Figures], bound: Bound) -> dict[str, Figures]:
    """The same figures, with the fault of each engine that does not reach the gate and so will not serve."""
    return {
        name: msgspec.structs.replace(figures, fault=fault(figures, bound)) for name, figures in found.items()
    }  # fmt: skip


def fault(figures: Figures, bound: Bound) -> str:
    """What of the figures misses the gate, in words; empty when nothing does."""
    if figures.fault:
        return figures.fault.rstrip(".")
    if not figures.psnr_db >= bound.psnr_db:
        return f"{figures.psnr_db:.1f} dB from float32 on {figures.engine}, {bound.psnr_db:g} dB are needed"
    if not figures.worst_db >= bound.psnr_db:
        off = f"its worst sample is {figures.worst_db:.1f} dB from float32 on {figures.engine}"
        return f"{off}, {bound.psnr_db:g} dB are needed"
    if figures.within_one is not None and figures.within_one < bound.within_one:
        share = f"{figures.within_one:.2%} of the pixels are within one step on {figures.engine}"
        return f"{share}, {bound.within_one:.2%} are needed"
    if bound.max_step is not None and figures.max_step is not None and figures.max_step > bound.max_step:
        return f"a pixel is {figures.max_step} steps off on {figures.engine}, {bound.max_step} are allowed"
    return ""
