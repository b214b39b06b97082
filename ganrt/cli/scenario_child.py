"""The other end of `ScenarioProcess`: `python -m ganrt.cli.scenario_child`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import BinaryIO

import msgspec

from ..errors import GanrtError
from ..generator import Generator
from ..latency.scenarios import Scenario
from ..latency.systems import Record, so_far
from .scenario_process import Answer, Load, Order

__all__ = ["main"]


class _Answers:
    """The way up; engines and LoadGen may print to stdout, which now is stderr."""

    def __init__(self) -> None:
        self._stream: BinaryIO = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._lock = threading.Lock()

    def __call__(self, answer: Answer) -> None:
        with self._lock:
            self._stream.write(msgspec.json.encode(answer) + b"\n")
            self._stream.flush()


def main() -> None:
    """Loads, runs what is ordered, and leaves when the orders end, whatever runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command says when it is over
    answers = _Answers()
    orders = sys.stdin.buffer
    try:
        load = msgspec.json.decode(orders.readline(), type=Load)
        generator = Generator.load(
            load.source,
            backend=load.backend,
            precision=load.precision,
            form=load.form,
            threads=load.threads,
            progress=lambda doing: answers(Answer(doing=doing)),
        )
        answers(Answer(loaded=f"{generator.way}, {generator.info.engine} on {generator.info.device}"))
    except GanrtError as problem:
        answers(Answer(error=(type(problem).__name__, str(problem))))
        return
    running: tuple[Scenario, Record] | None = None
    for line in orders:
        order = msgspec.json.decode(line, type=Order)
        if order.scenario is None:
            if running is not None:
                answers(Answer(outcome=so_far(*running)))
            break
        running = order.scenario, Record()
        threading.Thread(target=_run, args=(generator, load, *running, answers), daemon=True).start()
    os._exit(0)


def _run(generator: Generator, load: Load, scenario: Scenario, record: Record, answers: _Answers) -> None:
    try:
        outcome = generator.load_test(
            scenario.name,
            seconds=scenario.seconds,
            target_qps=scenario.target_qps,
            budget=scenario.budget_ms / 1000,
            percentile=scenario.percentile,
            compliant=scenario.compliant,
            seed=scenario.seed,
            max_batch=scenario.max_batch,
            max_delay=scenario.max_delay,
            logs=load.logs or None,
            record=record,
        )
        answers(Answer(outcome=outcome))
    except GanrtError as problem:
        answers(Answer(error=(type(problem).__name__, str(problem))))
    except BaseException as problem:
        answers(Answer(error=("BackendError", f"The run broke down ({type(problem).__name__}: {problem}).")))
        raise


if __name__ == "__main__":
    main()
