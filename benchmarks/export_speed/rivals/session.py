"""One exporter's graph of the face DCGAN on a bare ONNX Runtime session with default options: floats, or pixels."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.networks import network
from ganrt_export import export_generator


def make(n: int, exporter: str, wanted: str) -> Callable[[], object]:
    module, spec = network("faces")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "g.onnx"
        if exporter == "ganrt":
            given = {"spec": spec} if wanted == "pixels" else {"example_inputs": (torch.randn(2, 100),)}
            bundle = export_generator(module, f"{folder}/g.ganrt", **given, optimize="off")
            graph = bundle.graph()
            output = bundle.manifest.spec.output_ports()[0].name
        else:
            torch.onnx.export(
                module,
                (torch.randn(2, 100),),
                file,
                dynamo=True,
                external_data=False,
                output_names=["generated"],
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                verbose=False,
            )
            graph, output = file.read_bytes(), "generated"
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (name,) = (port.name for port in session.get_inputs())
    feeds = {name: np.random.default_rng(7).standard_normal((n, 100), dtype=np.float32)}
    if wanted == "floats" or exporter == "ganrt":
        return lambda: session.run([output], feeds)

    def pixels() -> object:
        """What everybody writes behind such a graph, without a copy that can be spared."""
        (y,) = session.run([output], feeds)
        np.multiply(y, 127.5, out=y)
        np.add(y, 127.5, out=y)
        np.rint(y, out=y)
        np.clip(y, 0, 255, out=y)
        return np.ascontiguousarray(y.transpose(0, 2, 3, 1).astype(np.uint8))

    return pixels
