"""One graph on one engine, as ganrt opens it, filling the pixels of a batch of latents."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ganrt import backends
from ganrt.backends.base import Graph, Options
from ganrt.environment import usable_cores


def make(n: int, file: str, engine: str, precision: str) -> Callable[[], object]:
    graph = Graph(Path(file).read_bytes(), "", precision)
    session = backends.open_session(engine, graph, Options(threads=usable_cores(), precision=precision))
    feeds = {"z": np.random.default_rng(7).standard_normal((n, 100), dtype=np.float32)}
    pixels = {"image": session.empty((n, 64, 64, 3), np.uint8)}
    return lambda: session.run(feeds, pixels)
