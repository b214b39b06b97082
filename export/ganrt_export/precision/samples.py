"""What a precision is calibrated on and judged by: the generator's own inputs, never a made-up noise.

Drawn from the spec: its latents, every label, its codes, and both ends of its truncation beside the default one. The
usual tools calibrate on uniform noise, which under-covers the tails of a normal: what they never saw is then clipped.
The bundle's goldens are judged too, since they decide wherever the graph is loaded.
A graph that takes a signal cannot be fed from a spec, so its examples must be given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ganrt import backends
from ganrt.backends.base import Graph, Options, Session
from ganrt.backends.chain import W
from ganrt.environment import usable_cores
from ganrt.errors import ArgumentError, FidelityError
from ganrt.latents import Draws, together
from ganrt.spec import Spec

from ..fidelity import Pair
from ..goldens import choose_goldens

__all__ = ["BATCHES", "Feeds", "Samples", "outputs_of", "prepare", "session"]

Feeds: TypeAlias = Mapping[str, NDArray[Any]]

BATCHES = (1, 2, 3, 8, 50)  # of the samples judged, in turn
_JUDGED, _CALIBRATED, _CALIBRATION_BATCH = 256, 300, 50
_SEED, _OTHER_SEED = 20_160, 3_141  # what is calibrated on is never what is judged


class Samples(NamedTuple):
    """`judged`: inputs and the float32 graph's answers; `calibration`: other inputs. Both as the graph takes them."""

    judged: tuple[Pair, ...]
    calibration: tuple[Feeds, ...]


def prepare(data: bytes, spec: Spec, references: Sequence[Pair] | None = None, mapping: bytes | None = None) -> Samples:
    """Samples for a float32 graph: 256 and the goldens judged, 300 to calibrate on, where they can be drawn.

    `references`: pairs to judge by, in place of what ONNX Runtime makes of `data`; a graph with signals needs them, and
    is calibrated on their inputs. `mapping`: the first of two graphs, whose w `data` takes.
    Raises ArgumentError when there is nothing to judge by, FidelityError when the float32 graph itself gives numbers
    that are not finite, BackendError when ONNX Runtime cannot run it.
    """
    if references is None and spec.signals:
        raise ArgumentError(
            f"This generator takes a signal ('{spec.signals[0].name}'), which cannot be drawn: give references, pairs "
            "of example inputs and outputs, to calibrate on and to judge by."
        )
    if references is not None and not sum(len(_first(pair.inputs)) for pair in references):
        raise ArgumentError("The references are empty; give at least one pair of inputs and outputs.")
    feeds: Sequence[Feeds] = [pair.inputs for pair in references] if references is not None else list(_judged(spec))
    calibration: Sequence[Feeds] = (
        feeds if spec.signals else list(_drawn(spec, _OTHER_SEED, (_CALIBRATION_BATCH,), _CALIBRATED))
    )
    if mapping is not None:
        feeds, calibration = outputs_of(mapping, feeds, (W,)), outputs_of(mapping, calibration, (W,))
    wanted = outputs_of_spec(spec)
    if references is None:
        answers = [tuple(found[name] for name in wanted) for found in outputs_of(data, feeds, wanted)]
    else:
        answers = [pair.outputs for pair in references]
    for name, found in ((name, array) for answer in answers for name, array in zip(wanted, answer, strict=True)):
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            raise FidelityError(
                f"The float32 graph's own output '{name}' is not finite for this generator's inputs, so no lower "
                "precision can be held to it; look at the weights."
            )
    judged = tuple(Pair(dict(taken), given) for taken, given in zip(feeds, answers, strict=True))
    return Samples(judged, tuple(calibration))


def outputs_of_spec(spec: Spec) -> list[str]:
    """The network's own outputs, as a Pair holds them."""
    return [spec.output_ports()[-1].name, *(one.raw for one in spec.also)]


def session(data: bytes, engine: str = "onnxruntime", precision: str = "fp32") -> Session:
    """The graph opened on an engine. Raises BackendError, BackendUnavailable."""
    graph = Graph(data, "", precision)
    return backends.open_session(engine, graph, Options(threads=usable_cores(), precision=precision))


def outputs_of(data: bytes, feeds: Sequence[Feeds], outputs: Sequence[str]) -> list[dict[str, NDArray[Any]]]:
    """What ONNX Runtime makes of each batch. Raises BackendError."""
    with closing(session(data)) as opened:
        return [opened.evaluate(batch, outputs) for batch in feeds]


def _drawn(spec: Spec, seed: int, sizes: Sequence[int], count: int = _JUDGED) -> Iterator[Feeds]:
    """`count` samples in batches of these sizes in turn; the truncation changes from batch to batch."""
    part = spec.truncation
    ends = (None,) if part is None else (None, part.minimum, part.maximum)
    start, turn = 0, 0
    while start < count:
        size = min(sizes[turn % len(sizes)], count - start)
        yield Draws(spec, seed, start, size, truncation=ends[turn % len(ends)]).feeds(0, size)
        start, turn = start + size, turn + 1


def _judged(spec: Spec) -> Iterator[Feeds]:
    yield from _drawn(spec, _SEED, BATCHES)
    draws = [Draws.of(spec, golden) for golden in choose_goldens(spec)]
    for start in range(0, len(draws), max(BATCHES)):
        yield together(draws[start : start + max(BATCHES)])


def _first(arrays: Feeds) -> NDArray[Any]:
    return next(iter(arrays.values()))
