"""Is the engine that ganrt picks by itself the fastest one? Every engine forced, beside `backend="auto"`.

Target: at n = 1, 8 and 64 never more than 5 % slower than the best forced engine.
"""

from __future__ import annotations

from statistics import median

from ganrt.backends import NAMES

from ..runner import interleave, report

RIVAL = "benchmarks.backend_choice.rivals.ganrt_backend"


def main() -> None:
    lines, figures = [], {}
    for n in (1, 8, 64):
        times = interleave({name: (RIVAL, n, (name,)) for name in ("auto", *NAMES)}, rounds=15, seconds=0.4)
        best = min(NAMES, key=lambda name: median(times[name]))
        ratio = median([a / b for a, b in zip(times["auto"], times[best], strict=True)])
        row = ", ".join(f"{name} {median(values) * 1e6:,.0f} us" for name, values in times.items())
        lines.append(f"n = {n}: {row}; auto / {best} = {ratio:.3f} (paired, median of 15 rounds)")
        figures[f"n={n}"] = {"seconds": times, "best": best, "auto_over_best": ratio}
    report("backend_choice", lines, figures)
