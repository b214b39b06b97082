"""ganrt as its user calls it: draws, engine, a fresh result; ONNX Runtime forced, the bare rival's engine."""

from collections.abc import Callable

from ganrt import Generator


def make(n: int) -> Callable[[], object]:
    generator = Generator.load("digits", backend="onnxruntime").warm_up(n)
    return lambda: generator.sample(n, seed=7)
