"""One request and its answer: a future that costs little until somebody needs more of it than its result."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..latents import Draws

__all__ = ["Array", "Promise"]

Array: TypeAlias = "NDArray[Any]"


class Promise(Future[Array]):
    """A request that waits, since `arrived`, and is its own future.

    A small picture takes 100 us, and a whole future 3 of them: for a condition, and a lock at every step. So what the
    standard library keeps in a future is put here when it is first asked for, by whatever method or function of it: the
    future is whole from then on, and these methods leave everything to their originals. Until then there is a result
    or none, and at most one thread that waits for it at a lock of its own.

    No step of the two sides needs a lock against the other: the worker writes that it took or answered the request and
    then looks whether the future is whole or somebody waits; who makes it whole, or waits, does so and then looks what
    the worker wrote. So at least one of them sees both, and doing the rest twice does no harm.
    """

    __taken = False  # by the worker: no longer to be cancelled
    __result: Array | None = None
    __gate: threading.Lock | None = None  # of the one thread that waits; open when there is something to see
    __whole: dict[str, Any] | None = None  # what the standard library keeps in a future

    def __init__(self, draws: Draws) -> None:  # that of Future comes later, if ever
        self.draws, self.arrived = draws, perf_counter()

    def take(self) -> bool:
        """Whether it is still to be computed; if so, it can no longer be cancelled. For the worker, once."""
        self.__taken = True
        return self.__whole is None or self.__begin()

    def answer(self, result: Array) -> None:
        """Gives the result, unless somebody else has answered already. For the worker, once."""
        self.__result = result
        if self.__gate is not None:
            _open(self.__gate)
        if self.__whole is not None:
            self.__finish(result)

    def fail(self, problem: BaseException) -> None:
        """The same with a problem instead of the result."""
        with suppress(InvalidStateError):
            self.set_exception(problem)

    def done(self) -> bool:
        return self.__result is not None if self.__whole is None else super().done()

    def result(self, timeout: float | None = None) -> Array:
        if self.__whole is None:
            result = self.__result
            if result is not None:
                return result
            asked = monotonic()
            if self.__wait(timeout) and self.__whole is None:
                assert self.__result is not None
                return self.__result
            if timeout is not None:
                timeout = max(0.0, timeout - (monotonic() - asked))
        return super().result(timeout)

    def __wait(self, timeout: float | None) -> bool:
        """Until there is a result or the future is whole; False when it still may be neither."""
        gate = threading.Lock()
        gate.acquire()
        first = self.__dict__.setdefault("_Promise__gate", gate)
        if first is not gate:  # another thread waits, or has waited
            return False
        if self.__result is not None or self.__whole is not None:
            return True
        opened: bool = gate.acquire(timeout=-1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX))
        return opened

    def __getattr__(self, name: str) -> Any:
        """Makes the future whole; only what is missing comes here."""
        if name.startswith("__"):
            raise AttributeError(name)  # protocols that are tried on every object
        whole = self.__dict__.setdefault("_Promise__whole", vars(Future()))  # the first thread's is everybody's
        for key, value in whole.items():
            self.__dict__.setdefault(key, value)
        if self.__taken:
            self.__begin()
        if self.__result is not None:
            self.__finish(self.__result)
        if self.__gate is not None:
            _open(self.__gate)
        return super().__getattribute__(name)

    def __begin(self) -> bool:
        """Whether the whole future is running: worker and whoever made it whole may both come here."""
        if self.__dict__.setdefault("_Promise__beginner", me := object()) is me:
            try:
                return self.set_running_or_notify_cancel()
            except RuntimeError:  # somebody else has answered it
                return False
        return not self.cancelled()

    def __finish(self, result: Array) -> None:
        with suppress(InvalidStateError):  # the other side came first, or somebody else, or it was cancelled
            self.set_result(result)


def _open(gate: threading.Lock) -> None:
    with suppress(RuntimeError):  # it is open
        gate.release()
