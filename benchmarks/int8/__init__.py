"""How much faster are 8 bits than float32 at its best? The real face DCGAN, each graph on each engine, side by side.

Float32 is the plain graph and every form of it that `--optimize measure` finds here; 8 bits are made from the best one.

Target: at batch 1, 8 and 64 at least 1.4 times the fastest float32 engine on AVX2, 2.5 times with AVX-512 VNNI, inside
the gate of 38 dB.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median

from ..runner import interleave, report

RIVAL = "benchmarks.int8.rivals.session"
ENGINES = ("onnxruntime", "openvino")


def main() -> None:
    lines, figures = [], {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        lowered = _graphs(folder)
        lines.append(f"kept in float32: {', '.join(lowered['kept']) or 'nothing'}; searched in {lowered['seconds']} s")
        for n in (1, 8, 64):
            rivals = {
                f"{engine} {file.stem}": (RIVAL, n, (str(file), engine, file.stem.split()[0]))
                for file in sorted(folder.glob("*.onnx"))
                for engine in ENGINES
            }
            times = interleave(rivals, rounds=15, seconds=0.4)
            best = {
                precision: min((one for one in times if precision in one), key=lambda one: median(times[one]))
                for precision in ("fp32", "int8")
            }
            pairs = zip(times[best["fp32"]], times[best["int8"]], strict=True)
            ratio = median([a / b for a, b in pairs])
            row = ", ".join(f"{name} {median(values) * 1e3:.2f} ms" for name, values in times.items())
            lines.append(f"batch {n}: {row}; {best['int8']} is {ratio:.2f} times as fast as {best['fp32']} (paired)")
            figures[f"n={n}"] = {"seconds": times, "best": best, "speed": ratio}
        report("int8", lines, {**figures, "int8": lowered})


def _graphs(folder: Path) -> dict[str, object]:
    """int8.onnx, fp32.onnx and a file for each other form of it in the folder; what is to be said of the first."""
    import msgspec

    from ganrt_export.optimize import forms
    from ganrt_export.precision import int8
    from ganrt_export.to_onnx import export_onnx

    from ..networks import trained_faces  # what stays float32 depends on the weights

    module, spec = trained_faces()
    graph = export_onnx(module, spec)
    others = {name: form.data for name, form in forms(graph).items()}
    found = int8(graph, spec, forms=others)
    files = {"fp32": graph, "int8": found.graph, **{f"fp32 {name}": data for name, data in others.items()}}
    for name, data in files.items():
        (folder / f"{name}.onnx").write_bytes(data)
    return {
        "kept": found.kept,
        "of": found.of,
        "seconds": found.seconds,
        "bytes": len(found.graph),
        "figures": {name: msgspec.to_builtins(one) for name, one in found.figures.items()},
    }
