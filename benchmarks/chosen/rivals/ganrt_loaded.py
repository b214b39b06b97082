"""A bundle as `Generator.load` serves it: latents drawn in the call and pixels made, or a signal run through."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np

from ganrt import Generator


def make(n: int, bundle: str, precision: str, extent: str) -> Callable[[], object]:
    generator = Generator.load(bundle, precision=precision)
    if not generator.spec.signals:
        seeds = count()
        return lambda: generator.sample(n, seed=next(seeds))
    chance = np.random.default_rng(7)
    feeds = {
        port.name: chance.standard_normal([n, *(size or int(extent) for size in port.shape[1:])], dtype=np.float32)
        for port in generator.spec.input_ports()
    }
    return lambda: generator.run(feeds)
