"""Is the exported generator still the same generator? The graph on every engine here against the module itself.

256 samples of a fixed seed go through the graph in batches of changing size, so that an engine which is wrong for
some batch size shows. Parity failure is an error, never a warning.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ganrt import backends
from ganrt.backends.base import Graph, Options
from ganrt.environment import usable_cores
from ganrt.errors import BackendError, BackendUnavailable, FidelityError
from ganrt.latents import Draws
from ganrt.manifest import Bound
from ganrt.spec import Audio, Image, Spec

from .reference import sample, to_pixels

__all__ = [
    "RELATIVE",
    "Fidelity",
    "Pair",
    "Total",
    "compare",
    "drawn_pairs",
    "fault_of",
    "fidelity",
    "hold",
    "measure",
    "relative_error",
    "serving",
]

SAMPLES, SEED = 256, 20_160
_BATCHES = (1, 2, 3, 8, 50)  # in turn, until all samples are through
RELATIVE = 1e-4  # of float32 graphs against PyTorch
_SAME_DB = 200.0  # reported for identical output, whose PSNR is infinite


class Fidelity(msgspec.Struct, frozen=True):
    """The distance of an engine's output from the reference, over all samples.

    `max_error`: of the raw output; `psnr_db`: of the raw output against its range, 200 when identical;
    `relative_error`: the largest of any output and batch, against the largest magnitude there. For images also
    `identical` and `within_one`: the shares of uint8 values that are equal, and at most one step off, and `max_step`.
    `ms_per_sample`: of these runs, in batches of changing size: a hint, no benchmark. `fault`: why the engine did not
    run the graph.
    """

    engine: str
    samples: int
    max_error: float
    psnr_db: float
    identical: float | None = None
    within_one: float | None = None
    max_step: int | None = None
    relative_error: float = 0.0
    ms_per_sample: float | None = None
    fault: str = ""


class Pair(NamedTuple):
    """One batch: the graph's inputs by name, and the module's own outputs in the graph's order, without the pixels."""

    inputs: dict[str, NDArray[Any]]
    outputs: tuple[NDArray[Any], ...]

    @classmethod
    def of(cls, spec: Spec, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Pair:
        """From tensors in the order of the spec's inputs."""
        names = [port.name for port in spec.input_ports()]
        return cls(
            {name: np.ascontiguousarray(tensor.detach().numpy()) for name, tensor in zip(names, inputs, strict=True)},
            tuple(tensor.detach().numpy() for tensor in outputs),
        )


def fidelity(spec: Spec, graph: bytes, pairs: Sequence[Pair]) -> dict[str, Fidelity]:
    """How near each engine of this machine comes to the module's own answers, by backend name.

    Raises BackendUnavailable when there is no engine at all, BackendError when every one refuses the graph.
    """
    found = measure(spec, graph, pairs)
    if all(one.fault for one in found.values()):
        raise BackendError(next(iter(found.values())).fault)
    return found


def drawn_pairs(module: nn.Module, spec: Spec, samples: int = SAMPLES) -> list[Pair]:
    """Fixed samples and the module's answers, batches 1, 2, 3 and 8 first."""
    draws = Draws(spec, SEED, 0, samples)
    expected = sample(module, draws)
    return [
        Pair(draws.feeds(start, count), (expected[start : start + count],)) for start, count in _batches(draws.count)
    ]


def measure(spec: Spec, graph: bytes, pairs: Sequence[Pair], mapping: bytes | None = None) -> dict[str, Fidelity]:
    """How near each engine of this machine comes to the module's own answers with `graph`, by backend name.

    `mapping`: the first of two graphs, whose output `graph` takes.

    An engine that cannot run the graph has its `fault` told. Raises BackendUnavailable when there is none at all.
    """
    names = [name for name in backends.UNASKED if backends.available(name)]
    if not names:
        raise BackendUnavailable("There is no engine to check the graph with; install one: pip install 'ganrt[cpu]'")
    data = Graph(graph, hashlib.sha256(graph).hexdigest(), "fp32", mapping)
    return {name: _measure_on(name, spec, data, pairs) for name in names}


def fault_of(spec: Spec, graph: bytes, pairs: Sequence[Pair], mapping: bytes | None = None) -> str:
    """What of the graph is not the module's answer, on the first engine here; empty when nothing is.

    Raises BackendError when the engine refuses the graph.
    """
    engine = next((name for name in backends.UNASKED if backends.available(name)), backends.NAMES[0])
    wanted = [spec.output_ports()[-1].name, *(one.raw for one in spec.also)]
    session = backends.open_session(engine, Graph(graph, "", "fp32", mapping), Options(threads=usable_cores()))
    with closing(session):
        for pair in pairs:
            found = session.evaluate(pair.inputs, wanted)
            for output, expected in zip(wanted, pair.outputs, strict=True):
                error = relative_error(found[output], expected)
                if not error <= RELATIVE:
                    shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in pair.inputs.items())
                    return f"'{output}' is {error:.2g} off, relative, for {shapes}"
    return ""


def _measure_on(name: str, spec: Spec, data: Graph, pairs: Sequence[Pair]) -> Fidelity:
    main = spec.output_ports()[-1].name
    wanted = [main, *(one.raw for one in spec.also)]
    pixels = spec.output.name if isinstance(spec.output, Image) else None
    total, clock = Total(spec), 0.0
    try:
        with closing(backends.open_session(name, data, Options(threads=usable_cores()))) as session:
            for pair in pairs:
                started = time.perf_counter()
                outputs = session.evaluate(pair.inputs, [*wanted, *([pixels] if pixels else [])])
                clock += time.perf_counter() - started
                for output, expected in zip(wanted, pair.outputs, strict=True):
                    total.relative = max(total.relative, relative_error(outputs[output], expected))
                total.add(outputs[main], pair.outputs[0], outputs[pixels] if pixels else None)
            engine = session.info.engine
    except BackendError as problem:
        return Fidelity(name, 0, 0.0, 0.0, fault=str(problem))
    return total.figures(engine, clock)


def relative_error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Largest absolute difference against the largest magnitude expected; infinite for another shape or NaN."""
    if found.shape != expected.shape:
        return math.inf
    if expected.size == 0:
        return 0.0
    error = float(np.abs(found.astype(np.float64) - expected.astype(np.float64)).max())
    scale = float(np.abs(expected.astype(np.float64)).max())
    return math.inf if math.isnan(error) else error / scale if scale > 0 else error


class Total:
    """Sums over batches, so that no two outputs need be held at once."""

    def __init__(self, spec: Spec) -> None:
        self.spec, self.samples, self.relative = spec, 0, 0.0
        self.worst, self.squares, self.values, self.low, self.high = 0.0, 0.0, 0, math.inf, -math.inf
        self.equal, self.near, self.pixels, self.step = 0, 0, 0, 0

    def add(self, raw: NDArray[Any], expected: NDArray[Any], pixels: NDArray[Any] | None) -> None:
        self.samples += len(raw) if raw.ndim else 1
        if raw.shape != expected.shape:
            self.worst = self.squares = math.inf
            return
        error = np.abs(raw.astype(np.float64) - expected)
        self.worst = max(self.worst, float(error.max(initial=0.0)))
        self.squares += float(np.square(error).sum())
        self.values += error.size
        self.low, self.high = min(self.low, float(expected.min())), max(self.high, float(expected.max()))
        if pixels is not None and isinstance(self.spec.output, Image):
            steps = np.abs(pixels.astype(np.int16) - to_pixels(expected, self.spec.output))
            self.equal += int((steps == 0).sum())
            self.near += int((steps <= 1).sum())
            self.pixels += steps.size
            self.step = max(self.step, int(steps.max()))

    def figures(self, engine: str, seconds: float) -> Fidelity:
        mean = self.squares / max(1, self.values)
        range_ = _range(self.spec, self.low, self.high)
        psnr_db = round(10 * math.log10(range_**2 / mean), 2) if mean and math.isfinite(mean) else _SAME_DB
        if not math.isfinite(mean):  # not a number, or of another shape
            psnr_db = 0.0
        found = Fidelity(engine, self.samples, self.worst, psnr_db, relative_error=self.relative)
        if self.pixels:
            equal, near = self.equal / self.pixels, self.near / self.pixels
            found = msgspec.structs.replace(found, identical=equal, within_one=near, max_step=self.step)
        ms = round(seconds * 1000 / max(1, self.samples), 4)
        return msgspec.structs.replace(found, ms_per_sample=ms) if seconds else found


def compare(
    engine: str,
    spec: Spec,
    expected: NDArray[np.float32],
    raw: NDArray[np.float32],
    pixels: NDArray[np.uint8] | None = None,
) -> Fidelity:
    """`raw` and, for images, `pixels` against the module's own output `expected`."""
    total = Total(spec)
    total.relative = relative_error(raw, expected)
    total.add(raw, expected, pixels)
    return total.figures(engine, 0.0)


def serving(found: dict[str, Fidelity], bound: Bound) -> dict[str, Fidelity]:
    """The same figures, an engine that is too far off with its `fault` told, so long as another engine is right.

    Such an engine will not serve: it does not reproduce the goldens. Raises FidelityError when no engine is right.
    """
    judged = {}
    for name, figures in found.items():
        try:
            hold({name: figures}, bound)
            judged[name] = figures
        except FidelityError as problem:
            judged[name] = Fidelity(figures.engine, figures.samples, 0.0, 0.0, fault=str(problem))
    if all(figures.fault for figures in judged.values()):
        hold(found, bound)
    return judged


def hold(found: dict[str, Fidelity], bound: Bound) -> None:
    """Raises FidelityError when one of the engines is further from the module than `bound` allows."""
    for figures in found.values():
        if figures.fault:
            continue
        if not figures.psnr_db >= bound.psnr_db:  # also when it is not a number
            fault = f"its output is {figures.psnr_db:.1f} dB from PyTorch's, {bound.psnr_db:g} dB are needed"
        elif bound.max_step is not None and figures.max_step is not None and figures.max_step > bound.max_step:
            fault = f"a pixel is {figures.max_step} steps from PyTorch's, {bound.max_step} are allowed"
        elif figures.within_one is not None and figures.within_one < bound.within_one:
            fault = f"{figures.within_one:.2%} of the pixels are within one step, {bound.within_one:.2%} are needed"
        elif not figures.relative_error <= RELATIVE:
            off = f"{figures.relative_error:.2g}"
            fault = f"an output is {off} off, relative to its largest value; {RELATIVE:g} is allowed"
        else:
            continue
        raise FidelityError(f"The exported graph is not the same generator on {figures.engine}: {fault}.")


def _batches(count: int) -> Iterator[tuple[int, int]]:
    start, turn = 0, 0
    while start < count:
        size = min(_BATCHES[turn % len(_BATCHES)], count - start)
        yield start, size
        start, turn = start + size, turn + 1


def _range(spec: Spec, low: float, high: float) -> float:
    match spec.output:
        case Image(low=least, high=most):
            return most - least
        case Audio():
            return 2.0
        case _:
            return (high - low) or 1.0
