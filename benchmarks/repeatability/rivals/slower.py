"""A build of ganrt whose every `sample` takes a share longer, as one of `ganrt bench`'s processes.

The wrapper spins for that share of what the call has just taken, so each call of the distribution is slower by it.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from ganrt import Generator
from ganrt.cli import bench_child


def main(share: float) -> None:
    sample = Generator.sample

    def slower(self: Generator, *arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        made = sample(self, *arguments, **options)
        until = started + (time.perf_counter() - started) * (1 + share)
        while time.perf_counter() < until:
            pass
        return made

    Generator.sample = slower  # type: ignore[method-assign]
    bench_child.main()


main(float(sys.argv[1]))
