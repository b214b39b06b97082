"""Contestants in processes of their own, alive side by side, timed in turns.

Two engines in one process disturb each other with spinning threads, and a machine's speed drifts; so every contestant
is a process, and the rounds go A B A B. A contestant is a file with `make(n)`, which returns the call to be timed.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parent / "results"

_CHILD = """
import json, os, sys, time
from importlib import import_module
told = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what engines print is not an answer
call = import_module(sys.argv[1]).make(int(sys.argv[2]), *sys.argv[3:])
print("ready", file=told, flush=True)
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    print(json.dumps(times), file=told, flush=True)
"""


class Contestant:
    """One process that runs `make(n, *arguments)` of a module and times calls when told to."""

    def __init__(self, module: str, n: int, *arguments: str) -> None:
        command = [sys.executable, "-c", _CHILD, module, str(n), *arguments]
        started = time.perf_counter()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("ready")
        self.ready_s, self.mib = time.perf_counter() - started, 0.0

    def time(self, calls: int) -> list[float]:
        """Seconds of each of `calls` calls."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return list(map(float, json.loads(self._line())))

    def peak_mib(self) -> float:
        """The most memory it has had resident so far; 0 where the system does not tell."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return 0.0
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:"))

    def close(self) -> None:
        self._process.communicate()

    def _expect(self, word: str) -> None:
        line = self._line()
        if line != word:
            raise SystemExit(f"A contestant said {line!r} instead of {word!r}.")

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("A contestant died; its error is above.")
        return line.strip()


def interleave(
    contestants: Mapping[str, tuple[str, int, Sequence[str]]], *, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Seconds a call of each contestant, from `rounds` turns of about `seconds` each, after one turn of warm-up."""
    return take_turns(
        {name: Contestant(module, n, *arguments) for name, (module, n, arguments) in contestants.items()},
        rounds=rounds,
        seconds=seconds,
    )


def take_turns(running: Mapping[str, Contestant], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """The same of contestants that have started; they are closed at the end."""
    calls = {name: max(3, int(seconds / median(one.time(5)))) for name, one in running.items()}
    times: dict[str, list[float]] = {name: [] for name in running}
    for one in running.values():
        one.time(3)
    for turn in range(rounds + 1):
        for name, one in running.items():
            measured = one.time(calls[name])
            if turn:
                times[name].append(median(measured))
    for one in running.values():
        one.close()
    return times


def machine() -> dict[str, Any]:
    """What stands beside every figure: processor, system, versions."""
    from ganrt.environment import processor

    here = processor()
    packages = ("ganrt", "numpy", "onnxruntime", "openvino")
    return {
        "processor": here.name,
        "cores": here.cores,
        "features": list(here.features),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }


def report(name: str, lines: Sequence[str], figures: Mapping[str, Any]) -> None:
    """Prints the lines with the machine below them, and keeps the figures in results/<name>.json."""
    here = machine()
    versions = ", ".join(f"{package} {version}" for package, version in here["versions"].items())
    print(f"\n{name}")
    for line in lines:
        print(f"  {line}")
    print(f"  on {here['processor']}, {here['cores']} cores, Python {here['python']}, {versions}", flush=True)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"benchmark": name, "machine": here, **figures}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
