"""ganrt: the bundle, held to PyTorch on every engine."""

import json
import sys
import tempfile
import time
from pathlib import Path

started = time.perf_counter()
from benchmarks.networks import network  # noqa: E402
from ganrt_export import export_generator  # noqa: E402

module, spec = network(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    export_generator(module, Path(folder) / "g.ganrt", spec)
seconds = time.perf_counter() - started
weights = sum(weight.numel() for weight in module.parameters()) * 4 / 2**20
status = Path("/proc/self/status").read_text()  # getrusage counts the process that started this one, too
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"seconds": seconds, "peak_mib": peak, "weights_mib": weights}))
