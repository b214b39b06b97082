"""python -m benchmarks NAME | all: runs a comparison, prints ratios and versions, keeps results/NAME.json."""

import sys
from importlib import import_module

NAMES = (
    "overhead",
    "cold_start",
    "backend_choice",
    "stream_memory",
    "export_cost",
    "export_speed",
    "engines_fp32",
    "rewrites",
    "int8",
    "league",
    "dynamic_batching",
    "training_step",
    "repeatability",
)


def main() -> None:
    chosen = sys.argv[1:] or ["help"]
    if chosen == ["all"]:
        chosen = list(NAMES)
    if any(name not in NAMES for name in chosen):
        raise SystemExit(f"usage: python -m benchmarks {' | '.join([*NAMES, 'all'])}")
    for name in chosen:
        import_module(f"benchmarks.{name}").main()


main()
