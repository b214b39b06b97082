"""What `Generator.serve_batches` reaches when 32 threads ask for one digit at a time, beside one large `sample` call.

Target: at least 0.95 of the large call's throughput when each thread has eight requests on the way, so that a full
batch always waits. With one on the way there are never more than 32, and each answer costs two switches of threads.
"""

from __future__ import annotations

from statistics import median

from ganrt import Generator

from ..runner import interleave, report

OFFLINE, SERVER = "benchmarks.dynamic_batching.rivals.offline", "benchmarks.dynamic_batching.rivals.server"
SAMPLES = 1024


def main() -> None:
    with Generator.tune("digits", seconds=0.3) as tuned, tuned.serve_batches() as server:
        lines = [f"{tuned.way} for one digit, {tuned.reason[:120]}; batches of {server.max_batch} at most"]
    times = interleave(
        {
            "one call": (OFFLINE, SAMPLES, ()),
            "32 threads, 8 requests each": (SERVER, SAMPLES, ("32", "8")),
            "32 threads, 1 request each": (SERVER, SAMPLES, ("32", "1")),
        },
        rounds=7,
        seconds=0.3,
    )
    ratios = {}
    for name, seconds in times.items():
        ratios[name] = median([a / b for a, b in zip(times["one call"], seconds, strict=True)])
        lines.append(f"{name}: {SAMPLES / median(seconds):,.0f} digits/s, {ratios[name]:.3f} of one call")
    report("dynamic_batching", lines, {"samples": SAMPLES, "seconds": times, "throughput": ratios})
