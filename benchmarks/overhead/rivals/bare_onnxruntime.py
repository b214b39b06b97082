"""`InferenceSession.run` on inputs made beforehand: the least that any wrapper can cost. Default session options."""

from collections.abc import Callable

import numpy as np
import onnxruntime

from ganrt import Bundle


def make(n: int) -> Callable[[], object]:
    session = onnxruntime.InferenceSession(Bundle.open("digits").graph(), providers=["CPUExecutionProvider"])
    draws = np.random.default_rng(7)
    feeds = {"z": draws.standard_normal((n, 64), dtype=np.float32), "label": draws.integers(0, 10, n)}
    return lambda: session.run(["image"], feeds)
