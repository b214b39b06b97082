"""Builds what is compared, starts the contestants, lets them take turns, keeps what came of it."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

import numpy as np
import torch

from ganrt import Bundle, Generator
from ganrt.backends.acceptance import to_uint8
from ganrt.environment import processor, usable_cores
from ganrt.errors import FidelityError
from ganrt.latency.roofline import measure_roof
from ganrt.spec import Image, Output
from ganrt_export import export_generator
from ganrt_export.optimize import operations
from ganrt_export.optimize.measure import EXTENT

from ..rewrites import _torch_onnx as torch_onnx
from ..runner import Contestant, machine, take_turns
from . import convert, page, readme
from .networks import NETWORKS, League, build, feeds

__all__ = ["main", "tell"]

_HERE = "benchmarks.league.contestants"
_PYTORCH = ("PyTorch", "PyTorch channels last", "torch.compile")
_ENGINES = ("ONNX Runtime", "OpenVINO", "OpenVINO throughput", "MNN", "ncnn")
_CONVERTED = ("MNN", "ncnn", "OpenVINO INT8")
_LONG_S = 0.3  # where ganrt takes longer in FP32, larger batches are left out
_GATE_DB, _GATE_PIXELS = 50.0, 0.99  # what the few references of a bundle are held to where it is loaded
_ROUNDS, _TURN_S = 7, 0.15

Ways = Mapping[str, tuple[str, int, tuple[str, ...]]]


def main() -> None:
    missing = [name for name in ("onnxruntime", "openvino", "MNN", "ncnn", "pnnx") if find_spec(name) is None]
    if missing:  # a table without them would flatter
        raise SystemExit(f"Rivals are missing: {', '.join(missing)}. Install what docs/league.md says.")
    chosen = os.environ.get("GANRT_BENCH_NETWORKS", ",".join(NETWORKS)).split(",")
    quick = bool(os.environ.get("GANRT_BENCH_QUICK"))
    for name in chosen:
        _keep(name, *_network(name, quick=quick))
    tell()
    print("\n".join(_summary(json.loads(page.file_of(machine()).read_text()))))


def tell() -> None:
    """Writes the page and the README's table anew, from the results of all machines."""
    machines = [page.Machine(held, _summary(held), _losses(held)) for held in page.results()]
    page.write(machines)
    readme.write(machines)


def _summary(held: Mapping[str, Any]) -> list[str]:
    """Ratios over all networks, a line for each promise."""
    rows = [row for network in held["networks"].values() for row in network["rows"]]
    lines = []
    for what, ours, rivals in _CONTESTS:
        ratios = [ratio for row in rows if (ratio := _ratio(row, ours, rivals)) is not None]
        if ratios:
            won = sum(ratio >= 1 for ratio in ratios)
            mean = geometric_mean(ratios)
            lines.append(
                f"{what}: {mean:.2f}x (geometric mean of {len(ratios)} rows, {won} won, worst {min(ratios):.2f}x)"
            )
    return lines


_CONTESTS = (
    ("FP32 against the best of all rivals", "ganrt fp32", (*_PYTORCH, *_ENGINES)),
    ("FP32 against the best of PyTorch, ONNX Runtime and OpenVINO", "ganrt fp32", (*_PYTORCH, *_ENGINES[:3])),
    ("FP32 against PyTorch eager at batch 1", "ganrt fp32", ("PyTorch",)),
    ("FP32 as first loaded against the best of all rivals", "ganrt fp32 first load", (*_PYTORCH, *_ENGINES)),
    ("default precision against the best of any within 50 dB, INT8 of NNCF among them", "ganrt", None),
    (
        "default precision against the best of PyTorch, ONNX Runtime and OpenVINO in FP32",
        "ganrt",
        (*_PYTORCH, *_ENGINES[:3]),
    ),
    ("INT8 against the best FP32", "ganrt int8", ("ganrt fp32", *_PYTORCH, *_ENGINES)),
)


def _losses(held: Mapping[str, Any]) -> list[str]:
    """Rows of FP32 where a rival that is right is faster."""
    _, ours, rivals = _CONTESTS[0]
    lines = []
    for name, network in held["networks"].items():
        for row in network["rows"]:
            ratio = _ratio(row, ours, rivals)
            if ratio is not None and ratio < 1:
                times = _right(row, rivals)
                lines.append(f"{name}, batch {row['batch']}: {ratio:.2f}x against {min(times, key=times.__getitem__)}")
    return lines


def _ratio(row: dict[str, Any], ours: str, rivals: tuple[str, ...] | None) -> float | None:
    times = row["milliseconds"]
    if ours not in times or (rivals == ("PyTorch",) and row["batch"] != 1):
        return None
    if rivals is None:
        rivals = tuple(one for one in times if not one.startswith("ganrt"))
    against = _right(row, rivals).values()
    return min(against) / times[ours] if against else None


def _right(row: dict[str, Any], rivals: tuple[str, ...]) -> dict[str, float]:
    """Milliseconds of those that took part and are within the gate."""
    times, db, pixels = row["milliseconds"], row["psnr_db"], row.get("within_one", {})
    passed = {one for one in times if db[one] >= _GATE_DB and pixels.get(one, 1.0) >= _GATE_PIXELS}
    return {one: times[one] for one in rivals if one in passed}


def _network(name: str, *, quick: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Its rows, and what it computes a sample beside what this machine's matrix products reach."""
    made, rows, load = build(name), [], os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        bundle, stock = folder / f"{name}.ganrt", folder / "stock.onnx"
        stock.write_bytes(torch_onnx(made.sample))
        converted = convert.everything(made, stock, folder)
        _export(made, bundle)
        for precision in _precisions(bundle):
            with Generator.tune(bundle, precision=precision, seconds=1.5) as tuned:
                print(f"{name}, {precision}: {tuned.reason.split(';')[0][:240]}", flush=True)
        for n in made.batches[: 1 if quick else None]:
            rows.append(_row(name, made, folder, n, converted, quick=quick))
            print(f"{name}, batch {n}: {_shown(rows[-1])}", flush=True)
            if rows[-1]["milliseconds"]["ganrt fp32"] > _LONG_S * 1e3:
                break
        plain = Bundle.open(bundle).graph()
    roof = measure_roof(usable_cores())
    return rows, {
        "note": f"Load average before: {load:.1f}.",
        "multiply_adds": operations(plain, made.sample.extent or EXTENT).multiply_adds,
        "gemm_gflops": max(one.gflops for one in roof.arithmetic),
    }


def _export(made: League, bundle: Path) -> None:
    """With an int8 graph that passes the default gate, so that "auto" may take it, where there is one."""
    module, spec = made.sample.module, made.sample.spec
    if made.int8:
        try:
            export_generator(module, bundle, spec, precisions=("int8",), int8_gate_db=_GATE_DB, optimize="measure")
        except FidelityError as problem:
            print(f"  {problem}", flush=True)
        else:
            return
    export_generator(module, bundle, spec, optimize="measure")


def _precisions(bundle: Path) -> tuple[str, ...]:
    return ("fp32", "auto", *(("int8",) if "int8" in Bundle.open(bundle).manifest.graphs else ()))


def _row(name: str, made: League, folder: Path, n: int, converted: list[str], *, quick: bool) -> dict[str, Any]:
    given, answers = folder / f"inputs-{n}.npz", folder / f"answers-{n}"
    answers.mkdir()
    arrays = feeds(made, n)
    np.savez(given, **arrays)
    with torch.inference_mode():
        right = made.sample.module(*map(torch.from_numpy, arrays.values())).numpy()
    words = lambda label, *more: (str(given), str(answers / f"{label}.npy"), *more)  # noqa: E731
    ways: dict[str, tuple[str, int, tuple[str, ...]]] = {}
    for label, how in _torch_ways(compiled=not quick and n == made.batches[0]):
        ways[label] = (f"{_HERE}.pytorch", n, words(label, name, how))
    bundle = folder / f"{name}.ganrt"
    for label, (module, *more) in _stock_ways(n, converted).items():
        ways[label] = (f"{_HERE}.{module}", n, words(label, str(folder), str(bundle), *more))
    for precision in _precisions(bundle):
        label = "ganrt" if precision == "auto" else f"ganrt {precision}"
        ways[label] = (f"{_HERE}.ganrt_bundle", n, words(label, str(bundle), precision, ""))
    label = "ganrt fp32 first load"
    ways[label] = (f"{_HERE}.ganrt_bundle", n, words(label, str(bundle), "fp32", str(folder / "empty-cache")))
    running = _started(ways)
    seconds = take_turns(running, rounds=_ROUNDS, seconds=_TURN_S)
    out = made.sample.spec.output
    found = {label: np.load(answers / f"{label}.npy", allow_pickle=False).reshape(right.shape) for label in seconds}
    return {
        "batch": n,
        "milliseconds": {label: median(times) * 1e3 for label, times in seconds.items()},
        "psnr_db": {label: _psnr(answer, right, out) for label, answer in found.items()},
        "within_one": {label: _within_one(answer, right, out) for label, answer in found.items()}
        if isinstance(out, Image)
        else {},
        "ready_s": {label: running[label].ready_s for label in seconds},
        "peak_mib": {label: running[label].mib for label in seconds},
        "rounds_s": seconds,
    }


def _torch_ways(*, compiled: bool) -> list[tuple[str, str]]:
    ways = [("PyTorch", "eager"), ("PyTorch channels last", "channels_last")]
    if compiled:
        ways.append(("torch.compile", "autotune"))
    if any("BF16" in feature for feature in processor().features):
        ways.append(("PyTorch BF16", "bf16"))
    return ways


def _stock_ways(n: int, converted: list[str]) -> dict[str, tuple[str, ...]]:
    """Label -> the contestant's module and what else it is given."""
    ways: dict[str, tuple[str, ...]] = {
        "ONNX Runtime": ("stock", "onnxruntime"),
        "OpenVINO": ("stock", "openvino"),
        "OpenVINO default precision": ("stock", "openvino-default"),
        "OpenVINO INT8": ("stock", "openvino-int8"),
    }
    if n > 1:
        ways["OpenVINO throughput"] = ("stock", "openvino-throughput")
    networks = {label: (f"{label.lower()}_network",) for label in ("MNN", "ncnn")}
    return {label: how for label, how in (ways | networks).items() if label in converted or label not in _CONVERTED}


def _started(ways: Ways) -> dict[str, Contestant]:
    """Those whose process computes something; who cannot run a network says so and does not take part."""
    running = {}
    for label, (module, n, words) in ways.items():
        try:
            one = Contestant(module, n, *words)
            one.time(2)
        except (SystemExit, BrokenPipeError) as problem:
            print(f"  {label} does not run it ({problem})", flush=True)
            continue
        one.mib = one.peak_mib()
        running[label] = one
    return running


def _psnr(found: np.ndarray, right: np.ndarray, out: Output) -> float:
    """As ganrt's gate measures it: a picture's range is what pixels are made of, a sound's what there is."""
    error = float(np.mean((found.astype(np.float64) - right) ** 2))
    span = out.high - out.low if isinstance(out, Image) else float(np.ptp(right))
    return 200.0 if error == 0 else 10 * math.log10(span**2 / error)


def _within_one(found: np.ndarray, right: np.ndarray, out: Image) -> float:
    """The share of pixels' values at most one step off."""
    return float((np.abs(to_uint8(found, out) - to_uint8(right, out)) <= 1).mean())


def _shown(row: dict[str, Any]) -> str:
    ordered = sorted(row["milliseconds"].items(), key=lambda pair: pair[1])
    return ", ".join(f"{label} {value:.2f} ms ({row['psnr_db'][label]:.0f} dB)" for label, value in ordered)


def _keep(name: str, rows: list[dict[str, Any]], computed: dict[str, Any]) -> None:
    """Into the file of this machine; other networks and other machines stay as they are."""
    here = machine()
    path = page.file_of(here)
    held = json.loads(path.read_text()) if path.exists() else {"benchmark": "league", "networks": {}}
    versions = {one: importlib.metadata.version(one) for one in ("mnn", "ncnn")}
    held["networks"][name] = {"machine": here, "torch": torch.__version__, **versions, **computed, "rows": rows}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(held, indent=1) + "\n")
    temporary.replace(path)
