"""Is the exported generator still the same generator? The graph on every engine here against the module itself.

256 samples of a fixed seed go through the graph in batches of changing size, so that an engine which is wrong for
some batch size shows. Parity failure is an error, never a warning.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import nn

from ganrt import backends
from ganrt.backends.base import Graph, Options, Session
from ganrt.errors import BackendUnavailable, FidelityError
from ganrt.latents import Draws
from ganrt.manifest import Bound
from ganrt.spec import Audio, Image, Spec

from .reference import sample, to_pixels

__all__ = ["Fidelity", "compare", "fidelity", "hold"]

SAMPLES, SEED = 256, 20_160
_BATCHES = (1, 2, 3, 8, 50)  # in turn, until all samples are through
_SAME_DB = 200.0  # reported for identical output, whose PSNR is infinite


class Fidelity(msgspec.Struct, frozen=True):
    """The distance of an engine's output from the reference, over all samples.

    `max_error`: of the raw output; `psnr_db`: of the raw output against its range, 200 when identical. For images also
    `identical` and `within_one`: the shares of uint8 values that are equal, and at most one step off, and `max_step`.
    """

    engine: str
    samples: int
    max_error: float
    psnr_db: float
    identical: float | None = None
    within_one: float | None = None
    max_step: int | None = None


def fidelity(module: nn.Module, spec: Spec, graph: bytes, samples: int = SAMPLES) -> dict[str, Fidelity]:
    """How near each engine of this machine comes to `module` with `graph`, in float32, by backend name.

    Raises BackendUnavailable when there is no engine at all, BackendError when one refuses the graph.
    """
    draws = Draws(spec, SEED, 0, samples)
    expected = sample(module, draws)
    data = Graph(graph, hashlib.sha256(graph).hexdigest(), "fp32")
    found: dict[str, Fidelity] = {}
    for name in filter(backends.available, backends.NAMES):
        session = backends.open_session(name, data, Options(threads=1))
        try:
            pixels, raw = _run(session, draws)
        finally:
            session.close()
        found[name] = compare(session.info.engine, spec, expected, raw, pixels)
    if not found:
        raise BackendUnavailable("There is no engine to check the graph with; install one: pip install 'ganrt[cpu]'")
    return found


def compare(
    engine: str,
    spec: Spec,
    expected: NDArray[np.float32],
    raw: NDArray[np.float32],
    pixels: NDArray[np.uint8] | None = None,
) -> Fidelity:
    """`raw` and, for images, `pixels` against the module's own output `expected`."""
    error = raw.astype(np.float64) - expected
    mean_square = float(np.square(error).mean())
    psnr_db = round(10 * math.log10(_range(spec, expected) ** 2 / mean_square), 2) if mean_square else _SAME_DB
    max_error = float(np.abs(error).max())
    if pixels is None or not isinstance(spec.output, Image):
        return Fidelity(engine, len(raw), max_error, psnr_db)
    steps = np.abs(pixels.astype(np.int16) - to_pixels(expected, spec.output))
    within_one = float((steps <= 1).mean())
    return Fidelity(engine, len(raw), max_error, psnr_db, float((steps == 0).mean()), within_one, int(steps.max()))


def hold(found: dict[str, Fidelity], bound: Bound) -> None:
    """Raises FidelityError when one of the engines is further from the module than `bound` allows."""
    for figures in found.values():
        if not figures.psnr_db >= bound.psnr_db:  # also when it is not a number
            fault = f"its output is {figures.psnr_db:.1f} dB from PyTorch's, {bound.psnr_db:g} dB are needed"
        elif bound.max_step is not None and figures.max_step is not None and figures.max_step > bound.max_step:
            fault = f"a pixel is {figures.max_step} steps from PyTorch's, {bound.max_step} are allowed"
        elif figures.within_one is not None and figures.within_one < bound.within_one:
            fault = f"{figures.within_one:.2%} of the pixels are within one step, {bound.within_one:.2%} are needed"
        else:
            continue
        raise FidelityError(f"The exported graph is not the same generator on {figures.engine}: {fault}.")


def _run(session: Session, draws: Draws) -> tuple[NDArray[np.uint8] | None, NDArray[np.float32]]:
    """All samples of `draws` on one engine: the pixels, if the output is an image, and the raw output."""
    ports = draws.spec.output_ports()
    parts: dict[str, list[NDArray[np.generic]]] = {port.name: [] for port in ports}
    for start, count in _batches(draws.count):
        outputs = {p.name: session.empty((count, *(size or 1 for size in p.shape[1:])), p.dtype) for p in ports}
        session.run(draws.feeds(start, count), outputs)
        for name, array in outputs.items():
            parts[name].append(array.copy())
    raw = np.concatenate(parts[ports[-1].name]).astype(np.float32, copy=False)
    pixels = np.concatenate(parts[ports[0].name]).astype(np.uint8, copy=False) if len(ports) > 1 else None
    return pixels, raw


def _batches(count: int) -> Iterator[tuple[int, int]]:
    start, turn = 0, 0
    while start < count:
        size = min(_BATCHES[turn % len(_BATCHES)], count - start)
        yield start, size
        start, turn = start + size, turn + 1


def _range(spec: Spec, expected: NDArray[np.float32]) -> float:
    match spec.output:
        case Image(low=low, high=high):
            return high - low
        case Audio():
            return 2.0
        case _:
            return float(np.ptp(expected)) or 1.0
