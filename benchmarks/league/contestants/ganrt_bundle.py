"""A bundle as `Generator.load` serves it: latents drawn in the call and pixels made, or a signal run through."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count

from ganrt import Generator

from ._answer import keep, load


def make(n: int, inputs: str, answer: str, bundle: str, precision: str, cache: str) -> Callable[[], object]:
    """`cache`: a folder of its own, so that nothing is known of this machine yet."""
    if cache:
        os.environ["GANRT_CACHE_DIR"] = cache
    generator, feeds = Generator.load(bundle, precision=precision), load(inputs)
    keep(answer, generator.run(feeds)[generator.spec.output_ports()[-1].name])
    if generator.spec.signals:
        first = [generator.spec.output_ports()[0].name]
        return lambda: generator.run(feeds, outputs=first)
    seeds = count()
    return lambda: generator.sample(n, seed=next(seeds))
