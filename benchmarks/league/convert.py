"""The networks in the formats of MNN and ncnn, by the converters of these, and in INT8 for OpenVINO by NNCF."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

import torch

from ganrt_export.precision.quantize import silent

from .networks import League, feeds

__all__ = ["everything"]

# the converter itself: the command `mnnconvert` around it installs a logging package and tells MNN's maker of its use
_CALIBRATED = 300  # samples, NNCF's default
_CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv[1:])"


def everything(made: League, stock: Path, folder: Path) -> list[str]:
    """Converts for "MNN", "ncnn" and "OpenVINO INT8", and returns for which of them."""
    found = []
    ways = {"MNN": _mnn, "ncnn": _ncnn, **({"OpenVINO INT8": _int8} if made.int8 else {})}
    for label, convert in ways.items():
        try:
            convert(made, stock, folder)
            found.append(label)
        except (subprocess.SubprocessError, OSError, RuntimeError) as problem:
            print(f"  {label} does not convert it: {problem}", flush=True)
    return found


def _mnn(made: League, stock: Path, folder: Path) -> None:
    words = ["mnnconvert", "-f", "ONNX", "--modelFile", str(stock), "--MNNModel", f"{folder}/stock.mnn"]
    _run([sys.executable, "-c", _CONVERT, *words, "--bizCode", "bench"], folder)


def _ncnn(made: League, stock: Path, folder: Path) -> None:
    found = find_spec("pnnx")
    if found is None or found.origin is None:
        raise OSError("pnnx, its converter, is missing")
    samples = tuple(map(torch.from_numpy, feeds(made, 1).values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(made.sample.module, samples, check_trace=False)
    traced.save(str(folder / "g.pt"))
    kinds = {torch.int64: "i64"}
    shapes = ",".join(f"[{','.join(map(str, one.shape))}]{kinds.get(one.dtype, '')}" for one in samples)
    _run([str(Path(found.origin).parent / "pnnx"), "g.pt", f"inputshape={shapes}", "fp16=0"], folder)


def _int8(made: League, stock: Path, folder: Path) -> None:
    """As NNCF's documentation tells, with its defaults; calibrated on the generator's own inputs, of another seed."""
    drawn = feeds(made, _CALIBRATED, seed=3)
    rows = [{name: array[index : index + 1] for name, array in drawn.items()} for index in range(_CALIBRATED)]
    with silent() as nncf:
        import openvino

        openvino.save_model(
            nncf.quantize(openvino.convert_model(stock), nncf.Dataset(rows)), folder / "stock-int8.xml", False
        )


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
