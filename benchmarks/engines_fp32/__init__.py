"""Which engine runs which network fastest in FP32 on this processor? ONNX Runtime, OpenVINO and MNN as ganrt opens
them, and ncnn as its makers do. 3x3 convolutions are what MNN's and ncnn's Winograd kernels are for.

Each answer is also held to ONNX Runtime's, in dB of its range. ncnn takes one sample a call.
"""

from __future__ import annotations

import importlib.metadata
from importlib import import_module
from importlib.util import find_spec
from statistics import median

import numpy as np

from ganrt.backends import available

from ..runner import interleave, report
from .networks import CASES

RIVALS = "benchmarks.engines_fp32.rivals"
ENGINES = {name: (f"{RIVALS}.ganrt_session", (name,)) for name in ("onnxruntime", "openvino", "mnn")}
ENGINES["ncnn"] = (f"{RIVALS}.ncnn_network", ())


def main() -> None:
    here = [
        name for name in ENGINES if (available(name) if name != "ncnn" else find_spec("ncnn") and find_spec("pnnx"))
    ]
    lines, figures = [], {}
    for case, (_, shape) in CASES.items():
        rivals = {name: (ENGINES[name][0], shape[0], (case, *ENGINES[name][1])) for name in here}
        psnr_db = _distances(rivals)
        times = interleave(rivals, rounds=11, seconds=0.5)
        best = min(("onnxruntime", "openvino"), key=lambda name: median(times[name]))
        speeds = {
            name: median([a / b for a, b in zip(times[best], times[name], strict=True)])
            for name in here
            if name in ("mnn", "ncnn")
        }
        row = ", ".join(f"{name} {median(values) * 1e3:.2f} ms" for name, values in times.items())
        against = ", ".join(f"{name} {speed:.2f}x at {psnr_db[name]:.0f} dB" for name, speed in speeds.items())
        lines.append(f"{case}: {row}; against {best}: {against} (paired, median of 11 rounds)")
        figures[case] = {"seconds": times, "best_of_two": best, "speed": speeds, "psnr_db": psnr_db}
    versions = {name: importlib.metadata.version(name) for name in ("MNN", "ncnn") if find_spec(name)}
    report("engines_fp32", lines, {"also": versions, "cases": figures})


def _distances(rivals: dict[str, tuple[str, int, tuple[str, ...]]]) -> dict[str, float]:
    """dB of each engine's answer from ONNX Runtime's, whose range is the peak."""
    answers = {name: import_module(module).make(n, *words)().copy() for name, (module, n, words) in rivals.items()}
    expected = answers["onnxruntime"].astype(np.float64)
    errors = {name: np.square(answer - expected).mean() for name, answer in answers.items()}
    return {
        name: min(200.0, float(10 * np.log10(np.ptp(expected) ** 2 / max(error, 1e-30))))
        for name, error in errors.items()
    }
