"""ncnn in FP32 on every core. It has no batch dimension: n samples are n calls."""

from __future__ import annotations

from collections.abc import Callable

import ncnn
import numpy as np

from ganrt import Bundle
from ganrt.environment import usable_cores

from ._answer import drawing, keep, load, pixels


def make(n: int, inputs: str, answer: str, folder: str, bundle: str) -> Callable[[], object]:
    spec = Bundle.open(bundle).manifest.spec
    feeds = load(inputs)
    draw = drawing(feeds, spec)
    net = ncnn.Net()
    net.opt.num_threads = usable_cores()
    for halved in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(net.opt, halved, False)
    net.load_param(f"{folder}/g.ncnn.param")
    net.load_model(f"{folder}/g.ncnn.bin")

    def one(row: int) -> np.ndarray:
        with net.create_extractor() as extractor:
            for number, array in enumerate(feeds.values()):
                given = np.atleast_1d(array[row])
                extractor.input(f"in{number}", ncnn.Mat(given.astype(np.int32) if given.dtype == np.int64 else given))
            code, result = extractor.extract("out0")
            if code != 0:
                raise SystemExit(f"ncnn failed with {code}")
            return np.array(result)

    run = lambda: np.stack([one(row) for row in range(n)])  # noqa: E731
    keep(answer, run())
    return lambda: (draw(), pixels(run(), spec))
