"""PyTorch's ONNX export in MNN, FP32 on every core, by its own converter and its Module interface, in this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ganrt.environment import usable_cores

from ..networks import build
from ._answer import drawing, keep, load, pixels

# the converter itself: the command `mnnconvert` around it installs a logging package and tells MNN's maker of its use
_CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv[1:])"


def make(n: int, inputs: str, answer: str, file: str, name: str) -> Callable[[], object]:
    spec, feeds, model = build(name).sample.spec, load(inputs), Path(answer).with_suffix(".mnn")
    output = spec.output_ports()[-1].name
    words = ["mnnconvert", "-f", "ONNX", "--modelFile", file, "--MNNModel", str(model), "--bizCode", "bench"]
    subprocess.run([sys.executable, "-c", _CONVERT, *words], check=True, stdout=subprocess.DEVNULL)
    from MNN import expr, nn

    net = nn.load_module_from_file(str(model), list(feeds), [output], thread_num=usable_cores(), shape_mutable=False)
    draw, kinds = drawing(feeds, spec), {"f": (expr.float, np.float32), "i": (expr.int, np.int32)}
    places = [expr.placeholder(list(array.shape), expr.NCHW, kinds[array.dtype.kind][0]) for array in feeds.values()]

    def run() -> np.ndarray:
        for place, array in zip(places, feeds.values(), strict=True):
            place.write(array.astype(kinds[array.dtype.kind][1], copy=False))
        (found,) = net.forward(places)
        return found.read()

    keep(answer, run())
    return lambda: (draw(), pixels(run().copy(), spec))
