"""PyTorch's ONNX export on ONNX Runtime or OpenVINO, as their documentation tells for a CPU; INT8 is NNCF's of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ganrt import Bundle
from ganrt.environment import usable_cores

from ._answer import drawing, keep, load, pixels


def make(n: int, inputs: str, answer: str, folder: str, bundle: str, engine: str) -> Callable[[], object]:
    spec, feeds, file = Bundle.open(bundle).manifest.spec, load(inputs), f"{folder}/stock.onnx"
    output, draw = spec.output_ports()[-1].name, drawing(feeds, spec)
    if engine == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        keep(answer, session.run([output], feeds)[0])
        return lambda: (draw(), pixels(session.run([output], feeds)[0], spec))
    import openvino

    settings: dict[str, object] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": usable_cores()}
    if engine != "openvino-default":
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    if engine == "openvino-int8":
        file = f"{folder}/stock-int8.xml"
    if engine == "openvino-throughput":
        settings["PERFORMANCE_HINT"] = "THROUGHPUT"
    model = openvino.Core().compile_model(file, "CPU", settings)
    if engine != "openvino-throughput":
        request = model.create_infer_request()

        def one() -> np.ndarray:
            request.infer(feeds, share_inputs=True)
            return request.get_tensor(output).data

        keep(answer, one().copy())
        return lambda: (draw(), pixels(one(), spec))
    jobs = min(n, model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
    parts = [{key: np.ascontiguousarray(part) for key, part in one.items()} for one in _split(feeds, jobs)]
    requests = [model.create_infer_request() for _ in parts]

    def together() -> list[np.ndarray]:
        for request, part in zip(requests, parts, strict=True):
            request.start_async(part, share_inputs=True)
        for request in requests:
            request.wait()
        return [request.get_tensor(output).data for request in requests]

    keep(answer, np.concatenate(together()))
    return lambda: (draw(), np.concatenate([pixels(part, spec) for part in together()]))


def _split(feeds: dict[str, np.ndarray], jobs: int) -> list[dict[str, np.ndarray]]:
    pieces = {key: np.array_split(array, jobs) for key, array in feeds.items()}
    return [{key: pieces[key][job] for key in feeds} for job in range(jobs)]
