"""Which engine serves this bundle on this machine: those that reproduce its goldens, and of them the fastest.

Found out once by a short measurement and remembered in the cache, under everything that it depends on: the bundle, the
engines as installed, the processor, threads and precision. An engine may win at one batch size and lose at another, so
the measurement is a table, and `batching` decides call by call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec

from .. import cache
from ..environment import fingerprint, processor
from ..errors import BackendError, BackendUnavailable, FidelityError
from . import NAMES, available, module_name, precisions
from .acceptance import Figures, References, hold
from .base import Session

__all__ = ["Choice", "candidates", "choose", "measure"]

SIZES = (1, 2, 4, 8, 16, 32, 64)  # batches measured, and the largest is the largest chunk
_BUDGET_S = 0.4  # for each engine
_CALL_S = 0.25  # a batch that takes longer is not worth measuring twice as large
_VERSION = 1  # of the record


class Choice(msgspec.Struct):
    """What was found: figures of each accepted engine, reasons of the refused, and engine -> batch -> milliseconds."""

    accepted: dict[str, Figures | None]
    refused: dict[str, str]
    costs: dict[str, dict[int, float]]

    def best(self) -> str:
        """The engine for one sample at a time."""
        first = [name for name in NAMES if name in self.accepted]
        return min(first, key=lambda name: self.costs.get(name, {}).get(1, 0.0))

    def why(self) -> str:
        """The choice in one sentence."""
        best, rest = self.best(), [name for name in self.accepted if name != self.best()]
        if rest and self.costs:
            rivals = ", ".join(f"{name} {self.costs[name][1]:.2f} ms" for name in rest)
            said = f"{best} takes {self.costs[best][1]:.2f} ms a sample here, {rivals}"
        else:
            said = f"{best} is the only engine to be had"
        return "; ".join([said, *(f"{name} refused: {reason}" for name, reason in self.refused.items())])


def candidates(wanted: str, precision: str) -> tuple[str, ...]:
    """Engines to try: the one asked for, or every one of this machine that computes in `precision`.

    Raises BackendUnavailable with the reason and the command that installs it.
    """
    if wanted != "auto":
        if not available_here(wanted):
            found = available(wanted)
            raise BackendUnavailable(f"{found.reason}. Install it: {found.install}")
        return (wanted,)
    usable = tuple(name for name in NAMES if available_here(name))
    if not usable:
        raise BackendUnavailable(f"No engine is installed. Install one: {available(NAMES[0]).install}")
    able = tuple(name for name in usable if precision in precisions(name))
    if not able:
        others = [name for name in NAMES if name not in usable and precision in precisions(name)]
        hint = f" Install one that does: {available(others[0]).install}" if others else ""
        raise BackendUnavailable(f"No engine here computes in {precision}; tried: {', '.join(usable)}.{hint}")
    return able


def available_here(name: str) -> bool:
    """`available` without the version, which takes 20 ms to find."""
    return fingerprint(module_name(name)) is not None


def choose(
    names: tuple[str, ...], open_session: Callable[[str], Session], references: References, **facts: object
) -> Choice:
    """The remembered choice, or a new one. `facts` are what it depends on beside the engines and the processor.

    Raises FidelityError or BackendError when no engine of `names` can serve.
    """
    here = processor()
    entry = "choices/" + cache.key(
        version=_VERSION,
        engines=[(name, fingerprint(module_name(name))) for name in names],
        processor=(here.name, here.cores, here.features),
        **facts,
    )
    remembered = _decode(cache.read(entry))
    if remembered is not None and set(remembered.accepted) | set(remembered.refused) == set(names):
        return remembered
    choice = Choice({}, {}, {})
    problems: list[BackendError | FidelityError] = []
    for name in names:
        try:
            choice.accepted[name] = hold(open_session(name), references, sizes=(1, max(2, references.count)))
        except (BackendError, FidelityError) as problem:
            choice.refused[name] = str(problem)
            problems.append(problem)
    if not choice.accepted:
        raise problems[0]
    kept = cache.write(entry, msgspec.json.encode(choice))
    # alone and forgotten at once, a measurement would only cost time; without a signal there is nothing to time
    if (references.available or not references.spec.signals) and (len(choice.accepted) > 1 or kept):
        choice.costs = measure({name: open_session(name) for name in choice.accepted}, references, choice)
        cache.write(entry, msgspec.json.encode(choice))
    return choice


def measure(
    sessions: Mapping[str, Session], references: References, choice: Choice | None = None
) -> dict[str, dict[int, float]]:
    """Engine -> batch -> milliseconds a call, the least of interleaved rounds: what others do here only adds to it.

    Each new batch size is first held to the goldens; an engine that fails one is dropped (into `choice.refused`).
    """
    costs: dict[str, dict[int, float]] = {name: {} for name in sessions}
    live, deadline = dict(sessions), time.perf_counter() + _BUDGET_S * len(sessions)
    sizes = list(SIZES)
    for size in SIZES:
        for name in list(live):
            try:
                hold(live[name], references, (size,))
            except FidelityError as problem:
                del live[name], costs[name]
                if choice is not None:
                    del choice.accepted[name]
                    choice.refused[name] = str(problem)
                continue
            costs[name][size] = _time_call(live[name], references, size)
        if max(costs[name][size] for name in live) > _CALL_S * 1000 or time.perf_counter() > deadline:
            sizes = list(SIZES[: SIZES.index(size) + 1])
            break
    while time.perf_counter() < deadline:
        for size in sizes:
            for name, session in live.items():
                costs[name][size] = min(costs[name][size], _time_call(session, references, size))
            if time.perf_counter() > deadline:
                break
    return costs


def _time_call(session: Session, references: References, size: int) -> float:
    feeds, outputs = references.feeds(size), references.empty_outputs(session, size, raw=False)
    started = time.perf_counter()
    session.run(feeds, outputs)
    return (time.perf_counter() - started) * 1000


def _decode(data: bytes | None) -> Choice | None:
    try:
        return None if data is None else msgspec.json.decode(data, type=Choice)
    except msgspec.DecodeError:
        return None  # another version's, or damaged: measured anew
