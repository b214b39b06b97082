"""Signs that a training has gone wrong.

Losses that are no numbers, a network that cannot learn, samples all alike, a machine that is too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from ganrt.errors import TrainingError

from .recipe import Turn

__all__ = ["Collapse", "Gradients", "check_finite", "memory_told", "variety"]

_LOOK_EVERY = 50  # steps between two looks at the gradients
_LOOKS = 4  # in a row without a gradient before a network counts as dead
_ADAM_EPSILON = 1e-8  # Adam hardly moves a weight for less

_ALIKE = 0.1  # of the data's variety, below which samples have collapsed
_EARLY = 500  # steps in which samples may be alike, having begun so


def check_finite(step: int, losses: Mapping[str, float]) -> None:
    """Raises TrainingError when a loss is no number."""
    if not all(map(math.isfinite, losses.values())):
        told = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        raise TrainingError(f"Training diverged at step {step}: {told}; try a lower learning rate (--lr).")


@contextmanager
def memory_told(batch: int) -> Iterator[None]:
    """Raises TrainingError when a GPU's or the machine's memory was not enough for what is done inside."""
    try:
        yield
    except (MemoryError, RuntimeError) as problem:  # PyTorch says by its words alone that the machine's ran out
        if not isinstance(problem, MemoryError | torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(problem):
            raise
        raise TrainingError(
            f"The memory is not enough for batches of {batch} through these networks; compute them in parts "
            "(--accumulate), make them smaller (--batch), or the networks (--set width=...)."
        ) from problem


class Gradients:
    """Watches for a turn whose gradients have vanished for good: call it after each turn's backward pass."""

    def __init__(self) -> None:
        self._without: dict[str, int] = {}

    def look(self, step: int, turn: Turn) -> None:
        """Raises TrainingError when a turn has had no gradient at several looks in a row."""
        if step % _LOOK_EVERY:
            return
        gradients = [weight.grad for weight in turn.parameters() if weight.grad is not None]
        largest = max((float(gradient.abs().max()) for gradient in gradients), default=0.0)
        name = turn.loss.__name__.removesuffix("_loss").replace("_", " ")
        self._without[name] = 0 if largest > _ADAM_EPSILON else self._without.get(name, 0) + 1
        if self._without[name] == _LOOKS:
            since = step - (_LOOKS - 1) * _LOOK_EVERY
            raise TrainingError(
                f"The {name} is dead: it has had no gradient from step {since} to {step}; try a lower learning rate "
                "(--lr), another seed, or leaky ReLU for its ReLUs."
            )


class Collapse:
    """Watches for a generator that makes one and the same sample, or a few, of whatever it is given."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn, self._warned = warn, False

    def look(self, steps: int, samples: NDArray[np.float32], real: NDArray[np.float32]) -> None:
        """Warns, once a collapse, when samples have little of the data's variety."""
        share = variety(samples, real)
        if share < _ALIKE and steps >= _EARLY and not self._warned:
            self._warn(
                f"After {steps} steps the samples are nearly alike: {share:.1%} of the variety of the data (mode "
                "collapse). If it lasts, try more data, larger networks (--set width=...), a lower learning rate "
                "(--lr), or a recipe with a gradient penalty."
            )
        self._warned = share < _ALIKE and steps >= _EARLY


def variety(samples: NDArray[np.float32], real: NDArray[np.float32]) -> float:
    """How far apart samples are, as a share of how far apart as many real ones are; both float32 [n, ...].

    The median distance of a sample to the one nearest to it: 0 for a generator that repeats itself, about 1 for one
    that is as varied as the data.
    """
    return _nearest(samples) / max(_nearest(real), 1e-12)


def _nearest(points: NDArray[np.float32]) -> float:
    flat = points.reshape(len(points), -1).astype(np.float64)
    lengths = np.square(flat).sum(axis=1)
    squares = lengths[:, None] + lengths - 2 * flat @ flat.T
    np.fill_diagonal(squares, np.inf)
    return float(np.median(np.sqrt(np.maximum(squares.min(axis=1), 0))))
