"""PyTorch's ONNX export in MNN, FP32 on every core, by its own converter and its Module interface, in this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ganrt.environment import usable_cores

from ..networks import build
from ._answer import keep, load, pixels

# the converter itself: the command `mnnconvert` around it installs a logging package and tells MNN's maker of its use
_CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv[1:])"


def make(n: int, inputs: str, answer: str, file: str, name: str) -> Callable[[], object]:
    spec, feeds, model = build(name).sample.spec, load(inputs), Path(answer).with_suffix(".mnn")
    output = spec.output_ports()[-1].name
    words = ["mnnconvert", "-f", "ONNX", "--modelFile", file, "--MNNModel", str(model), "--bizCode", "bench"]
    subprocess.run([sys.executable, "-c", _CONVERT, *words], check=True, stdout=subprocess.DEVNULL)
    from MNN import expr, nn

    net = nn.load_module_from_file(str(model), list(feeds), [output], thread_num=usable_cores(), shape_mutable=False)
    given = []
    for array in feeds.values():
        whole = np.issubdtype(array.dtype, np.integer)
        place = expr.placeholder(list(array.shape), expr.NCHW, expr.int if whole else expr.float)
        place.write(np.ascontiguousarray(array, np.int32 if whole else np.float32))
        given.append(place)

    def run() -> np.ndarray:
        (found,) = net.forward(given)
        return found.read()

    keep(answer, run())
    return lambda: pixels(run().copy(), spec)
