"""What `Generator.sample` costs beside a bare engine call on the same graph with inputs made beforehand.

Targets: at n = 1 at most 40 microseconds more; at n = 64 at most 2 % more than the bare call of batch 64.
"""

from __future__ import annotations

from statistics import median

from ..runner import interleave, report

RIVALS = {"bare": "benchmarks.overhead.rivals.bare_onnxruntime", "ganrt": "benchmarks.overhead.rivals.ganrt_sample"}


def main() -> None:
    lines, figures = [], {}
    for n in (1, 64):
        times = interleave({name: (module, n, ()) for name, module in RIVALS.items()}, rounds=15, seconds=0.4)
        bare, ours = median(times["bare"]), median(times["ganrt"])
        more = median([b - a for a, b in zip(times["bare"], times["ganrt"], strict=True)])
        lines.append(
            f"n = {n}: bare onnxruntime {bare * 1e6:,.0f} us, ganrt {ours * 1e6:,.0f} us: "
            f"{more * 1e6:+,.0f} us, {more / bare:+.1%} (paired, median of 15 rounds)"
        )
        figures[f"n={n}"] = {"bare_s": times["bare"], "ganrt_s": times["ganrt"], "more_s": more}
    report("overhead", lines, figures)
