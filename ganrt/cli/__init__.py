"""The command line. A command is one file, and has no logic of its own: arguments in, lines out.

Exit codes: 0; 1 for a failure; 2 for a command that was given wrong; 130 for Ctrl-C. A failure is one sentence on
stderr; the traceback comes with --debug. What a program may read goes to stdout.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

__all__ = ["main"]

_AGAIN_S = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command, `sys.argv` by default; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    own = words[: words.index("--")] if "--" in words else words
    debug = "--debug" in own  # anywhere: people add it to the end of what failed
    words = [word for word in own if word != "--debug"] + words[len(own) :]
    try:
        with _stop_cleans_up():
            from .app import run

            code = run(words)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a reader that left or a full disk can still be told
        return code
    except BrokenPipeError:  # `ganrt info digits | head -1`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except BaseException as problem:  # noqa: BLE001  the last place that can say it in a sentence
        from .failure import report

        return report(problem, debug)


@contextmanager
def _stop_cleans_up() -> Iterator[None]:
    """SIGTERM removes half-written files, as Ctrl-C does.

    Either is sent again a second later, until the command has ended: an engine that was just calling back into Python
    can swallow the exception.
    """
    again: list[threading.Timer] = []

    def stop(number: int, frame: FrameType | None) -> None:
        timer = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()
        again.append(timer)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # outside the main thread Python takes no handlers
        yield
        return
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        for timer in again:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
