"""What a user gets from a bundle against what a careful user gets from the stock tools, whole calls, own processes.

ganrt: `Generator.load(bundle)`, in FP32 and in the default precision, once it has chosen engine, precision, form and
threads here. Rivals: PyTorch's own ONNX export in FP32 on stock ONNX Runtime, and on stock OpenVINO for latency, each
with its inputs made beforehand and numpy making the pixels. ganrt draws its latents in the call.

Targets: FP32 never slower than the better rival, and 1.4 times as fast on SRVGG, RRDB and an upsampling ResNet GAN; the
default precision 1.8 times where the processor computes faster in BF16. A quarter of a second a call is the most that
is timed, so batches that take longer are left out.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median

from ganrt import Generator, Image
from ganrt_export import export_generator

from ..rewrites import _torch_onnx as torch_onnx
from ..rewrites.networks import sample
from ..runner import interleave, report

STOCK, OURS = "benchmarks.chosen.rivals.stock", "benchmarks.chosen.rivals.ganrt_loaded"
NETWORKS = ("face", "sngan", "srvgg", "rrdb", "wavegan")
BATCHES = {"face": (1, 8, 64), "sngan": (1, 8, 64), "wavegan": (1, 8), "srvgg": (1,), "rrdb": (1,)}


def main() -> None:
    """`GANRT_BENCH_NETWORKS`: names of networks, commas between."""
    lines, figures = [], {}
    for name in os.environ.get("GANRT_BENCH_NETWORKS", ",".join(NETWORKS)).split(","):
        made = sample(name)
        with tempfile.TemporaryDirectory() as folder:
            bundle, stock = Path(folder) / f"{name}.ganrt", Path(folder) / "stock.onnx"
            stock.write_bytes(torch_onnx(made))
            export_generator(made.module, bundle, made.spec, optimize="measure")
            for precision in ("fp32", "auto"):
                with Generator.tune(bundle, precision=precision, seconds=0.5) as tuned:
                    lines.append(f"{name}, {precision}: {tuned.way} for one sample; {tuned.reason[:300]}")
            extent, output = str(made.extent), made.spec.output_ports()[-1].name
            picture = made.spec.output
            ends = (str(picture.low), str(picture.high)) if isinstance(picture, Image) else ("", "")
            for n in BATCHES.get(name, (1,)):
                times = interleave(
                    {
                        "ONNX Runtime": (STOCK, n, ("onnxruntime", str(stock), output, extent, *ends)),
                        "OpenVINO": (STOCK, n, ("openvino", str(stock), output, extent, *ends)),
                        "ganrt fp32": (OURS, n, (str(bundle), "fp32", extent)),
                        "ganrt": (OURS, n, (str(bundle), "auto", extent)),
                    },
                    rounds=9,
                    seconds=0.3,
                )
                best = min(("ONNX Runtime", "OpenVINO"), key=lambda rival: median(times[rival]))
                ratios = {
                    ours: median([a / b for a, b in zip(times[best], times[ours], strict=True)])
                    for ours in ("ganrt fp32", "ganrt")
                }
                row = ", ".join(f"{one} {median(values) * 1e3:.2f} ms" for one, values in times.items())
                lines.append(
                    f"{name}, batch {n}: {row}; against {best}: fp32 {ratios['ganrt fp32']:.2f}x, "
                    f"default {ratios['ganrt']:.2f}x"
                )
                print(lines[-1], flush=True)
                figures[f"{name}, n={n}"] = {"seconds": times, "best rival": best, "speed": ratios}
    report("chosen", lines, figures)
