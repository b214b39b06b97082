"""The same samples asked for one by one, from many threads that each have some requests on the way."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

from ganrt import Generator


def make(n: int, threads: str, ahead: str) -> Callable[[], object]:
    """`ahead`: requests that a thread has on the way before it waits for the first of them; 1: it only ever waits."""
    server = Generator.load("digits").warm_up(n).serve_batches()
    clients, seeds = int(threads), count()
    pool = ThreadPoolExecutor(clients)

    def wait(seed: int, first: int) -> None:
        for at in range(first, n, clients):
            server.sample(seed=seed, start=at)

    def ask(seed: int, first: int) -> None:
        waiting: deque[Future[Any]] = deque()
        for at in range(first, n, clients):
            waiting.append(server.submit(seed=seed, start=at))
            if len(waiting) == int(ahead):
                waiting.popleft().result()
        for future in waiting:
            future.result()

    def call() -> None:
        seed = next(seeds)
        for done in [pool.submit(wait if ahead == "1" else ask, seed, first) for first in range(clients)]:
            done.result()

    return call
