"""The gate: how far a lower precision is from float32, and what of it would be too far.

Beside the distance, what precisions are known to do: numbers that are not finite, one flat picture, the same picture
for every latent. Figures are of every sample; the worst one counts too, as it does when an engine is accepted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import pairwise
from statistics import NormalDist
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from ganrt import backends
from ganrt.errors import BackendError
from ganrt.manifest import Bound
from ganrt.spec import Image, Spec

from ..fidelity import Fidelity, Pair, Total, relative_error
from .samples import outputs_of_spec, session

__all__ = ["Figures", "Judge", "Run", "shortfall"]

Run: TypeAlias = Callable[[dict[str, NDArray[Any]], Sequence[str]], dict[str, NDArray[Any]]]
_SAME_DB = 200.0
_SEEN = 1e-3  # of the output's range: what float32 itself hardly tells apart, a lower precision need not


class Figures(Fidelity, frozen=True):
    """`worst_db`: PSNR of the sample that is furthest off. `computed`: the precision that the engine reports it ran."""

    worst_db: float = 0.0
    computed: str = ""


class Judge:
    """Holds what runs a graph to the float32 answers of `pairs`."""

    def __init__(self, spec: Spec, pairs: Sequence[Pair]) -> None:
        self.spec, self.pairs = spec, tuple(pairs)
        self.wanted = outputs_of_spec(spec)
        self._pixels = spec.output.name if isinstance(spec.output, Image) else None
        self._ranges = [self._range(index) for index in range(len(self.wanted))]

    @property
    def samples(self) -> int:
        return sum(len(pair.outputs[0]) for pair in self.pairs)

    def some(self, count: int) -> Judge:
        """A judge of the first batches, until `count` samples are through."""
        chosen: list[Pair] = []
        for pair in self.pairs:
            if sum(len(one.outputs[0]) for one in chosen) >= count:
                break
            chosen.append(pair)
        return Judge(self.spec, chosen)

    def hardest(self, count: int, run: Run) -> Judge:
        """A judge of the samples that `run` is furthest off for, those of one size as one batch.

        Of whole batches, where an array has something else than samples first.
        """
        name, scale, found = self.wanted[0], self._ranges[0], []
        for index, pair in enumerate(self.pairs):
            output = run(pair.inputs, [name])[name]
            found += [(db, index, row) for row, db in enumerate(_each_db(output, pair.outputs[0], scale))]
        worst = sorted(found)[:count]
        if any(len(array) != len(pair.outputs[0]) for pair in self.pairs for array in _arrays(pair)):
            return Judge(self.spec, [self.pairs[index] for index in dict.fromkeys(index for _, index, _ in worst)])
        alike: dict[tuple[tuple[int, ...], ...], list[tuple[Pair, int]]] = {}
        for _, index, row in worst:
            sizes = tuple(array.shape[1:] for array in _arrays(self.pairs[index]))
            alike.setdefault(sizes, []).append((self.pairs[index], row))
        return Judge(self.spec, [_together(rows) for rows in alike.values()])

    def of(self, run: Run, engine: str) -> Figures:
        """The figures of `run(inputs, outputs)`; what it gives that is no picture of these inputs is its `fault`."""
        total, worst, fault, clock = Total(self.spec), _SAME_DB, "", 0.0
        wanted = [*self.wanted, *([self._pixels] if self._pixels else [])]
        seen: list[tuple[NDArray[Any], NDArray[Any]]] = []
        for pair in self.pairs:
            started = time.perf_counter()
            outputs = run(pair.inputs, wanted)
            clock += time.perf_counter() - started
            for name, expected, scale in zip(self.wanted, pair.outputs, self._ranges, strict=True):
                fault = fault or _not_finite(name, outputs[name], expected)
                worst = min(worst, float(_each_db(outputs[name], expected, scale).min()))
                total.relative = max(total.relative, relative_error(outputs[name], expected))
            main, expected = outputs[self.wanted[0]], pair.outputs[0]
            total.add(main, expected, outputs[self._pixels] if self._pixels else None)
            fault = fault or _flat(main, expected, self._ranges[0])
            seen.append((main[:2], expected[:2]))
            if fault:
                break
        fault = fault or _repeated(seen, self._ranges[0])
        told = msgspec.structs.asdict(total.figures(engine, clock))
        return Figures(**{**told, "worst_db": round(worst, 2), "fault": fault})

    def on(self, engine: str, data: bytes, precision: str) -> Figures:
        """The figures of the graph on an engine; an engine that cannot run it has its `fault` told."""
        try:
            with closing(session(data, engine, precision)) as opened:
                found = self.of(opened.evaluate, opened.info.engine)
                return msgspec.structs.replace(found, computed=opened.info.precision)
        except BackendError as problem:
            return Figures(engine, 0, 0.0, 0.0, fault=str(problem))

    def everywhere(self, data: bytes, precision: str) -> dict[str, Figures]:
        """The figures of every engine of this machine, by backend name."""
        able = [
            name for name in backends.UNASKED if backends.available(name) and precision in backends.precisions(name)
        ]
        return {name: self.on(name, data, precision) for name in able}

    def _range(self, index: int) -> float:
        if index == 0 and isinstance(self.spec.output, Image):
            return self.spec.output.high - self.spec.output.low
        low = min(float(pair.outputs[index].min(initial=math.inf)) for pair in self.pairs)
        high = max(float(pair.outputs[index].max(initial=-math.inf)) for pair in self.pairs)
        return (high - low) if math.isfinite(high - low) and high > low else 1.0


def shortfall(figures: Figures, bound: Bound) -> float:
    """How far beyond the gate, as a ratio of error powers: at most 1 passes, infinity is no picture at all.

    The share of pixels that are off says what power a normal error would have.
    """
    if figures.fault:
        return math.inf
    ratios = [_power(bound.psnr_db - figures.psnr_db), _power(bound.psnr_db - figures.worst_db)]
    if figures.within_one is not None and figures.within_one < 1:
        ratios.append(_deviations(bound.within_one, figures.within_one))
    if bound.max_step is not None and (figures.max_step or 0) > bound.max_step:
        ratios.append((figures.max_step or 0) / max(1, bound.max_step))
    return max(ratios)


def _power(db: float) -> float:
    return 10 ** (db / 10)


def _deviations(wanted: float, found: float) -> float:
    """Power of a normal error of which the share `found` is within one step, beside one with the share `wanted`."""
    if wanted <= 0:
        return 0.0
    if wanted >= 1 or found <= 0:
        return math.inf
    far, near = (NormalDist().inv_cdf((1 + share) / 2) for share in (wanted, found))
    return (far / near) ** 2


def _together(rows: Sequence[tuple[Pair, int]]) -> Pair:
    """Single samples of several pairs as one."""
    first, _ = rows[0]
    inputs = {name: np.stack([pair.inputs[name][row] for pair, row in rows]) for name in first.inputs}
    outputs = tuple(np.stack([pair.outputs[index][row] for pair, row in rows]) for index in range(len(first.outputs)))
    return Pair(inputs, outputs)


def _arrays(pair: Pair) -> list[NDArray[Any]]:
    return [*pair.inputs.values(), *pair.outputs]


def _each_db(found: NDArray[Any], expected: NDArray[Any], scale: float) -> NDArray[np.float64]:
    """PSNR of every sample, 200 where it is the same and 0 where it is no number."""
    if found.shape != expected.shape or not expected.ndim or not expected.size:
        same = found.shape == expected.shape and np.array_equal(found, expected)
        return np.array([_SAME_DB if same else 0.0])
    error = np.square(found.astype(np.float64) - expected.astype(np.float64)).reshape(len(expected), -1).mean(axis=1)
    with np.errstate(divide="ignore"):
        db = np.minimum(10 * np.log10(scale**2 / error), _SAME_DB)
    return np.where(np.isfinite(db), db, 0.0)


def _not_finite(name: str, found: NDArray[Any], expected: NDArray[Any]) -> str:
    if found.shape != expected.shape:
        return f"'{name}' is {list(found.shape)} where float32 gives {list(expected.shape)}"
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        return f"'{name}' is not finite"
    return ""


def _flat(found: NDArray[Any], expected: NDArray[Any], scale: float) -> str:
    if found.ndim < 2:
        return ""
    rows, wanted = (one.reshape(len(one), -1) for one in (found, expected))
    flat = (np.ptp(rows, axis=1) == 0) & (np.ptp(wanted, axis=1) > _SEEN * scale)
    return "a sample is one flat value" if flat.any() else ""


def _repeated(seen: Sequence[tuple[NDArray[Any], NDArray[Any]]], scale: float) -> str:
    """Different samples that became the same, within a batch and from batch to batch."""
    rows = [pair for found, wanted in seen if found.ndim > 1 for pair in zip(found, wanted, strict=True)]
    for (found, wanted), (next_found, next_wanted) in pairwise(rows):
        differ = wanted.shape == next_wanted.shape and np.abs(wanted - next_wanted).max(initial=0) > _SEEN * scale
        if differ and np.array_equal(found, next_found):
            return "different inputs give the same output"
    return ""
