"""Which samples a step is trained on, and every random number of it: functions of (seed, step) alone.

So a run that goes on from a checkpoint needs no state of any generator: it repeats an uninterrupted one to the bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ganrt.errors import DataError

from .recipe import Batch, Data, Settings

__all__ = ["Order", "feed", "seed_of"]

_READERS = 4  # processes that decode files, at most
_EPOCHS_APART = 0x5851F42D  # keeps the seeds of epochs away from those of steps


def feed(data: Data, settings: Settings, parts: int, first: int) -> Iterator[tuple[int, list[Batch]]]:
    """For each step from `first` on, its number and `parts` batches; PyTorch's generators are seeded for the step."""
    order = Order(len(data), settings, parts)
    ahead = _ahead(data, Order(len(data), settings, parts), first) if data.decodes else None
    for step in range(first, settings.steps):
        _seed(seed_of(settings.seed, step))
        chosen = order(step, torch.default_generator)
        samples = data[chosen.tolist()] if ahead is None else next(ahead)
        yield step, list(zip(*(torch.split(tensor, settings.batch) for tensor in samples), strict=True))


class Order:
    """The samples of a step, `order(step, draws)`: indices into the data, int64 [batch * parts].

    All samples in a random order, then all of them in another, and so on; an epoch may end in the middle of a batch.
    With `settings.replacement` they are drawn from all samples, the first thing that the step's generator draws.
    """

    def __init__(self, samples: int, settings: Settings, parts: int) -> None:
        self.settings = settings
        self._samples, self._count = samples, settings.batch * parts
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def __call__(self, step: int, draws: torch.Generator) -> Tensor:
        if self.settings.replacement:
            return torch.randint(self._samples, (self._count,), generator=draws)
        chosen: list[Tensor] = []
        place, end = step * self._count, (step + 1) * self._count
        while place < end:
            epoch, start = divmod(place, self._samples)
            chosen.append(self._shuffled(epoch)[start : start + end - place])
            place += len(chosen[-1])
        return torch.cat(chosen)

    def _shuffled(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            draws = torch.Generator().manual_seed(seed_of(self.settings.seed ^ _EPOCHS_APART, epoch))
            self._epoch, self._permutation = epoch, torch.randperm(self._samples, generator=draws)
        return self._permutation


def seed_of(seed: int, step: int) -> int:
    """A seed for the draws of one step. 32 bits, because PyTorch's generator on the CPU ignores the others."""
    return (seed * 0x9E3779B1 + step) & 0xFFFFFFFF


def _seed(seed: int) -> None:
    """As torch.manual_seed, which takes half a millisecond where no GPU is in use."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


def _ahead(data: Data, order: Order, first: int) -> Iterator[Batch]:
    """What `order` will ask for, decoded ahead by processes of their own. Raises DataError."""
    seed, steps = order.settings.seed, range(first, order.settings.steps)
    chosen = (order(step, torch.Generator().manual_seed(seed_of(seed, step))).tolist() for step in steps)
    readers = min(_READERS, os.cpu_count() or 1)
    loader: DataLoader[Batch] = DataLoader(
        data,  # type: ignore[arg-type]  # any object that takes a list of indices
        batch_size=None,  # `chosen` gives whole batches
        sampler=chosen,
        num_workers=readers,
        pin_memory=torch.cuda.is_available(),
    )
    try:
        yield from loader
    except DataError as problem:  # a reader's, with its traceback in the text
        raise DataError(str(problem).strip().splitlines()[-1].removeprefix("ganrt.errors.DataError: ")) from problem
