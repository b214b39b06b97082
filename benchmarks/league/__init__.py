"""ganrt against everything a user could take instead, precision for precision, each in its own process, in turns.

    python -m benchmarks league                              every network that there is time for
    GANRT_BENCH_NETWORKS=face,digits python -m benchmarks league          some of them; face alone takes four minutes
    GANRT_BENCH_QUICK=1                                      without torch.compile and the largest batch

Contestants, each with the settings that its documentation gives for latency on a CPU:

    PyTorch eager, channels last; torch.compile (default and max-autotune); BF16 autocast where the processor has it
    PyTorch's own ONNX export (torch.onnx.export, dynamo) in stock ONNX Runtime; in stock OpenVINO with the latency hint
    in FP32 and in its own default, which is BF16 where the processor has it, and with the throughput hint for batches;
    in MNN and ncnn in FP32
    ganrt: the bundle as `Generator.load` serves it in FP32, in the default precision, and in INT8

Each call ends with pixels where the network makes pictures, and with floats where not. Inputs of rivals are made
before; ganrt draws its latents in the call. Beside every time stands the distance from PyTorch's FP32, in dB, of what
that very process computed; below 50 dB a row is not counted among the winners of the default precision.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import numpy as np
import torch

from ganrt.environment import processor
from ganrt.errors import GanrtError
from ganrt_export import export_generator

from ..rewrites import _torch_onnx as torch_onnx
from ..runner import RESULTS, interleave, machine
from .networks import NETWORKS, League, build, feeds

__all__ = ["main"]

_HERE = "benchmarks.league.contestants"
_FP32 = ("PyTorch", "PyTorch channels last", "torch.compile", "torch.compile max-autotune")
_ENGINES = ("ONNX Runtime", "OpenVINO", "MNN", "ncnn")
_LONG_S = 0.6  # a call that takes longer is timed in the smallest batch alone
_GATE_DB = 50.0


def main() -> None:
    chosen = os.environ.get("GANRT_BENCH_NETWORKS", ",".join(NETWORKS)).split(",")
    quick = bool(os.environ.get("GANRT_BENCH_QUICK"))
    for name in chosen:
        rows = _network(name, quick=quick)
        _keep(name, rows)
    summary()


def summary() -> None:
    """Ratios over all networks that results/league.json holds."""
    held = json.loads((RESULTS / "league.json").read_text())["networks"]
    rows = [row for network in held.values() for row in network["rows"]]
    for what, ours, rivals in _CONTESTS:
        ratios = [ratio for row in rows if (ratio := _ratio(row, ours, rivals)) is not None]
        if ratios:
            wins = sum(ratio >= 1 for ratio in ratios)
            mean = geometric_mean(ratios)
            print(f"  {what}: {mean:.2f}x (geometric mean of {len(ratios)} rows), worst {min(ratios):.2f}x, {wins} won")


_CONTESTS = (
    ("FP32 against the best of all", "ganrt fp32", (*_FP32, *_ENGINES)),
    ("FP32 against the best of PyTorch, ONNX Runtime and OpenVINO", "ganrt fp32", (*_FP32, *_ENGINES[:2])),
    ("FP32 against PyTorch eager at batch 1", "ganrt fp32", ("PyTorch",)),
    ("default precision against the best of any within 50 dB", "ganrt", None),
    ("INT8 against the best FP32", "ganrt int8", ("ganrt fp32", *_FP32, *_ENGINES)),
)


def _ratio(row: dict[str, Any], ours: str, rivals: tuple[str, ...] | None) -> float | None:
    times = row["milliseconds"]
    if ours not in times or (rivals == ("PyTorch",) and row["batch"] != 1):
        return None
    if rivals is None:
        rivals = tuple(one for one in times if not one.startswith("ganrt") and row["psnr_db"][one] >= _GATE_DB)
    against = [times[one] for one in rivals if one in times and row["psnr_db"][one] >= _GATE_DB]
    return min(against) / times[ours] if against else None


def _network(name: str, *, quick: bool) -> list[dict[str, Any]]:
    made, rows = build(name), []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        bundle, stock = folder / f"{name}.ganrt", folder / "stock.onnx"
        stock.write_bytes(torch_onnx(made.sample))
        precisions = ("fp16", "int8") if made.int8 else ()
        try:
            export_generator(made.sample.module, bundle, made.sample.spec, precisions=precisions, optimize="measure")
        except GanrtError as problem:
            print(f"{name}: without INT8; {problem}", flush=True)
            export_generator(made.sample.module, bundle, made.sample.spec, optimize="measure")
        for n in made.batches[: -1 if quick and len(made.batches) > 1 else None]:
            rows.append(_row(name, made, folder, n, quick=quick))
            print(f"{name}, batch {n}: {_shown(rows[-1])}", flush=True)
            if min(rows[-1]["milliseconds"].values()) > _LONG_S * 1e3:
                break
    return rows


def _row(name: str, made: League, folder: Path, n: int, *, quick: bool) -> dict[str, Any]:
    given, answers = folder / f"inputs-{n}.npz", folder / f"answers-{n}"
    answers.mkdir()
    arrays = feeds(made, n)
    np.savez(given, **arrays)
    with torch.inference_mode():
        right = made.sample.module(*map(torch.from_numpy, arrays.values())).numpy()
    words = lambda label, *more: (str(given), str(answers / f"{label}.npy"), *more)  # noqa: E731
    contestants: dict[str, tuple[str, int, tuple[str, ...]]] = {}
    for label, how in _torch_ways(quick=quick):
        contestants[label] = (f"{_HERE}.pytorch", n, words(label, name, how))
    stock = str(folder / "stock.onnx")
    for label, engine in _stock_ways(made, n):
        contestants[label] = (f"{_HERE}.{engine[0]}", n, words(label, stock, name, *engine[1:]))
    for label, precision in (("ganrt fp32", "fp32"), ("ganrt", "auto"), ("ganrt int8", "int8")):
        if precision != "int8" or made.int8:
            contestants[label] = (f"{_HERE}.ganrt_bundle", n, words(label, str(folder / f"{name}.ganrt"), precision))
    seconds = interleave(_alive(contestants), rounds=7, seconds=0.25)
    psnr = {label: _psnr(answers / f"{label}.npy", right) for label in seconds}
    return {
        "batch": n,
        "milliseconds": {label: median(times) * 1e3 for label, times in seconds.items()},
        "psnr_db": psnr,
        "rounds_s": seconds,
    }


def _torch_ways(*, quick: bool) -> list[tuple[str, str]]:
    ways = [("PyTorch", "eager"), ("PyTorch channels last", "channels_last")]
    if not quick:
        ways += [("torch.compile", "compile"), ("torch.compile max-autotune", "autotune")]
    if "avx512_bf16" in processor().features or "amx_bf16" in processor().features:
        ways.append(("PyTorch BF16", "bf16"))
    return ways


def _stock_ways(made: League, n: int) -> list[tuple[str, tuple[str, ...]]]:
    ways = [
        ("ONNX Runtime", ("stock", "onnxruntime")),
        ("OpenVINO", ("stock", "openvino")),
        ("OpenVINO default precision", ("stock", "openvino-default")),
    ]
    if n > 1:
        ways.append(("OpenVINO throughput", ("stock", "openvino-throughput")))
    if made.mnn:
        ways.append(("MNN", ("mnn_module",)))
    if made.ncnn:
        ways.append(("ncnn", ("ncnn_network",)))
    return ways


def _alive(contestants: dict[str, tuple[str, int, tuple[str, ...]]]) -> dict[str, tuple[str, int, tuple[str, ...]]]:
    """Those whose process computes something; who cannot run a network says so and does not take part."""
    from ..runner import Contestant

    alive = {}
    for label, (module, n, words) in contestants.items():
        try:
            one = Contestant(module, n, *words)
            one.time(1)
            one.close()
        except (SystemExit, BrokenPipeError) as problem:
            print(f"  {label} does not run it ({problem})", flush=True)
            continue
        alive[label] = (module, n, words)
    return alive


def _psnr(file: Path, right: np.ndarray) -> float:
    found = np.load(file, allow_pickle=False).reshape(right.shape)
    error = float(np.mean((found.astype(np.float64) - right) ** 2))
    return 200.0 if error == 0 else 10 * math.log10(float(np.ptp(right)) ** 2 / error)


def _shown(row: dict[str, Any]) -> str:
    ordered = sorted(row["milliseconds"].items(), key=lambda pair: pair[1])
    return ", ".join(f"{label} {value:.2f} ms ({row['psnr_db'][label]:.0f} dB)" for label, value in ordered)


def _keep(name: str, rows: list[dict[str, Any]]) -> None:
    """Every network keeps the machine that it was measured on; others stay as they are."""
    path = RESULTS / "league.json"
    held = json.loads(path.read_text()) if path.exists() else {"benchmark": "league", "networks": {}}
    held["networks"][name] = {"machine": machine(), "torch": torch.__version__, "rows": rows}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(held, indent=1) + "\n")
    temporary.replace(path)
