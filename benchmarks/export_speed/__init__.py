"""Is the exported graph as fast as the one that PyTorch's own exporter writes? Same engine, processes of their own.

Target: never slower than 0.98 times at batch 1 and 8. Once for uint8 pixels, which ganrt's graph gives and numpy makes
of the other's, and once for the network's floats alone, from a graph exported with example inputs and no spec.
"""

from __future__ import annotations

from itertools import product
from statistics import median

from ..runner import interleave, report

RIVAL = "benchmarks.export_speed.rivals.session"


def main() -> None:
    lines, figures = [], {}
    for wanted, n in product(("pixels", "floats"), (1, 8)):
        rivals = {name: (RIVAL, n, (name, wanted)) for name in ("torch.onnx", "ganrt")}
        times = interleave(rivals, rounds=15, seconds=0.4)
        ratio = median([a / b for a, b in zip(times["torch.onnx"], times["ganrt"], strict=True)])
        row = ", ".join(f"{name} {median(values) * 1e3:.2f} ms" for name, values in times.items())
        lines.append(
            f"{wanted}, batch {n}: {row}; ganrt's graph is {ratio:.3f} times as fast (paired, median of 15 rounds)"
        )
        figures[f"{wanted}, n={n}"] = {"seconds": times, "speed": ratio}
    report("export_speed", lines, figures)
