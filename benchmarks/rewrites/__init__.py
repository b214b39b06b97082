"""What exact rewrites are worth: torch.onnx's own output, ganrt's plain graph, and its other forms, on each engine.

Targets, on the same engine in FP32: some form is never slower than 0.98 times torch.onnx's output, and 1.3 times as
fast on networks of nearest upsampling and convolution, at batch 1 and 8. Which form runs is chosen per machine by
measuring whole graphs, the plain one among them; so the best form counts. Every contestant is a process of its own.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch

from ganrt import backends
from ganrt_export.export import example_tensors
from ganrt_export.optimize import forms, operations
from ganrt_export.signature import Call, Flat
from ganrt_export.to_onnx import finish
from ganrt_export.trace import attempts, quiet

from ..runner import interleave, report
from .networks import MAKERS, Sample, sample

RIVAL = "benchmarks.rewrites.rivals.session"
THREADS = os.environ.get("GANRT_BENCH_THREADS", "0")


def main() -> None:
    """`GANRT_BENCH_NETWORKS`: names of networks, commas between; all when it is not set.

    `GANRT_BENCH_THREADS`: of each contestant; all cores when it is not set. On a machine that others use, one.
    """
    chosen = os.environ.get("GANRT_BENCH_NETWORKS", ",".join(MAKERS)).split(",")
    engines = [
        name for name in ("onnxruntime", "openvino", "mnn") if name in backends.NAMES and backends.available(name)
    ]
    lines: list[str] = []
    figures: dict[str, Any] = {}
    for name in chosen:
        made = sample(name)
        with tempfile.TemporaryDirectory() as folder:
            files, counted = _graphs(made, Path(folder))
            lines.append(f"{name}: {counted}")
            for engine in engines:
                for n in (1, 8):
                    figures[f"{name}, {engine}, n={n}"] = _race(made, files, engine, n, lines)
    report("rewrites", lines, {"threads": int(THREADS), **figures})


def _race(made: Sample, files: dict[str, Path], engine: str, n: int, lines: list[str]) -> dict[str, Any]:
    contestants = {
        one: (RIVAL, n, (engine, str(file), made.spec.output_ports()[-1].name, str(made.extent), THREADS))
        for one, file in files.items()
    }
    times = interleave(contestants, rounds=9, seconds=0.3)
    speeds = {
        one: median([a / b for a, b in zip(times["torch.onnx"], values, strict=True)]) for one, values in times.items()
    }
    row = ", ".join(f"{one} {median(values) * 1e3:.2f} ms ({speeds[one]:.2f}x)" for one, values in times.items())
    lines.append(f"  {engine}, batch {n}: {row}")
    print(lines[-1], flush=True)
    return {"seconds": times, "speed": speeds}


def _graphs(made: Sample, folder: Path) -> tuple[dict[str, Path], str]:
    """Every contestant's file, and how many multiply-adds each has."""
    plain = _exported(made)
    graphs = {"torch.onnx": _torch_onnx(made), "plain": plain}
    graphs |= {name: form.data for name, form in forms(plain, extent=made.extent or 64).items()}
    files, counts = {}, []
    for name, data in graphs.items():
        files[name] = folder / f"{name}.onnx"
        files[name].write_bytes(data)
        counted = operations(data, made.extent or 64)
        adds = "?" if counted.multiply_adds is None else f"{counted.multiply_adds / 1e6:.1f}"
        counts.append(f"{name} {adds} M multiply-adds, {sum(counted.nodes.values())} nodes, {len(data) / 1e6:.1f} MB")
    return files, "; ".join(counts)


def _axes(made: Sample) -> list[list[int]]:
    return [[axis for axis, size in enumerate(port.shape) if size is None] for port in made.spec.input_ports()]


def _exported(made: Sample) -> bytes:
    examples = example_tensors(made.spec)
    names = [port.name for port in made.spec.input_ports()]
    call = Call(tuple(names), tuple(examples), tuple(examples), {})
    output = made.spec.output_ports()[-1].name
    model = next(attempts(Flat(made.module, call), examples, names, [output], _axes(made))).model
    assert model is not None
    return finish(model, made.spec)


def _torch_onnx(made: Sample) -> bytes:
    """What a user gets who calls torch.onnx.export with its defaults."""
    examples = example_tensors(made.spec)
    with tempfile.TemporaryDirectory() as folder, quiet():
        file = Path(folder) / "g.onnx"
        torch.onnx.export(
            made.module,
            examples,
            file,
            dynamo=True,
            external_data=False,
            input_names=[port.name for port in made.spec.input_ports()],
            output_names=[made.spec.output_ports()[-1].name],
            dynamic_shapes=tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in _axes(made)),
            verbose=False,
        )
        return file.read_bytes()
