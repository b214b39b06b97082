"""PyTorch's own exporter: one ONNX file with a dynamic batch, default settings, nothing checked."""

import json
import sys
import tempfile
import time
from pathlib import Path

started = time.perf_counter()
import torch  # noqa: E402

from benchmarks.networks import network  # noqa: E402

module, _ = network(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    torch.onnx.export(
        module,
        (torch.randn(2, 100),),
        Path(folder) / "g.onnx",
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        verbose=False,
    )
seconds = time.perf_counter() - started
weights = sum(weight.numel() for weight in module.parameters()) * 4 / 2**20
status = Path("/proc/self/status").read_text()  # getrusage counts the process that started this one, too
peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps({"seconds": seconds, "peak_mib": peak, "weights_mib": weights}))
