"""A generator as LoadGen's system under test: queries in, answers out, a few outputs kept to be checked.

What LoadGen calls must not raise, or the process ends: the first failure is kept, and every later query is answered
with nothing, so that the run comes to its end.
"""

from __future__ import annotations

import math
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, GanrtError, OutputError
from ..latents import Draws
from ..manifest import Bound
from ..spec import Spec
from .loadgen import LIBRARY, Complete, Query, drive, ended_early, judge, require
from .percentiles import bound
from .results import EngineCall
from .scenarios import REPORTED, Outcome, Scenario

if TYPE_CHECKING:
    from ..serving import BatchServer

__all__ = ["Record", "Tested", "run", "so_far"]

_WATCHED = frozenset(range(0, LIBRARY, LIBRARY // 8))  # samples whose last output is kept
_FIRST = 8  # outputs that are kept whatever they are
_CALIBRATION_S, _LEAST_CALLS = 0.5, 5
_SLOWER = 1.4  # a query is announced as so much slower than measured; LoadGen then prepares 1.4 times what it needs
_FASTER = 0.85  # and a sample of offline as faster, since it prepares 1.1 times what that would take
_OWN_S = 5e-6  # of a sample offline: what LoadGen and the calls to and from it take
_TRIES = 4  # of a run that ends before its time: it was held up while it was measured, and LoadGen prepared too little
_SPARE = 64  # requests

Array: TypeAlias = "NDArray[Any]"
Issue: TypeAlias = Callable[[Sequence[Query]], None]


class Tested(NamedTuple):
    """`sample` and `serve` as users call them; `together`: the samples of several calls at once, drawn anew; `batch`:
    how many of them offline; `hold`: raises FidelityError when the engine, at that many samples, misses the bundle's
    references; `ran`: the engine calls of that many; `bound`: how far outputs may differ; `exact`: computed in FP32, so
    by one step at most."""

    spec: Spec
    sample: Callable[..., Array]
    together: Callable[[Sequence[Draws]], Array]
    serve: Callable[..., BatchServer]
    batch: int
    hold: Callable[[int], None]
    ran: Callable[[int], list[EngineCall]]
    bound: Bound
    exact: bool


class Record:
    """What a run has done so far; another thread may read it. Times are seconds of `time.perf_counter`."""

    def __init__(self) -> None:
        self.latencies = array("d")  # of queries, from when they came in
        self.samples = 0
        self.began = self.ended = 0.0
        self.fault = ""
        self.kept: dict[int, Array] = {}

    def answer(self, began: float, indices: Sequence[int], outputs: Array) -> None:
        """A query that came in at `began` has its outputs."""
        self.ended = time.perf_counter()
        self.began = self.began or began
        self.latencies.append(self.ended - began)
        self.samples += len(indices)
        for index, output in zip(indices, outputs, strict=True):
            if index in _WATCHED or len(self.kept) < _FIRST:
                self.kept[index] = output.copy()

    def fail(self, problem: BaseException) -> None:
        """Keeps the first failure."""
        self.fault = self.fault or (str(problem) if isinstance(problem, GanrtError) else repr(problem))


def run(tested: Tested, scenario: Scenario, logs: Path | None = None, record: Record | None = None) -> Outcome:
    """Runs one scenario to its end.

    `logs`: a folder in which LoadGen's files are kept, in one of their own; otherwise they are deleted. `record` is
    filled as the run goes. Raises MissingExtra without LoadGen, ArgumentError for a generator that takes a signal,
    OutputError when the folder cannot be made.
    """
    require()
    if tested.spec.signals:
        raise ArgumentError("This generator takes a signal; the scenarios are for those that draw from latents.")
    record = record or Record()
    with _folder(scenario, logs) as folder:
        run_it = _run_server if scenario.name == "server" else _run_alone
        outcome, sizes = run_it(tested, scenario, folder, record)
        outcome.logs = str(folder) if logs else ""
    fault = record.fault or _wrong(tested, scenario, record, sizes)
    outcome.checked, outcome.ran = len(record.kept), tested.ran(max(sizes))
    if fault:
        outcome.state, outcome.fault, outcome.valid, outcome.compliant = "failed", fault, False, False
    return outcome


def so_far(scenario: Scenario, record: Record) -> Outcome:
    """What is known of a run that was interrupted."""
    made = Outcome(scenario, "interrupted", percentile=scenario.counted)
    latencies_ms = np.array(record.latencies) * 1000  # a copy: another thread may append
    made.queries, made.samples = 1 if scenario.name == "offline" else len(latencies_ms), record.samples
    if record.ended > record.began:
        made.samples_a_second = record.samples / (record.ended - record.began)
    if len(latencies_ms) and scenario.name != "offline":
        figures = np.percentile(latencies_ms, REPORTED).tolist()
        made.percentiles_ms = {f"{one:g}": round(ms, 6) for one, ms in zip(REPORTED, figures, strict=True)}
        made.mean_ms, made.least_ms = round(float(latencies_ms.mean()), 6), round(float(latencies_ms.min()), 6)
        made.most_ms = round(float(latencies_ms.max()), 6)
        if scenario.counted is not None:
            made.latency_ms = made.percentiles_ms[f"{scenario.counted:g}"]
            made.bound_ms = bound(latencies_ms, scenario.counted)
    return made


def _run_alone(tested: Tested, scenario: Scenario, folder: Path, record: Record) -> tuple[Outcome, set[int]]:
    """Computes in LoadGen's own thread: one query at a time, or all of them in the batches that run fastest.

    Returns the sizes of its batches as well.
    """
    offline = scenario.name == "offline"
    size = tested.batch if offline else scenario.rule.samples
    library = [Draws(tested.spec, scenario.seed, index, 1) for index in range(LIBRARY)]

    def make(indices: Sequence[int]) -> Array:
        if len(indices) == 1:
            return tested.sample(1, seed=scenario.seed, start=indices[0])
        return tested.together([library[index] for index in indices])

    def issue(complete: Complete, queries: Sequence[Query]) -> None:
        for at in range(0, len(queries), size):
            began, some = time.perf_counter(), queries[at : at + size]
            indices, outputs = [query.index for query in some], None
            if not record.fault:
                try:
                    outputs = make(indices)
                except Exception as problem:  # noqa: BLE001  it must not reach LoadGen
                    record.fail(problem)
            complete([query.id for query in some])
            if outputs is not None:
                record.answer(began, indices, outputs)

    took = _calibrate(lambda: make(range(size)))
    expected_s = took / size * _FASTER + _OWN_S if offline else took * _SLOWER
    for _ in range(_TRIES):
        log = drive(scenario, lambda complete: partial(issue, complete), expected_s, 0, folder)
        outcome = judge(scenario, log)
        if not ended_early(log) or not outcome.samples_a_second or record.fault:
            break
        expected_s *= _FASTER * outcome.samples / outcome.samples_a_second / scenario.seconds
    outcome.batch = float(size)
    return outcome, {size}


def _run_server(tested: Tested, scenario: Scenario, folder: Path, record: Record) -> tuple[Outcome, set[int]]:
    """Every request goes to a server of the generator; LoadGen hears of the answer from the thread that serves.

    Returns the least and the greatest size of its batches as well.
    """
    # with more on the way than this, more than the percentile allows have already waited longer than the budget
    late = scenario.budget_ms / 1000 + (1 - scenario.percentile / 100) * scenario.seconds
    most_waiting = _SPARE + math.ceil(1.1 * late * (scenario.target_qps or 0.0))

    def done(complete: Complete, query: int, began: float, index: int, future: Future[Array]) -> None:
        problem = future.exception()
        complete([query])
        if problem is not None:
            record.fail(problem)
        else:
            record.answer(began, (index,), future.result())

    def issue(complete: Complete, queries: Sequence[Query]) -> None:
        for query in queries:
            began = time.perf_counter()
            try:
                if record.fault:
                    complete([query.id])
                    continue
                future = server.submit(seed=scenario.seed, start=query.index)
            except Exception as problem:  # noqa: BLE001  it must not reach LoadGen
                record.fail(problem)
                complete([query.id])
            else:
                future.add_done_callback(partial(done, complete, query.id, began, query.index))

    with tested.serve(
        max_batch=scenario.max_batch,
        max_delay=scenario.max_delay,
        max_queue=most_waiting + tested.batch + (scenario.max_batch or 0),
    ) as server:
        for count in (1 << power for power in range(server.max_batch.bit_length())):
            _calibrate(partial(server.sample, count), _CALIBRATION_S / 10)  # engines meet every size once
        before = server.served
        log = drive(scenario, lambda complete: partial(issue, complete), 1.0, most_waiting, folder)
        calls, samples = server.served.calls - before.calls, server.served.samples - before.samples
    outcome = judge(scenario, log)
    outcome.batch = samples / calls if calls else None
    return outcome, {1, server.max_batch}


def _calibrate(call: Callable[[], object], seconds: float = _CALIBRATION_S) -> float:
    """Seconds of a call, warm."""
    took, started = list[float](), time.perf_counter()
    while len(took) < _LEAST_CALLS or time.perf_counter() - started < seconds:
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return median(took)


def _wrong(tested: Tested, scenario: Scenario, record: Record, sizes: set[int]) -> str:
    """Why the answers, in batches of these sizes, cannot be right; empty when they can."""
    try:
        for size in sorted(sizes):
            tested.hold(size)
    except GanrtError as problem:
        return str(problem)
    if len(record.kept) > 1 and len({output.tobytes() for output in record.kept.values()}) == 1:
        return f"{len(record.kept)} outputs of different samples are all the same; the engine does not compute them."
    return _apart(tested, scenario, record)


def _apart(tested: Tested, scenario: Scenario, record: Record) -> str:
    """Why the outputs that were kept are not what `sample` gives; empty when they are."""
    for index, output in record.kept.items():
        expected = tested.sample(1, seed=scenario.seed, start=index)[0]
        if expected.dtype == np.uint8:
            steps = np.abs(output.astype(np.int16) - expected)
            if tested.exact and steps.max() > 1:
                far = f"{steps.max()} steps off"
            elif float((steps <= 1).mean()) < tested.bound.within_one:
                far = f"{(steps <= 1).mean():.2%} of the values are within one step"
            else:
                continue
        else:
            error, span = float(np.square(output - expected).mean()), float(np.ptp(expected))
            if error <= (span or 1.0) ** 2 * 10 ** (-tested.bound.psnr_db / 10):  # not a number: False
                continue
            far = "the values are others"
        return f"The output for sample {index} of seed {scenario.seed} is not what sample() gives: {far}."
    return ""


@contextmanager
def _folder(scenario: Scenario, logs: Path | None) -> Iterator[Path]:
    """Where LoadGen writes: the first of server-1, server-2, ... that is not there, or a temporary folder."""
    if logs is None:
        with tempfile.TemporaryDirectory(prefix="ganrt-loadgen-") as name:
            yield Path(name)
        return
    number = 1
    try:
        logs.mkdir(parents=True, exist_ok=True)
        while (folder := logs / f"{scenario.name}-{number}").exists():
            number += 1
        folder.mkdir()
    except OSError as problem:
        raise OutputError(f"The folder for LoadGen's logs cannot be made in {logs}: {problem.strerror}.") from problem
    yield folder
