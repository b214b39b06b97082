"""The networks in the formats of MNN and ncnn, by the converters of these."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .networks import League

__all__ = ["everything"]

# the converter itself: the command `mnnconvert` around it installs a logging package and tells MNN's maker of its use
_CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv[1:])"


def everything(made: League, stock: Path, feeds: Mapping[str, NDArray[np.generic]], folder: Path) -> list[str]:
    """Converts for "MNN" and "ncnn", and returns for which of them; `feeds` are inputs of one sample."""
    found = []
    for label, convert in (("MNN", _mnn), ("ncnn", _ncnn)):
        try:
            convert(made, stock, feeds, folder)
            found.append(label)
        except (subprocess.SubprocessError, OSError, RuntimeError) as problem:
            print(f"  {label} does not convert it: {problem}", flush=True)
    return found


def _mnn(made: League, stock: Path, feeds: Mapping[str, NDArray[np.generic]], folder: Path) -> None:
    words = ["mnnconvert", "-f", "ONNX", "--modelFile", str(stock), "--MNNModel", f"{folder}/stock.mnn"]
    _run([sys.executable, "-c", _CONVERT, *words, "--bizCode", "bench"], folder)


def _ncnn(made: League, stock: Path, feeds: Mapping[str, NDArray[np.generic]], folder: Path) -> None:
    found = find_spec("pnnx")
    if found is None or found.origin is None:
        raise OSError("pnnx, its converter, is missing")
    samples = tuple(map(torch.from_numpy, feeds.values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(made.sample.module, samples, check_trace=False)
    traced.save(str(folder / "g.pt"))
    kinds = {torch.int64: "i64"}
    shapes = ",".join(f"[{','.join(map(str, one.shape))}]{kinds.get(one.dtype, '')}" for one in samples)
    _run([str(Path(found.origin).parent / "pnnx"), "g.pt", f"inputshape={shapes}", "fp16=0"], folder)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
