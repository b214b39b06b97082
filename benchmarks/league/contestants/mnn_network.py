"""MNN in FP32 on every core, by its Session interface, which is the faster of its two, in this very process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ganrt import Bundle
from ganrt.backends._mnn_interpreter import Interpreter
from ganrt.environment import usable_cores

from ._answer import drawing, keep, load, pixels


def make(n: int, inputs: str, answer: str, folder: str, bundle: str) -> Callable[[], object]:
    spec, feeds = Bundle.open(bundle).manifest.spec, load(inputs)
    output, draw = spec.output_ports()[-1].name, drawing(feeds, spec)
    net = Interpreter(f"{folder}/stock.mnn", usable_cores())
    layout = net.lay_out(0, {name: array.shape for name, array in feeds.items()})

    def run() -> np.ndarray:
        for name, place in layout.inputs.items():
            np.copyto(place, feeds[name], casting="unsafe")
        net.run(0)
        return layout.outputs[output]

    keep(answer, run())
    return lambda: (draw(), pixels(run().copy(), spec))
