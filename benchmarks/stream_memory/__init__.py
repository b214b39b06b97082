"""Does `stream` keep its promise of constant memory? Peak resident size of a process that streams digits.

Target: a million samples within 50 MB of ten thousand.
"""

from __future__ import annotations

import json
import subprocess
import sys

from ..runner import report

_CHILD = """
import json, resource, sys, time
from ganrt import Generator
n, total, started = int(sys.argv[1]), 0, time.perf_counter()
with Generator.load("digits") as digits:
    for images in digits.stream(n, seed=7):
        total += len(images)
assert total == n
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"peak_mib": peak, "samples_per_s": n / (time.perf_counter() - started)}))
"""


def main() -> None:
    found = {}
    for n in (10_000, 1_000_000):
        done = subprocess.run([sys.executable, "-c", _CHILD, str(n)], capture_output=True, text=True, check=True)
        found[n] = json.loads(done.stdout)
    lines = [
        f"stream({n:,}): peak {figures['peak_mib']:.1f} MiB, {figures['samples_per_s']:,.0f} samples a second"
        for n, figures in found.items()
    ]
    more = found[1_000_000]["peak_mib"] - found[10_000]["peak_mib"]
    report("stream_memory", [*lines, f"difference {more:+.1f} MiB"], {str(n): figures for n, figures in found.items()})
