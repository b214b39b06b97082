"""A process for LoadGen, and what is said between it and the command: orders down its stdin, answers up its stdout.

LoadGen cannot be stopped, and a process that ends while it runs crashes. So it gets one of its own, which tells what it
has found until then and leaves at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import msgspec

from .. import errors
from ..errors import BackendError, GanrtError, legible
from ..latency.scenarios import Outcome, Scenario

__all__ = ["Answer", "Load", "Order", "ScenarioProcess"]

_PATIENCE_S = 10.0  # with a process that was told to leave


class Load(msgspec.Struct):
    """What to load, as for `Generator.load`; `logs` is the folder for LoadGen's files, or empty."""

    source: str
    backend: str
    precision: str
    form: str
    threads: int | None
    logs: str


class Order(msgspec.Struct):
    """A scenario to run; None: stop, tell what there is, and leave."""

    scenario: Scenario | None


class Answer(msgspec.Struct):
    """One of these: `doing`, progress of the load; `loaded`, what runs, in words; the `outcome` of an order; an
    `error`, its class and its sentence."""

    doing: str = ""
    loaded: str = ""
    outcome: Outcome | None = None
    error: tuple[str, str] | None = None


class ScenarioProcess:
    """Runs scenarios one after the other: `with ScenarioProcess(load, tell) as process: process.run(scenario)`.

    `tell` hears what the load is doing. Raises what the load or a run raises there.
    """

    def __init__(self, load: Load, tell: Callable[[str], None]) -> None:
        self.loaded = ""  # what runs, in words
        self._load, self._tell = load, tell
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        if not sys.executable:
            raise BackendError("LoadGen needs a process of its own, and this Python does not know how to start one.")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ganrt.cli.scenario_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # the same modules as here
            start_new_session=True,  # Ctrl-C is for the command, which passes it on
        )

    def __enter__(self) -> Self:
        try:
            self._send(self._load)
            while not self.loaded:
                answer = self._answer()
                self._tell(answer.doing)
                self.loaded = answer.loaded
        except BaseException:
            self._leave(0.0)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(0.0 if kind else _PATIENCE_S)

    def run(self, scenario: Scenario) -> Outcome:
        """One scenario. Ctrl-C ends it: the outcome is "interrupted" then, and the process has left."""
        try:
            self._send(Order(scenario))
            return self._outcome()
        except KeyboardInterrupt:
            with suppress(ValueError):  # not in the main thread; a second Ctrl-C must not cut off the results
                signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                self._send(Order(None))
                return self._outcome()
            except GanrtError:
                return Outcome(scenario, "interrupted")

    def _outcome(self) -> Outcome:
        while (outcome := self._answer().outcome) is None:
            pass
        return outcome

    def _send(self, message: Load | Order) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            self._process.stdin.flush()
        except OSError as problem:
            raise self._broken() from problem

    def _answer(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._broken()
        answer = msgspec.json.decode(line, type=Answer)
        if answer.error is not None:
            name, text = answer.error
            raise getattr(errors, name, BackendError)(text)
        return answer

    def _broken(self) -> BackendError:
        """What is known of a process that ended by itself."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        last = f" It said last: {legible(lines[-1])}" if lines else ""
        return BackendError(f"The process that ran LoadGen ended by itself (code {code}).{last}")

    def _leave(self, patience_s: float) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()  # it leaves when it reads the end
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()
