"""Which way of computing serves this bundle on this machine: those that reproduce its goldens, of them the fastest.

A way is an engine, a precision, a form of the graph and a number of threads. Which is best depends on the network and
the processor, so it is found out once by a short measurement and remembered in the cache, under everything that it
depends on: the bundle, the engines as installed, the processor, and what was asked. A way may win at one batch size
and lose at another, so the measurement is a table, and `batching` decides call by call.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping

import msgspec

from .. import cache
from ..bundle import Bundle
from ..environment import fingerprint, processor
from ..errors import ArgumentError, BackendError, BackendUnavailable, FidelityError
from . import APART, NAMES, STREAMING, UNASKED, available, module_name, precisions
from .acceptance import Figures, References, hold
from .base import GRAPH_OF, PLAIN, Session
from .race import Race

__all__ = ["AUTO", "SIZES", "Choice", "Effort", "Way", "choose", "ways"]

SIZES = (1, 2, 4, 8, 16, 32, 64)  # batches measured, and the largest is the largest chunk
_TRIAL = (1, 8)  # batches that a way must be good at, one of them, to be measured at all
_FAR, _FAR_OFF = 1.5, 2.5  # times the best: not worth measuring further, and not even thoroughly
_NEAR = 1.15  # times the best: calls may go there
_CALL_S = 0.25  # a batch that takes longer is not worth measuring twice as large
_LOWER = 0.95  # a lower precision must save 5 % somewhere to be worth its error
_SHARES = 3  # ways that the time of a first load is for; more share it
_STREAMED = 2  # ways that a first load tries in streams
_SHORT_MS = 1.0  # a call so short may lose more by waking threads than it gains
_LONG_MS = 50.0  # a call so long wants all threads, and its network so much memory that few may be open at once
_VERSION = 7  # of the record, and of what engines are given
AUTO = ("fp32", "bf16", "int8")  # what a CPU may gain by


class Way(msgspec.Struct, frozen=True):
    """One way of computing a bundle.

    `form`: "plain", or a name in the manifest's `forms`. `threads`: None for as many as the generator may use.
    `streams`: parts of a batch that are computed side by side.
    """

    backend: str
    precision: str = "fp32"
    form: str = PLAIN
    threads: int | None = None
    streams: int = 1

    @property
    def name(self) -> str:
        """ "openvino", "openvino bf16 phases 2 streams", "mnn 1 thread": what is not FP32, plain and usual is said."""
        said = [self.backend]
        said += [self.precision] if self.precision != "fp32" else []
        said += [self.form] if self.form != PLAIN else []
        said += [f"{self.threads} thread{'s' if self.threads > 1 else ''}"] if self.threads is not None else []
        said += [f"{self.streams} streams"] if self.streams > 1 else []
        return " ".join(said)


class Choice(msgspec.Struct):
    """What was found: the ways, by name; figures of each accepted one, reasons of the refused ones, and

    `costs`: way -> batch -> milliseconds.
    """

    ways: dict[str, Way]
    accepted: dict[str, Figures | None]
    refused: dict[str, str]
    costs: dict[str, dict[int, float]]

    def best(self) -> str:
        """The way for one sample at a time; where nothing was measured, the first in order of preference."""
        usable = [name for name in self.ways if name in self.accepted]
        timed = [name for name in usable if 1 in self.costs.get(name, {})]
        return min(timed, key=lambda name: self.costs[name][1]) if timed else usable[0]

    def able(self) -> set[str]:
        """The ways that calls may go to: the best, and those that are near the least time at some size."""
        tables = self.costs.values()
        least = {size: min(table[size] for table in tables if size in table) for size in set().union(*tables)}
        near = (name for name, one in self.costs.items() if any(ms <= _NEAR * least[size] for size, ms in one.items()))
        return {self.best(), *near}

    def refuse(self, name: str, problem: BackendError | FidelityError) -> None:
        """This way does not serve; raises `problem` where it was the last one."""
        if len(self.accepted) == 1:
            raise problem
        del self.accepted[name]
        self.costs.pop(name, None)
        self.refused[name] = str(problem)

    def why(self) -> str:
        """The choice in one sentence."""
        best = self.best()
        rest = sorted((name for name in self.costs if name != best), key=lambda name: self.costs[name][1])
        if rest:
            rivals = ", ".join(f"{name} {self.costs[name][1]:.2f} ms" for name in rest)
            said = f"{best} takes {self.costs[best][1]:.2f} ms a sample here, {rivals}"
        elif len(self.accepted) > 1:
            said = f"{best} is the first that reproduces this bundle; nothing could be measured"
        else:
            said = f"{best} is the only engine to be had"
        return "; ".join([said, *(f"{name} refused: {reason}" for name, reason in self.refused.items())])


class Effort(msgspec.Struct, frozen=True):
    """How long a way is measured at most, in seconds, so long as there are few; `thorough`: all of them so long, anew,
    and at every number of threads, where calls are not long."""

    seconds: float = 0.3
    thorough: bool = False


def ways(bundle: Bundle, *, backend: str, precision: str, form: str) -> tuple[Way, ...]:
    """All that could serve: engines of this machine, precisions and forms of this bundle, in order of preference.

    "auto" leaves each of `backend`, `precision` and `form` open. Raises BackendUnavailable with the reason and the
    command that installs what is missing, ArgumentError for what the bundle or ganrt does not know.
    """
    computed, forms = _precisions(bundle, precision), _forms(bundle, form)
    return tuple(
        Way(name, one, shape)
        for name in _engines(backend, computed)
        for one in computed
        if one in precisions(name) or "auto" not in (backend, precision)  # what was asked for fails with a reason
        for shape in (forms if GRAPH_OF[one] == "fp32" else (PLAIN,))
    )


def choose(
    options: tuple[Way, ...],
    open_session: Callable[[Way], Session],
    references: References,
    *,
    threads: int,
    close_session: Callable[[Way], None],
    effort: Effort = Effort(),  # noqa: B008  a constant
    tell: Callable[[str], None] = lambda _: None,
    **facts: object,
) -> Choice:
    """The remembered choice among `options`, or a new one. `facts` are what it depends on beside them and the machine.

    Ways with long calls are closed as soon as they are checked, since a check leaves gigabytes in use (2 of a StyleGAN2
    of 256 x 256); the near ones alone are opened again to be measured.
    Raises FidelityError or BackendError when none can serve.
    """
    here = processor()
    entry = "choices/" + cache.key(
        version=_VERSION,
        ways=[msgspec.to_builtins(way) for way in options],
        engines=[(name, fingerprint(module_name(name))) for name in dict.fromkeys(way.backend for way in options)],
        processor=(here.name, here.cores, here.features),
        threads=threads,
        **facts,
    )
    remembered = None if effort.thorough else _decode(cache.read(entry))
    if remembered is not None:
        return remembered
    choice = Choice({way.name: way for way in options}, {}, {}, {})
    problems: list[BackendError | FidelityError] = []
    timed = references.available or not references.spec.signals  # without a signal there is nothing to time
    first: dict[str, float] = {}
    for way in options:
        tell(f"checking {way.name}")
        try:
            choice.accepted[way.name] = _held(way, open_session, references, raw=way.backend not in APART)
            first[way.name] = _time_call(open_session(way), references, 1) if timed and len(options) > 1 else 0.0
        except (BackendError, FidelityError) as problem:
            choice.refused[way.name] = str(problem)
            problems.append(problem)
        if first.get(way.name, math.inf) > _LONG_MS:
            close_session(way)
    if not choice.accepted:
        raise problems[0]
    _confirm(choice, open_session, references)
    kept = cache.write(entry, msgspec.json.encode(choice))
    if timed and (len(choice.accepted) > 1 or kept):  # alone and forgotten at once, it would only cost time
        _measure(choice, first, open_session, references, threads, effort, tell)
        _confirm(choice, open_session, references)
        cache.write(entry, msgspec.json.encode(choice))
    return choice


def _held(
    way: Way, open_session: Callable[[Way], Session], references: References, *, raw: bool = True
) -> Figures | None:
    return hold(open_session(way), references, (1, max(2, references.count)), raw=raw)


def _confirm(choice: Choice, open_session: Callable[[Way], Session], references: References) -> None:
    """Holds the ways that may serve to the goldens in every output, where so far they were in the one that serves.

    To do so with every way that is tried would take a second model of each."""
    sure: set[str] = set()
    while unsure := sorted(name for name in choice.able() - sure if choice.ways[name].backend in APART):
        for name in unsure:
            sure.add(name)
            try:
                choice.accepted[name] = _held(choice.ways[name], open_session, references)
            except (BackendError, FidelityError) as problem:
                choice.refuse(name, problem)


def _measure(
    choice: Choice,
    first: Mapping[str, float],
    open_session: Callable[[Way], Session],
    references: References,
    threads: int,
    effort: Effort,
    tell: Callable[[str], None],
) -> None:
    """Fills `choice.costs` from turns in which every way has one batch size, as long for each size.

    All ways are tried at two sizes, the good ones measured at all; but of long calls those that `first`, a time of one
    sample, shows to be far off are not tried again. Each new batch size is first held to the goldens; a way that fails
    one is moved to `choice.refused`.
    """
    far = _FAR_OFF if effort.thorough else _FAR
    limit = max(_LONG_MS, far * min(first[name] for name in choice.accepted))
    sessions = {name: open_session(choice.ways[name]) for name in choice.accepted if first[name] <= limit}
    for size in _TRIAL:
        _round(choice, sessions, references, size, tell)
        for name in choice.costs:
            choice.costs[name][size] = min(choice.costs[name][size], _time_call(sessions[name], references, size))
        if min(table[size] for table in choice.costs.values()) > _CALL_S * 1000:
            break
    tried = [size for size in _TRIAL if all(size in table for table in choice.costs.values())]
    least = {size: min(table[size] for table in choice.costs.values()) for size in tried}
    good = [name for name, table in choice.costs.items() if any(table[size] <= far * least[size] for size in tried)]
    live = {name: sessions[name] for name in good}
    every = effort.thorough and least[1] <= _LONG_MS
    for name, way in (*_fewer_threads(choice, good, threads, every), *_side_by_side(choice, good, threads, every)):
        choice.ways[way.name], choice.accepted[way.name] = way, choice.accepted[name]
        live[way.name] = open_session(way)
    shares = len(live) if effort.thorough else min(len(live), _SHARES)
    deadline, sizes = time.perf_counter() + effort.seconds * shares, list(SIZES)
    for size in SIZES:
        _round(choice, live, references, size, tell)
        live = {name: session for name, session in live.items() if name in choice.costs}
        if max(choice.costs[name][size] for name in live) > _CALL_S * 1000 or time.perf_counter() > deadline:
            sizes = list(SIZES[: SIZES.index(size) + 1])
            break
    races = {size: Race({name: choice.costs[name][size] for name in live}, far) for size in sizes}
    spent = dict.fromkeys(sizes, 0.0)
    while (started := time.perf_counter()) < deadline and (undecided := [one for one in sizes if not races[one].over]):
        size = min(undecided, key=spent.__getitem__)
        tell(f"measuring the {len(races[size].running)} fastest at batch {size}")
        races[size].turn({name: _time_call(live[name], references, size) for name in races[size].running})
        spent[size] += time.perf_counter() - started
    for size, race in races.items():
        for name, took in race.times().items():
            choice.costs[name][size] = took
    choice.costs = {name: table for name, table in choice.costs.items() if _worth(choice, name)}
    choice.costs |= {name: {1: took} for name, took in first.items() if took > limit}  # told, and no call goes there


def _fewer_threads(choice: Choice, good: list[str], threads: int, every: bool) -> list[tuple[str, Way]]:
    """The best way on one thread, where its calls are short; with `every`, each good way on every number of them.

    Each with the name of the way it comes from."""
    if every:
        return [(name, _with(choice, name, threads=count)) for name in good for count in range(1, threads)]
    best = choice.best()
    short = threads > 1 and choice.costs[best][1] < _SHORT_MS
    return [(best, _with(choice, best, threads=1))] if short else []


def _side_by_side(choice: Choice, good: list[str], threads: int, every: bool) -> list[tuple[str, Way]]:
    """The two best ways for batches, in as many streams as threads; with `every`, each good way, at halves of that too.

    Each with the name of the way it comes from."""
    size = max(set.intersection(*(set(choice.costs[name]) for name in good)))
    most = min(threads, SIZES[-1], size)
    able = [name for name in good if most > 1 and choice.ways[name].backend in STREAMING]
    if not every:
        able = sorted(able, key=lambda name: choice.costs[name][size])[:_STREAMED]
    counts = [most >> halved for halved in range(most.bit_length() - 1)] if every else [most]
    return [(name, _with(choice, name, streams=count)) for name in able for count in counts if count > 1]


def _with(choice: Choice, name: str, **changes: int) -> Way:
    return msgspec.structs.replace(choice.ways[name], **changes)


def _round(
    choice: Choice,
    sessions: Mapping[str, Session],
    references: References,
    size: int,
    tell: Callable[[str], None],
) -> None:
    """One call of each at this size, after it was held to the goldens there."""
    for name, session in sessions.items():
        tell(f"measuring {name} at batch {size}")
        try:
            hold(session, references, (size,), raw=choice.ways[name].backend not in APART)
        except (BackendError, FidelityError) as problem:
            choice.refuse(name, problem)
            continue
        table = choice.costs.setdefault(name, {})
        table[size] = min(table.get(size, float("inf")), _time_call(session, references, size))


def _worth(choice: Choice, name: str) -> bool:
    """Does it serve what no way of a higher precision does as fast? FP32 always does."""
    mine, exact = choice.costs[name], [other for other in choice.costs if choice.ways[other].precision == "fp32"]
    if choice.ways[name].precision == "fp32" or not exact:
        return True
    return any(ms < _LOWER * min(choice.costs[other].get(size, ms) for other in exact) for size, ms in mine.items())


def _engines(wanted: str, computed: Iterable[str]) -> tuple[str, ...]:
    """The engine asked for, or every one of this machine that computes so."""
    if wanted != "auto":
        if not _available(wanted):
            found = available(wanted)
            raise BackendUnavailable(f"{found.reason}. Install it: {found.install}")
        return (wanted,)
    usable = tuple(name for name in UNASKED if _available(name))
    if not usable:
        raise BackendUnavailable(f"No engine is installed. Install one: {available(NAMES[0]).install}")
    able = tuple(name for name in usable if set(computed) & set(precisions(name)))
    if not able:
        named = " or ".join(computed)
        others = [name for name in UNASKED if name not in usable and set(computed) & set(precisions(name))]
        hint = f" Install one that does: {available(others[0]).install}" if others else ""
        raise BackendUnavailable(f"No engine here computes in {named}; tried: {', '.join(usable)}.{hint}")
    return able


def _available(name: str) -> bool:
    """`available` without the version, which takes 20 ms to find."""
    return fingerprint(module_name(name)) is not None


def _precisions(bundle: Bundle, wanted: str) -> tuple[str, ...]:
    """How to compute: what was asked for, or all that a graph of the bundle allows within the default gate."""
    have = tuple(bundle.manifest.graphs)
    if wanted == "auto":
        allowed = {"fp32", *bundle.manifest.automatic} & set(have)
        return tuple(one for one in AUTO if GRAPH_OF[one] in allowed) or have[:1]
    if wanted not in GRAPH_OF:
        raise ArgumentError(f"There is no precision '{wanted}'; ganrt knows: auto, {', '.join(GRAPH_OF)}.")
    if GRAPH_OF[wanted] not in have:
        name = bundle.manifest.name
        raise ArgumentError(f"The bundle '{name}' holds no {GRAPH_OF[wanted]} graph; it has: {', '.join(have)}.")
    return (wanted,)


def _forms(bundle: Bundle, wanted: str) -> tuple[str, ...]:
    have = (PLAIN, *bundle.manifest.forms)
    if wanted == "auto":
        return have
    if wanted not in have:
        raise ArgumentError(f"The bundle '{bundle.manifest.name}' has no form '{wanted}'; it has: {', '.join(have)}.")
    return (wanted,)


def _time_call(session: Session, references: References, size: int) -> float:
    """The shorter of two calls in a row, each behind a draw, as calls mostly come: behind another engine's, or right
    behind itself, a call finds colder or warmer caches."""
    outputs, took = references.empty_outputs(session, size, raw=False), float("inf")
    for _ in range(2):
        feeds = references.fresh(size)
        started = time.perf_counter()
        session.run(feeds, outputs)
        took = min(took, (time.perf_counter() - started) * 1000)
        if took > _CALL_S * 1000 / 4:
            break
    return took


def _decode(data: bytes | None) -> Choice | None:
    try:
        return None if data is None else msgspec.json.decode(data, type=Choice)
    except msgspec.DecodeError:
        return None  # another version's, or damaged: measured anew
