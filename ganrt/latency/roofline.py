"""What this machine can do at most, measured: arithmetic, by the best matrix product found, and copying.

The roofline model (Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785) bounds a program by both: it
computes no faster than the processor multiplies, and no faster than its operands arrive. Rates are the best of many
short trials, because noise only ever takes away; "roof" here means the highest seen, not what a data sheet promises.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np

from ..backends import available, open_session, precisions
from ..backends.base import Graph, Options
from ..environment import describe
from ..errors import BackendError
from .gemm_graph import conv_model, matmul_model

__all__ = ["ENGINES", "Arithmetic", "Copying", "Roof", "measure_roof"]

ENGINES = (
    "onnxruntime",
    "openvino",
)  # Winograd convolutions of ncnn and MNN need fewer operations than are counted here
_SIZES = (512, 1024, 2048)  # of square matrices
_CONV = (256, 34)  # channels, and pixels a side
_ENOUGH = 0.01  # seconds of a call, beyond which larger matrices tell nothing new
_TRIAL = 0.2  # seconds of trials for one size: many short calls, so that some of them have the machine to themselves
_VARIABLES = ("OMP", "OPENBLAS", "MKL", "BLIS", "VECLIB_MAXIMUM")  # each with _NUM_THREADS
_CHILD_S = 60.0
_ROUNDS = 4  # of copying


class Arithmetic(msgspec.Struct, frozen=True):
    """`gflops`: billions of multiplications and additions a second, a multiply-add being two."""

    gflops: float
    how: str
    precision: str = "fp32"


class Copying(msgspec.Struct, frozen=True):
    """`gigabytes`: read and written, billions of bytes a second; `span`: bytes read and written in one pass.

    `within`: "cache", the second level, or "memory", beyond the last level.
    """

    gigabytes: float
    span: int
    within: str


class Roof(msgspec.Struct, frozen=True):
    """What `threads` threads can do here. `arithmetic`: every way that was tried, the fastest first of its precision;
    `copying`: the smallest first. `notes`: what could not be measured, and why."""

    threads: int
    arithmetic: list[Arithmetic]
    copying: list[Copying]
    notes: list[str] = []

    def gemm(self, precision: str = "fp32") -> Arithmetic | None:
        """The highest rate in this precision or in FP32: a lower one is not faster on every processor."""
        held = [one for one in self.arithmetic if one.precision in (precision, "fp32")]
        return max(held, key=lambda one: one.gflops, default=None)


def measure_roof(
    threads: int,
    kinds: Iterable[str] = ("fp32",),
    tell: Callable[[str], None] = lambda _: None,
    *,
    trial: float = _TRIAL,
    span: int | None = None,
) -> Roof:
    """About ten seconds of measuring; `kinds`: precisions that arithmetic is measured in where an engine here has them.

    `trial`: seconds for each size. `span`: bytes that are copied through the memory; more than the caches hold, by
    default.
    """
    notes = list[str]()
    tell("the roofline: numpy")
    found, copying = _numpy(threads, trial, span or _beyond_caches(), notes)
    for name in ENGINES:
        if not available(name):
            continue
        for kind in kinds:
            if kind in precisions(name) and kind in ("fp32", "bf16"):  # of the same graph
                tell(f"the roofline: {name} {kind}")
                try:
                    found += _engine(name, kind, threads, trial)
                except BackendError as problem:
                    notes.append(f"{name} {kind}: {problem}")
    return Roof(threads, sorted(found, key=lambda one: (one.precision, -one.gflops)), copying, notes)


def _engine(name: str, kind: str, threads: int, trial: float) -> Iterator[Arithmetic]:
    """The best matrix product and convolution of one engine."""
    said = {"fp32": "", "bf16": " BF16"}[kind]
    best = 0.0
    for size in _SIZES:
        rate, took, engine = _run(name, kind, threads, matmul_model(size), trial)
        if rate > best:
            best, how = rate, f"{engine}{said}, matrix product of {size:,} x {size:,}"
        if took > _ENOUGH:
            break
    yield Arithmetic(round(best, 3), how, kind)
    channels, size = _CONV
    rate, _, engine = _run(name, kind, threads, conv_model(channels, size), trial)
    yield Arithmetic(round(rate, 3), f"{engine}{said}, 3 x 3 convolution, {channels} channels", kind)


def _run(
    name: str, kind: str, threads: int, model: tuple[bytes, Sequence[int], Sequence[int], int], trial: float
) -> tuple[float, float, str]:
    """GFLOP/s, seconds of a call, and the engine's name for itself, without its version."""
    data, given, made, work = model
    x = np.random.Generator(np.random.Philox(key=2)).uniform(-1, 1, given).astype(np.float32)
    y = np.empty(made, np.float32)
    graph = Graph(data, sha256(data).hexdigest(), "fp32")
    with closing(open_session(name, graph, Options(threads, kind))) as session:
        took = _shortest(lambda: session.run({"x": x}, {"y": y}), trial)
        engine = " ".join(word for word in session.info.engine.split() if not word[0].isdigit())
        return 2 * work / took / 1e9, took, engine


def _shortest(call: Callable[[], object], seconds: float) -> float:
    """Seconds of the shortest of several calls, after one that does not count."""
    call()
    best, started = float("inf"), time.perf_counter()
    tries = 0
    while tries < 3 or time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        call()
        best, tries = min(best, time.perf_counter() - begun), tries + 1
    return best


def _numpy(threads: int, trial: float, span: int, notes: list[str]) -> tuple[list[Arithmetic], list[Copying]]:
    """In a process of its own: how many threads a BLAS takes is settled when numpy is imported."""
    if not sys.executable:
        notes.append("numpy was not measured: this program is not run by a Python of its own")
        return [], []
    environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in _VARIABLES}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    code = f"from ganrt.latency import roofline; roofline.print_numpy({threads}, {trial}, {span})"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=True, timeout=_CHILD_S
        )
        told = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as problem:
        notes.append(f"numpy was not measured: {problem}")
        return [], []
    arithmetic = msgspec.convert(told["arithmetic"], list[Arithmetic])
    return arithmetic, msgspec.convert(told["copying"], list[Copying])


def print_numpy(threads: int, trial: float, span: int) -> None:
    """The child: measures numpy on `threads` threads and prints what it found as JSON."""
    best = Arithmetic(0.0, "")
    for size in _SIZES:
        a, b, c = (np.full((size, size), 0.5, np.float32) for _ in range(3))
        took = _shortest(lambda a=a, b=b, c=c: np.dot(a, b, out=c), trial)  # type: ignore[misc]
        rate = 2 * size**3 / took / 1e9
        if rate > best.gflops:
            best = Arithmetic(round(rate, 3), f"numpy, matrix product of {size:,} x {size:,}")
        if took > _ENOUGH:
            break
    spans = {"cache": threads * _cache(2) // 2, "memory": span}
    copying = [Copying(round(_copy(size, threads), 3), size, within) for within, size in spans.items()]
    print(json.dumps({"arithmetic": msgspec.to_builtins([best]), "copying": msgspec.to_builtins(copying)}))


def _copy(span: int, threads: int) -> float:
    """GB/s of `threads` threads that each copy their part of span / 2 bytes to the other half."""
    numbers, passes = span // 16 // threads, max(1, (1 << 27) // span)
    gate = threading.Barrier(threads, timeout=_CHILD_S / 2)
    rounds = [list[tuple[float, float]]() for _ in range(_ROUNDS)]
    workers = [threading.Thread(target=_copy_part, args=(numbers, passes, gate, rounds)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    took = min(max(end for _, end in ran) - min(begun for begun, _ in ran) for ran in rounds)
    return 16 * numbers * threads * passes / took / 1e9


def _copy_part(numbers: int, passes: int, gate: threading.Barrier, rounds: list[list[tuple[float, float]]]) -> None:
    source = np.ones(numbers)  # by the thread that uses it: near its core, and all at once
    target = source.copy()
    for ran in rounds:
        gate.wait()
        begun = time.perf_counter()
        for _ in range(passes):
            np.copyto(target, source)
        ran.append((begun, time.perf_counter()))


def _beyond_caches() -> int:
    """Bytes that no cache holds: twice the last level, 256 MiB to 1 GiB, at most an eighth of the memory."""
    most = int(describe().memory_gib * 2**30) // 8 or 1 << 28
    return min(max(2 * max(_cache(3), _cache(2)), 1 << 28), most, 1 << 30)


def _cache(level: int) -> int:
    """Bytes of one cache of this level as the system tells; a megabyte where it does not."""
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            if (index / "level").read_text().strip() != str(level):
                continue
            found = re.fullmatch(r"(\d+)([KM])", (index / "size").read_text().strip())
        except OSError:
            continue
        if found:
            return int(found[1]) << {"K": 10, "M": 20}[found[2]]
    return 1 << 20
