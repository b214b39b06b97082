"""`python -m ganrt.cli.bench_child`: one process of `ganrt bench`, which loads a generator and times a row in turns."""

from __future__ import annotations

import time

import msgspec

from ..generator import Generator
from ..latency.bench import Course
from ..latency.child import Turns
from ..latency.memory import resident
from ..latency.results import Asked, Timing

__all__ = ["Request", "main"]

_WARM_UP_S = 0.2  # at least, and at most as long as it is timed
_BLOCK_S = 0.005  # calls and reference kernel take turns as often as a neighbour comes and goes


class Request(msgspec.Struct, frozen=True):
    """`first`: nobody has loaded this generator in this way yet, so it is loaded twice. `judged`: outputs are held to
    the bundle's references at the end. `paired`: another process takes turns with it. `seconds`: of timed calls."""

    source: str
    asked: Asked
    batch: int
    seconds: float
    percentile: float
    seed: int
    first: bool = False
    judged: bool = True
    paired: bool = False


def main() -> None:
    turns = Turns()
    request = turns.request(Request)
    turns.end(lambda: _timed(request, turns))


def _timed(request: Request, turns: Turns) -> Timing:
    before, took = resident(), list[float]()

    def load() -> Generator:
        started = time.perf_counter()
        asked = request.asked
        generator = Generator.load(
            request.source,
            backend=asked.backend,
            precision=asked.precision,
            form=asked.form,
            threads=asked.threads,
            progress=turns.tell,
        )
        took.append(round((time.perf_counter() - started) * 1000, 3))
        return generator

    if request.first:
        load().close()
    with load() as generator:
        course = Course(
            request.seconds,
            request.percentile,
            until_known=False,
            warm_up=max(_WARM_UP_S, request.seconds / 4),
            block=_BLOCK_S,
            judged=request.judged,
            paired=request.paired,
            turn=turns.take,
        )
        row = generator.benchmark(request.batch, seed=request.seed, asked=request.asked, course=course)
    row.first_load_ms, row.load_ms = took[0], took[-1]
    row.processes = [msgspec.structs.replace(one, load_ms=took[-1]) for one in row.processes]
    if row.memory is not None:
        row.memory = msgspec.structs.replace(row.memory, before_load=before)
    return row


if __name__ == "__main__":
    main()
