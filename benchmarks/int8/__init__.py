"""How much faster are 8 bits than float32 at its best? The real face DCGAN, each graph on each engine, side by side.

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
    with tempfile.TemporaryDirectory() as folder:
        lowered = _graphs(Path(folder))
        lines.append(f"kept in float32: {', '.join(lowered['kept']) or 'nothing'}; searched in {lowered['seconds']} s")
        for n in (1, 8, 64):
            rivals = {
                f"{engine} {precision}": (RIVAL, n, (str(Path(folder) / f"{precision}.onnx"), engine, precision))
                for precision in ("fp32", "int8")
                for engine in ENGINES
            }
            times = interleave(rivals, rounds=15, seconds=0.4)
            best = {
                precision: min((f"{engine} {precision}" for engine in ENGINES), key=lambda name: median(times[name]))
                for precision in ("fp32", "int8")
            }
            pairs = zip(times[best["fp32"]], times[best["int8"]], strict=True)
            ratio = median([a / b for a, b in pairs])
            row = ", ".join(f"{name} {median(values) * 1e3:.2f} ms" for name, values in times.items())
            lines.append(f"batch {n}: {row}; {best['int8']} is {ratio:.2f} times as fast as {best['fp32']} (paired)")
            figures[f"n={n}"] = {"seconds": times, "best": best, "speed": ratio}
        report("int8", lines, {**figures, "int8": lowered})


def _graphs(folder: Path) -> dict[str, object]:
    """fp32.onnx and int8.onnx in the folder; what is to be said of the latter."""
    import msgspec

    from ganrt_export.precision import int8
    from ganrt_export.to_onnx import export_onnx

    from ..networks import trained_faces  # what stays float32 depends on the weights

    module, spec = trained_faces()
    graph = export_onnx(module, spec)
    found = int8(graph, spec)
    (folder / "fp32.onnx").write_bytes(graph)
    (folder / "int8.onnx").write_bytes(found.graph)
    return {
        "kept": found.kept,
        "of": found.of,
        "seconds": found.seconds,
        "bytes": len(found.graph),
        "figures": {name: msgspec.to_builtins(one) for name, one in found.figures.items()},
    }
