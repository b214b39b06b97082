"""One ONNX file on one engine, through a session as ganrt opens it; its float output is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from ganrt import backends
from ganrt.backends.base import Graph, Options
from ganrt.environment import usable_cores

_NUMBERS = {onnx.TensorProto.INT64: np.int64}


def make(n: int, engine: str, file: str, output: str, extent: str, threads: str) -> Callable[[], object]:
    data = Path(file).read_bytes()
    chance = np.random.default_rng(7)
    feeds = {}
    for port in onnx.load_from_string(data).graph.input:
        kind = port.type.tensor_type
        shape = [size.dim_value or int(extent) for size in kind.shape.dim]
        shape[0] = n
        whole = kind.elem_type in _NUMBERS
        feeds[port.name] = (
            np.zeros(shape, _NUMBERS[kind.elem_type]) if whole else chance.standard_normal(shape, dtype=np.float32)
        )
    graph = Graph(data, hashlib.sha256(data).hexdigest(), "fp32")
    session = backends.open_session(engine, graph, Options(threads=int(threads) or usable_cores()))
    return lambda: session.evaluate(feeds, [output])
