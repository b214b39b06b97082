"""PyTorch's own ONNX export on a stock engine in FP32, its documented settings for latency; inputs made beforehand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from ganrt.environment import usable_cores


def make(n: int, engine: str, file: str, output: str, extent: str) -> Callable[[], object]:
    chance = np.random.default_rng(7)
    feeds = {}
    for port in onnx.load(file, load_external_data=False).graph.input:
        shape = [n, *(size.dim_value or int(extent) for size in list(port.type.tensor_type.shape.dim)[1:])]
        feeds[port.name] = chance.standard_normal(shape, dtype=np.float32)
    if engine == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda: session.run([output], feeds)
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
        return request.get_tensor(output).data

    return run
