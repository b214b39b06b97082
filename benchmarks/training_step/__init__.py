"""What a step of `ganrt train` costs beside the same step in a bare PyTorch loop: same networks, loss, data and batch.

The bare loops have no checkpoints, no table, no look at gradients. One draws samples for each side's step ("bare", as
the recipe gan does), the other shows the discriminator the generator's own ("tutorial", as dcgan-mnist does). Target:
at most 1.1 times the step of the loop that computes the same.
"""

from __future__ import annotations

import os
from statistics import median

from ..runner import interleave, report

BARE, OURS = "benchmarks.training_step.rivals.bare_loop", "benchmarks.training_step.rivals.ganrt_loop"
BATCHES = {"gan": 100, "dcgan-mnist": 128}


def main() -> None:
    """`GANRT_BENCH_RECIPES`: names of recipes, commas between."""
    lines, figures = [], {}
    for recipe in os.environ.get("GANRT_BENCH_RECIPES", ",".join(BATCHES)).split(","):
        batch = BATCHES[recipe]
        rivals = {
            "bare": (BARE, batch, (recipe, "fresh")),
            "tutorial": (BARE, batch, (recipe, "reused")),
            "ganrt": (OURS, batch, (recipe,)),
        }
        times = interleave(rivals, rounds=5, seconds=1.0)
        told = ", ".join(f"{name} {median(steps) * 1e3:,.1f} ms" for name, steps in times.items())
        ratios = {
            name: median([b / a for a, b in zip(times[name], times["ganrt"], strict=True)])
            for name in ("bare", "tutorial")
        }
        against = ", ".join(f"{ratio:.3f}x {name}" for name, ratio in ratios.items())
        lines.append(f"{recipe}, batch {batch}: {told} a step; ganrt {against} (paired, median of 5 rounds)")
        print(lines[-1], flush=True)
        figures[recipe] = {"seconds": times, "ratios": ratios}
    report("training_step", lines, figures)
