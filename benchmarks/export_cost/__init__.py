"""What an export costs: seconds and peak memory of `export_generator` beside PyTorch's own exporter, fresh processes.

ganrt's includes the gate (256 samples on every engine), the goldens and the bundle; PyTorch's the ONNX file alone.
Targets: a face DCGAN within 12 s, 50 million parameters within 60 s, peak memory within 4 checkpoints and 1.5 GB.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

from ..runner import report

ROUNDS = 3
RIVALS = {
    "torch.onnx": "benchmarks.export_cost.rivals.torch_onnx",
    "ganrt": "benchmarks.export_cost.rivals.ganrt_export",
}


def main() -> None:
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for network in ("faces", "large"):
        found[network] = {name: [] for name in RIVALS}
        for _ in range(ROUNDS):
            for name, module in RIVALS.items():
                done = subprocess.run(
                    [sys.executable, "-m", module, network], capture_output=True, text=True, check=True
                )
                found[network][name].append(json.loads(done.stdout.splitlines()[-1]))
    lines = []
    for network, rivals in found.items():
        for name, runs in rivals.items():
            seconds, peak = (median(run[key] for run in runs) for key in ("seconds", "peak_mib"))
            weights = runs[0]["weights_mib"]
            lines.append(f"{network} ({weights:.0f} MiB of weights), {name}: {seconds:.1f} s, peak {peak:,.0f} MiB")
    report("export_cost", lines, {"runs": found})
