"""What a user gets from a bundle against what a careful user gets from the stock tools, whole calls, own processes.

ganrt: `Generator.load(bundle)`, in FP32 and in the default precision, once it has chosen engine, precision, form and
threads here, MNN among the engines where it is installed. Rivals: PyTorch's own ONNX export in FP32 on stock ONNX
Runtime, and on stock OpenVINO for latency, each with its inputs made beforehand and numpy making the pixels. ganrt
draws its latents in the call.

Targets: FP32 never slower than the better rival, and 1.4 times as fast on SRVGG, RRDB and an upsampling ResNet GAN; the
default precision 1.8 times where the processor computes faster in BF16. A quarter of a second a call is the most that
is timed, so batches that take longer are left out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any

from ganrt import Generator, Image

from ..rewrites.networks import sample
from ..runner import RESULTS, interleave, machine, report
from .bundles import files

STOCK, OURS = "benchmarks.chosen.rivals.stock", "benchmarks.chosen.rivals.ganrt_loaded"
NETWORKS = ("face", "sngan", "srvgg", "rrdb", "wavegan")
BATCHES = {"face": (1, 8, 64), "sngan": (1, 8, 64), "wavegan": (1, 8), "srvgg": (1,), "rrdb": (1,)}


def main() -> None:
    """`GANRT_BENCH_NETWORKS`: names, commas between; rows of other networks stay where they are of this machine."""
    names = os.environ.get("GANRT_BENCH_NETWORKS", ",".join(NETWORKS)).split(",")
    also = {"also": _mnn()}
    rows = {row: found for row, found in _kept(also).items() if row.split(",")[0] not in names}
    for name in names:
        rows |= _rows(name)
    ordered = {row: rows[row] for name in NETWORKS for row in rows if row.split(",")[0] == name}
    report("chosen", [_line(row, found) for row, found in ordered.items()], {**also, "rows": ordered})


def _rows(name: str) -> dict[str, Any]:
    """A row for every batch of the network."""
    made = sample(name)
    bundle, stock = files(name, made)
    costs = {}
    for precision in ("fp32", "auto"):
        with Generator.tune(bundle, precision=precision, seconds=0.5) as tuned:
            costs[precision] = tuned.costs
            print(f"{name}, {precision}: {tuned.reason[:300]}", flush=True)
    extent, output, picture = str(made.extent), made.spec.output_ports()[-1].name, made.spec.output
    ends = (str(picture.low), str(picture.high)) if isinstance(picture, Image) else ("", "")
    found = {}
    for n in BATCHES[name]:
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
        speed = {
            ours: median([a / b for a, b in zip(times[best], times[ours], strict=True)])
            for ours in ("ganrt fp32", "ganrt")
        }
        row = f"{name}, n={n}"
        found[row] = {
            "seconds": times,
            "best rival": best,
            "speed": speed,
            "ways": {precision: _fastest(tables, n) for precision, tables in costs.items()},
        }
        print(_line(row, found[row]), flush=True)
    return found


def _fastest(costs: Mapping[str, Mapping[int, float]], batch: int) -> str:
    """The way that took least for this batch, or for one sample where it was not measured."""
    size = batch if any(batch in table for table in costs.values()) else 1
    return min(costs, key=lambda way: costs[way].get(size, float("inf")))


def _line(row: str, found: Mapping[str, Any]) -> str:
    times = ", ".join(f"{one} {median(values) * 1e3:.2f} ms" for one, values in found["seconds"].items())
    said = ", ".join(
        f"{one} {found['speed'][ours]:.2f}x ({found['ways'][precision]})"
        for one, ours, precision in (("fp32", "ganrt fp32", "fp32"), ("default", "ganrt", "auto"))
    )
    return f"{row}: {times}; against {found['best rival']}: {said}"


def _kept(also: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of earlier runs on this machine, with these versions."""
    try:
        found = json.loads((RESULTS / "chosen.json").read_text())
    except (OSError, ValueError):
        return {}
    same = found.get("machine") == machine() and found.get("also") == also["also"]
    return dict(found["rows"]) if same else {}


def _mnn() -> dict[str, str]:
    try:
        return {"MNN": version("MNN")}
    except PackageNotFoundError:
        return {}
