"""PyTorch's own ONNX export on a stock engine in FP32, its documented settings for latency; inputs made beforehand.

Where the output is pictures, numpy makes pixels of it, without a copy that can be spared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ganrt.environment import usable_cores


def make(n: int, engine: str, file: str, output: str, extent: str, low: str, high: str) -> Callable[[], object]:
    chance = np.random.default_rng(7)
    feeds = {}
    for port in onnx.load(file, load_external_data=False).graph.input:
        shape = [n, *(size.dim_value or int(extent) for size in list(port.type.tensor_type.shape.dim)[1:])]
        feeds[port.name] = chance.standard_normal(shape, dtype=np.float32)
    if engine == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda: _finished(session.run([output], feeds)[0], low, high)
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": usable_cores(),
    }
    model = openvino.Core().compile_model(file, "CPU", settings)
    request = model.create_infer_request()

    def run() -> object:
        request.infer(feeds, share_inputs=True)
        return _finished(request.get_tensor(output).data, low, high)

    return run


def _finished(y: NDArray[Any], low: str, high: str) -> object:
    if y.ndim != 4:
        return y
    scale = 255 / (float(high) - float(low))
    np.multiply(y, scale, out=y)
    np.add(y, -float(low) * scale, out=y)
    np.rint(y, out=y)
    np.clip(y, 0, 255, out=y)
    return np.ascontiguousarray(y.transpose(0, 2, 3, 1).astype(np.uint8))
