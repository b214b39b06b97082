"""One of ganrt's engines, in FP32 on every core, writing into an array of the caller's."""

import hashlib
from collections.abc import Callable

import numpy as np

from benchmarks.engines_fp32.graphs import INPUT, OUTPUT, feed, graph
from ganrt.backends import open_session
from ganrt.backends.base import Graph, Options
from ganrt.environment import usable_cores


def make(n: int, case: str, engine: str) -> Callable[[], np.ndarray]:
    data = graph(case)
    options = Options(threads=usable_cores(), precision="fp32")
    session = open_session(engine, Graph(data, hashlib.sha256(data).hexdigest(), "fp32"), options)
    inputs = {INPUT: feed(case)}
    output = np.empty_like(session.evaluate(inputs, [OUTPUT])[OUTPUT])

    def call() -> np.ndarray:
        session.run(inputs, {OUTPUT: output})
        return output

    return call
