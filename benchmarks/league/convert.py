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
    for label, wanted, convert in (("MNN", made.mnn, _mnn), ("ncnn", made.ncnn, _ncnn)):
        try:
            if wanted:
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
    (sample,) = feeds.values()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(made.sample.module, torch.from_numpy(sample), check_trace=False)
    traced.save(str(folder / "g.pt"))
    shape = ",".join(map(str, sample.shape))
    _run([str(Path(found.origin).parent / "pnnx"), "g.pt", f"inputshape=[{shape}]", "fp16=0"], folder)


def _run(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
