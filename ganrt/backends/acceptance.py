"""Acceptance: an engine serves a bundle only after it reproduced the bundle's goldens on this machine.

Engines have returned wrong numbers for batches above one, one flat colour, or the first picture for ever; so every
batch size that will be used is held to the reference before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..environment import usable_cores
from ..errors import BackendError, FidelityError
from ..latents import Draws, together
from ..manifest import Bound
from ..spec import Image, Port, Table, Tensor
from . import NAMES, available, open_session, precisions
from .base import GRAPH_OF, Graph, Options, Session

__all__ = ["DEFAULT_BOUND", "Figures", "References", "Verdict", "hold", "hold_all"]

DEFAULT_BOUND = Bound(psnr_db=50.0, within_one=0.995)
_SLACK = 2  # times the pixels of a lower graph that may be off: goldens are few, and not those it passed its gate on


class Figures(msgspec.Struct, frozen=True):
    """How far an engine is from the reference: worst sample's PSNR in dB, largest difference of the raw output,
    and for images the largest step of a uint8 value and the share of values at most one step off."""

    psnr_db: float
    max_error: float
    max_step: int | None
    within_one: float | None


class Verdict(msgspec.Struct, frozen=True):
    """What became of one engine at one precision: `figures` where it could be held to goldens, `fault` where it failed.

    `available` is False for an engine that is not on this machine; `fault` then says how to get it.
    """

    backend: str
    precision: str
    available: bool
    engine: str = ""
    figures: Figures | None = None
    fault: str = ""

    @property
    def ok(self) -> bool:
        return self.available and not self.fault


class References:
    """The goldens of a bundle as feeds and expected outputs; `count` of them.

    `automatic`: nobody asked for a precision, so that a lower one is held to the default gate, whatever its own is.
    """

    def __init__(self, bundle: Bundle, *, automatic: bool = False) -> None:
        self.automatic = automatic
        self.spec, self.goldens, expected = bundle.manifest.spec, bundle.manifest.goldens, bundle.goldens
        self.inputs = bundle.golden_inputs
        self.available = expected is not None and (bool(self.inputs) or not self.spec.signals)
        self.raw = expected if expected is not None else np.empty((0,), np.float32)
        self.count = len(self.raw) if self.available else 0

    def bound(self, precision: str) -> Bound:
        """What is demanded of an engine that computes in `precision`."""
        if self.automatic and precision != "fp32":
            return DEFAULT_BOUND
        bounds = self.goldens.bounds if self.goldens else {}
        return bounds.get(precision, DEFAULT_BOUND)  # type: ignore[call-overload,no-any-return]

    @cached_property
    def _feeds(self) -> dict[str, NDArray[Any]]:
        if self.inputs:
            return dict(self.inputs)
        goldens = self.goldens.samples if self.goldens else ()
        return together([Draws.of(self.spec, golden) for golden in goldens]) if goldens else {}

    def rows(self, count: int) -> NDArray[np.int64]:
        """Which goldens fill a batch of `count`: all in turn, again and again."""
        return np.arange(count) % max(1, self.count)

    def feeds(self, count: int) -> dict[str, NDArray[Any]]:
        """A batch of `count` goldens; plain draws of seed 0 where the bundle has none."""
        if not self.available:
            return Draws(self.spec, 0, 0, count).feeds(0, count)
        return {name: np.ascontiguousarray(array[self.rows(count)]) for name, array in self._feeds.items()}

    def fresh(self, count: int) -> dict[str, NDArray[Any]]:
        """A batch drawn now, as a call draws it; the goldens where the generator takes a signal."""
        return self.feeds(count) if self.spec.signals else Draws(self.spec, 0, 0, count).feeds(0, count)

    def empty_outputs(self, session: Session, count: int, *, raw: bool) -> dict[str, NDArray[Any]]:
        """Arrays for one call: the output that users get, and the raw one too when `raw`."""
        ports = self.spec.output_ports()
        return {
            port.name: session.empty((count, *self._extents(port)), port.dtype)
            for port in (ports if raw else ports[:1])
        }

    def _extents(self, port: Port) -> tuple[int, ...]:
        """The size of one output; what follows the input is as large as in the goldens."""
        found = self.raw.shape[1:]
        if port.dtype == "uint8" and isinstance(self.spec.output, Image):
            found = (*found[1:], *found[:1])
        return tuple(size or found[axis] for axis, size in enumerate(port.shape[1:]))

    def judge(self, outputs: dict[str, NDArray[Any]], count: int) -> Figures:
        """The distance of one call's outputs from the reference; of pixels alone, their steps."""
        expected = self.raw[self.rows(count)]
        raw, psnr, largest = outputs.get(self.spec.output_ports()[-1].name), 200.0, 0.0
        if raw is not None:
            error = np.abs(raw.astype(np.float64) - expected)
            worst = float(np.square(error).reshape(count, -1).mean(axis=1).max())
            psnr = 10 * math.log10(self._range() ** 2 / worst) if worst > 0 else math.inf
            finite = bool(np.isfinite(raw).all())
            psnr, largest = (min(psnr, 200.0), float(error.max())) if finite else (0.0, math.inf)
        if not isinstance(self.spec.output, Image):
            return Figures(psnr, largest, None, None)
        steps = np.abs(outputs[self.spec.output.name].astype(np.int16) - to_uint8(expected, self.spec.output))
        return Figures(psnr, largest, int(steps.max()), float((steps <= 1).mean()))

    def _range(self) -> float:
        match self.spec.output:
            case Image(low=low, high=high):
                return high - low
            case Table() | Tensor():
                return float(np.ptp(self.raw)) or 1.0
            case _:
                return 2.0


def hold(session: Session, references: References, sizes: Sequence[int], *, raw: bool = True) -> Figures | None:
    """Runs the goldens at each batch size and returns the worst figures; None when the bundle has no goldens.

    `raw`: the network's own output too, where there are pixels made of it. A graph of a lower precision passed its gate
    on many pictures: its share of pixels is asked of all goldens together, and not of a single one.
    Raises FidelityError, saying which figure missed its bound at which batch size.
    """
    if not references.available:
        return None
    bound = references.bound(session.info.precision)
    lowered = GRAPH_OF.get(session.info.precision, "fp32") != "fp32"
    worst: Figures | None = None
    for size in sizes:
        outputs = references.empty_outputs(session, size, raw=raw)
        session.run(references.feeds(size), outputs)
        figures = references.judge(outputs, size)
        asked = _of_goldens(bound, whole=size >= references.count) if lowered else bound
        _demand(figures, asked, f"{session.info.engine} ({session.info.precision}) at batch {size}")
        worst = figures if worst is None or figures.psnr_db < worst.psnr_db else worst
    return worst


def hold_all(bundle: Bundle) -> Iterator[Verdict]:
    """Every engine of this machine, at every precision it can compute this bundle's graphs in, held to the goldens."""
    references = References(bundle)
    sizes = (1, max(2, references.count), 64)
    for name in NAMES:
        found = available(name)
        if not found:
            yield Verdict(name, "", available=False, fault=f"{found.reason}; install it: {found.install}")
            continue
        for precision in precisions(name):
            member = bundle.manifest.graphs.get(GRAPH_OF[precision])
            if member is None:
                continue
            graph = Graph.of(bundle, GRAPH_OF[precision])
            try:
                session = open_session(name, graph, Options(threads=usable_cores(), precision=precision))
                with closing(session):
                    figures = hold(session, references, sizes)
                    yield Verdict(name, precision, available=True, engine=session.info.engine, figures=figures)
            except (BackendError, FidelityError) as problem:
                yield Verdict(name, precision, available=True, fault=str(problem))


def to_uint8(raw: NDArray[np.float32], image: Image) -> NDArray[np.int16]:
    """The uint8 picture that the graph makes of the raw output, NHWC: scaled, rounded half to even, clipped."""
    scaled = (raw.astype(np.float64) - image.low) * (255 / (image.high - image.low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.int16).transpose(0, 2, 3, 1)


def _of_goldens(bound: Bound, *, whole: bool) -> Bound:
    """What of a gate for many pictures is asked of the goldens, or of a part of them."""
    return msgspec.structs.replace(bound, within_one=max(0.0, 1 - _SLACK * (1 - bound.within_one)) if whole else 0.0)


def _demand(figures: Figures, bound: Bound, who: str) -> None:
    if figures.psnr_db < bound.psnr_db:
        fault = f"its output is {figures.psnr_db:.1f} dB from the reference, {bound.psnr_db:g} dB are needed"
    elif bound.max_step is not None and figures.max_step is not None and figures.max_step > bound.max_step:
        fault = f"a pixel is {figures.max_step} steps off, {bound.max_step} are allowed"
    elif figures.within_one is not None and figures.within_one < bound.within_one:
        fault = f"{figures.within_one:.2%} of the pixels are within one step, {bound.within_one:.2%} are needed"
    else:
        return
    raise FidelityError(f"{who} does not reproduce this bundle: {fault}.")
