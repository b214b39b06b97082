"""A process of its own that times something turn by turn, and the two ends of the pipe to it.

Medians differ from process to process (memory layout) and from minute to minute (clocks, neighbours), so one process
is one sample of a benchmark, not a benchmark: Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time",
doi:10.1145/2464157.2464160. Before each stretch of calls the child asks for its turn; so two children can take turns,
and one that is told to stop hands over what it has. A child whose parent is gone ends at its next turn.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from .. import errors
from ..errors import BackendError, GanrtError, legible

__all__ = ["Child", "Line", "Turns", "alternate"]

T = TypeVar("T", bound=msgspec.Struct)

_PATIENCE_S = 5.0  # for what a child has when it is told to stop
_GO, _STOP = b"go\n", b"stop\n"
_MOST_SAID = 2000  # characters of a dead child's last words


class Line(msgspec.Struct):
    """What a child says: it asks for a "turn", tells what it "does", or ends with a "result" or a "fault".

    A fault has the name of a class of `ganrt.errors` and its sentence.
    """

    kind: str
    text: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")


class Turns:
    """The child's end. Whatever prints to standard output meanwhile, engines do, goes to standard error."""

    def __init__(self) -> None:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent was interrupted too, and says "stop"
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        self._in = os.fdopen(os.dup(0), "rb")

    def request(self, kind: type[T]) -> T:
        """What the parent wants."""
        return msgspec.json.decode(self._in.readline(), type=kind)

    def take(self) -> None:
        """Waits for a turn. Raises KeyboardInterrupt when it is time to stop, SystemExit when nobody is there."""
        self._say(Line("turn"))
        answer = self._in.readline()
        if answer == _STOP:
            raise KeyboardInterrupt
        if answer != _GO:
            raise SystemExit(1)

    def tell(self, doing: str) -> None:
        self._say(Line("does", doing))

    def end(self, work: Callable[[], msgspec.Struct]) -> None:
        """Runs `work` and hands over its result, or the failure that ganrt explains."""
        try:
            self._say(Line("result", result=msgspec.Raw(msgspec.json.encode(work()))))
        except GanrtError as problem:
            self._say(Line("fault", f"{type(problem).__name__} {problem}"))

    def _say(self, line: Line) -> None:
        self._out.write(msgspec.json.encode(line) + b"\n")
        self._out.flush()


class Child:
    """The parent's end: `asks` until it is False, with a `go` for each turn; then `result`. A context manager."""

    def __init__(self, command: Sequence[str], request: msgspec.Struct, tell: Callable[[str], None]) -> None:
        """Raises BackendError where no process can be started."""
        if not command[0]:
            raise BackendError("What is timed needs a Python of its own, and this program is not run by one.")
        self._tell, self._last, self._stopping = tell, Line("does"), False
        self._words = tempfile.TemporaryFile()  # noqa: SIM115  closed below
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._words,
                env=_environment(command[0]),
            )
        except OSError as problem:
            self._words.close()
            raise BackendError(f"A process to measure in could not be started: {problem.strerror}.") from problem
        self._write(msgspec.json.encode(request) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._words.close()

    def asks(self) -> bool:
        """Waits until it asks for its turn; False when it has come to its end."""
        while self._last.kind == "does":
            said = self._process.stdout.readline() if self._process.stdout else b""
            self._last = self._read(said)
            if self._last.kind == "does":
                self._tell(self._last.text)
        return self._last.kind == "turn"

    def go(self) -> None:
        """Gives the turn that it asked for."""
        self._answer(_GO)

    def stop(self) -> bool:
        """Tells it to hand over what it has, and waits for that, though not for ever. Is there a `result`?"""
        patience = threading.Timer(_PATIENCE_S, self._process.kill)
        patience.daemon = True
        patience.start()
        self._stopping = True
        self._write(_STOP)  # it may wait for an answer to what Ctrl-C made this side forget
        waiting = True
        while waiting:
            with suppress(KeyboardInterrupt):  # sent again
                while self.asks():
                    self._answer(_STOP)
                waiting = False
        patience.cancel()
        return self._last.kind == "result"

    def result(self, kind: type[T]) -> T:
        """What it found. Raises the GanrtError that it met, and BackendError when it died."""
        if self._last.kind == "result":
            return msgspec.json.decode(self._last.result, type=kind)
        name, _, sentence = self._last.text.partition(" ")
        found: Any = getattr(errors, name, BackendError)
        raise found(sentence)

    def _answer(self, word: bytes) -> None:
        self._last = Line("does")
        self._write(word)

    def _write(self, words: bytes) -> None:
        with suppress(OSError):  # it died, which `asks` finds out
            if self._process.stdin is not None:
                self._process.stdin.write(words)
                self._process.stdin.flush()

    def _read(self, said: bytes) -> Line:
        if said.endswith(b"\n"):
            with suppress(msgspec.DecodeError):
                return msgspec.json.decode(said, type=Line)
            if self._stopping:  # the end of a line whose beginning was lost to Ctrl-C
                return Line("does")
            self._process.kill()
        code = self._process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with {code}"
        self._words.seek(0)
        words = [line for line in self._words.read().decode(errors="replace").splitlines() if line.strip()]
        last = f": {legible(words[-1], _MOST_SAID)}" if words else ""
        return Line("fault", f"BackendError The process that was measured {how}{last}")


def _environment(python: str) -> dict[str, str]:
    """What is imported here is imported there; another Python has its own."""
    names = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if python == sys.executable:
        names["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return names


def alternate(children: Sequence[Child]) -> None:
    """Turn by turn: first second, second first, first second, ... while all have turns, then each to its end.

    What drifts over two turns hits both alike; one child gets every turn at once.
    """
    order = list(children)
    while all(child.asks() for child in order):
        for child in order:
            child.go()
            child.asks()
        order.reverse()
    for child in order:
        while child.asks():
            child.go()
