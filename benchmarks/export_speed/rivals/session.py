"""One exporter's graph of the face DCGAN on a bare ONNX Runtime session with default options."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from benchmarks.networks import network
from ganrt_export.to_onnx import export_onnx


def make(n: int, exporter: str) -> Callable[[], object]:
    module, spec = network("faces")
    if exporter == "ganrt":
        graph, output = export_onnx(module, spec), "image_float"
    else:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "g.onnx"
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
    return lambda: session.run([output], feeds)
