"""A child process that holds MNN, which has written beyond its arrays: a process in which it did ends later, anywhere.

Requests and answers are lines of JSON in two pipes. The child (`_mnn_interpreter`) ends when its pipe closes, so that
none outlives the application, however that ends; Ctrl-C it leaves to the application.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ..errors import BackendError, BackendUnavailable

__all__ = ["INSTALL", "INTERPRETER", "Process", "python", "unloadable"]

INSTALL = "pip install 'ganrt[mnn]'"
INTERPRETER = Path(__file__).with_name("_mnn_interpreter.py")
_SECONDS = 10.0  # from the end of a child's pipe to its own, a core dump aside


class Process:
    """One child, and memory that both processes map: `file`, without a name, which the child makes as large as it must.

    Ended by `end`, when it is forgotten, and when the application ends.
    """

    def __init__(self) -> None:
        """Raises BackendUnavailable where there is no Python to run, OSError where there is no room for a process."""
        descriptors: list[int] = []
        try:
            descriptors += os.pipe()
            descriptors += os.pipe()
            descriptors += [_nameless()]
            theirs, self._requests, self._replies, answering, self.file = descriptors
            # the three descriptors that every child has; what it prints, it sends nowhere
            self._child = subprocess.Popen(
                [*python(), str(INTERPRETER)], stdin=theirs, stdout=answering, stderr=self.file
            )
        except BaseException:
            for descriptor in descriptors:
                os.close(descriptor)
            raise
        os.close(theirs)
        os.close(answering)
        ours = (self._requests, self._replies, self.file)
        self._ending = weakref.finalize(self, _end, self._child, ours, os.getpid())

    def alive(self) -> bool:
        return self._ending.alive and self._child.poll() is None

    def ask(self, doing: str, method: str, *arguments: object) -> Any:
        """What the child's method gives. `doing`: what MNN then does, "computed".

        Raises RuntimeError with the child's sentence, BackendError when it did not survive. Whatever else comes in
        between, Ctrl-C for one, ends the child, whose answer would be taken for that to the next request.
        """
        self._ending.atexit = False  # a thread that the application's end cuts off has nobody to tell it to
        try:
            request = msgspec.json.encode((method, *arguments)) + b"\n"
            while request:
                request = request[os.write(self._requests, request) :]
            answer = b""
            while not answer.endswith(b"\n"):
                more = os.read(self._replies, 1 << 16)
                if not more:
                    raise EOFError
                answer += more
            fault, result = msgspec.json.decode(answer)
        except (EOFError, BrokenPipeError) as problem:
            raise BackendError(
                f"MNN ended while it {doing} ({self._how()}). "
                "Load the bundle with another backend, e.g. backend='openvino'."
            ) from problem
        except BaseException:
            self.end()
            raise
        finally:
            self._ending.atexit = True
        if fault:
            raise RuntimeError(fault)
        return result

    def end(self) -> None:
        """Ends the child at once: it holds nothing that must be brought to an end, and MNN has crashed when closed."""
        self._ending()

    def _how(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(_SECONDS)
        self.end()
        code = self._child.returncode
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def python() -> list[str]:
    """The command that runs a script with nothing imported. Raises BackendUnavailable where there is none."""
    if not sys.executable:
        raise BackendUnavailable("MNN needs a Python for a process of its own, and this program is not run by one.")
    return [sys.executable, "-I", "-S"]


def unloadable(reason: object) -> BackendUnavailable:
    """Why a child could not import MNN."""
    return BackendUnavailable(f"MNN cannot be loaded ({reason}). Install it: {INSTALL}")


def _nameless() -> int:
    """A file in memory where the system has such, else one that is gone from its folder already."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("ganrt-mnn")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _end(child: subprocess.Popen[bytes], descriptors: tuple[int, ...], owner: int) -> None:
    """Also runs in a process that was forked from the owner: the child is not its own, the descriptors are."""
    if os.getpid() == owner:
        child.kill()
        child.wait()
    else:
        child.returncode = 0  # nothing for it to wait for
    for descriptor in descriptors:
        os.close(descriptor)
