"""MNN in FP32 on every core, by its Module interface."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from MNN import expr, nn

from ganrt import Bundle
from ganrt.environment import usable_cores

from ._answer import drawing, keep, load, pixels


def make(n: int, inputs: str, answer: str, folder: str, bundle: str) -> Callable[[], object]:
    spec, feeds = Bundle.open(bundle).manifest.spec, load(inputs)
    net = nn.load_module_from_file(
        f"{folder}/stock.mnn",
        list(feeds),
        [spec.output_ports()[-1].name],
        thread_num=usable_cores(),
        shape_mutable=False,
    )
    draw, kinds = drawing(feeds, spec), {"f": (expr.float, np.float32), "i": (expr.int, np.int32)}
    places = [expr.placeholder(list(array.shape), expr.NCHW, kinds[array.dtype.kind][0]) for array in feeds.values()]

    def run() -> np.ndarray:
        for place, array in zip(places, feeds.values(), strict=True):
            place.write(array.astype(kinds[array.dtype.kind][1], copy=False))
        (found,) = net.forward(places)
        return found.read()

    keep(answer, run())
    return lambda: (draw(), pixels(run().copy(), spec))
