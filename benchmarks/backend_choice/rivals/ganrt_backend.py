"""ganrt on one engine, or on the one it chooses."""

from collections.abc import Callable

from ganrt import Generator


def make(n: int, backend: str) -> Callable[[], object]:
    generator = Generator.load("digits", backend=backend).warm_up(n)
    return lambda: generator.sample(n, seed=7)
