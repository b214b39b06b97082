"""float16 in the types of the graph, for GPUs: as much of it as passes the gate.

    all float16 but what would overflow -> gate? -> a bisection for the operations that break it -> gate -> done

TensorRT 11 and TensorRT-RTX are strongly typed, so what the graph says is what they compute in.

The gate's arithmetic. An engine of a processor need have no float16 kernels, and without them it computes in float32
from end to end and would pass anything; OpenVINO has them where the processor has AVX-512 FP16, but lowers all of a
graph, also what its types keep in float32. So the graph is emulated in float32 types: every tensor between operations
rounded to float16, infinite above 65,504, sums accumulated in float32 as tensor cores do. What a GPU may add, kernels
that accumulate in float16, is not run; the bounds in `ranges.py` keep such sums from overflowing. The figures of the
engines here stand beside it, each with its fault where it does not reach the gate.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing

import msgspec

from ganrt.backends.base import Session
from ganrt.errors import BackendError
from ganrt.manifest import Bound
from ganrt.spec import Spec

from ..fidelity import Pair
from .gate import Figures, Judge, Run, shortfall
from .half_types import Halves
from .lowered import FP16, Lowered, faults_told, refusal
from .ranges import overflowing
from .samples import prepare, session
from .search import fewest_that_hold

__all__ = ["half"]

_REFERENCE = "onnxruntime"
_HARD, _BLAMED = 12, 6  # samples: the worst ones, for the search; and to find who is to blame
_SUSPECTS = 64  # operations that are tried alone
_LOOKED_INSIDE = 2  # batches of the calibration that overflow is looked for in


def half(
    data: bytes,
    spec: Spec,
    references: Sequence[Pair] | None = None,
    *,
    mapping: bytes | None = None,
    bound: Bound = FP16,
    patience_s: float = 20.0,
) -> Lowered:
    """A float32 graph in float16 but for the operations that would break the gate, which stay float32.

    `references`: pairs of inputs and outputs to be held to, in place of 256 drawn samples, the goldens, and what ONNX
    Runtime makes of them; needed where the graph takes a signal. `mapping`: the first of two graphs, which stays as it
    is. Inputs and outputs of the graph keep their types. `patience_s`: of searching; after it whole stretches of the
    graph stay float32 where single operations might do.

    Raises FidelityError when nothing passes, naming the operations that are to blame and by how much they miss;
    ArgumentError without references for a signal.
    """
    started = time.perf_counter()
    samples = prepare(data, spec, references, mapping)
    halves, judge = Halves(data), Judge(spec, samples.judged)
    overflow = overflowing(data, halves.operations, samples.calibration[:_LOOKED_INSIDE])
    fixed = frozenset(overflow) | halves.unfit
    with closing(session(halves.switched())) as switched:
        attempt = _Attempt(halves, judge, bound, switched)
        high, emulated = fixed, attempt.emulated(fixed)
        if shortfall(emulated, bound) > 1:
            high = attempt.search(fixed, patience_s)
            emulated = attempt.emulated(high)
        if shortfall(emulated, bound) > 1 or len(high) == len(halves.operations):
            raise refusal("fp16", emulated, bound, attempt.blame())
    graph = halves.lowered(high)
    figures = {"emulated": emulated, **faults_told(judge.everywhere(graph, "fp16"), bound)}
    if figures.get(_REFERENCE, emulated).fault:
        raise BackendError(f"The fp16 graph does not run as it should: {figures[_REFERENCE].fault}.")
    return Lowered(
        "fp16",
        graph,
        bound,
        figures,
        tuple(f"{halves.kinds[name]} '{name}'" for name in halves.operations if name in high),
        len(halves.operations),
        "float16 between operations and float32 sums, emulated",
        round(time.perf_counter() - started, 2),
    )


class _Attempt:
    """One graph after another, each with other operations kept high, held to the gate."""

    def __init__(self, halves: Halves, judge: Judge, bound: Bound, switched: Session) -> None:
        self.halves, self.judge, self.bound, self.switched = halves, judge, bound, switched

    def emulated(self, high: frozenset[str], judge: Judge | None = None) -> Figures:
        return (judge or self.judge).of(self._run(high), "float16, emulated")

    def search(self, fixed: frozenset[str], patience_s: float) -> frozenset[str]:
        """The operations to keep high; those that would overflow are, whatever the samples say.

        By the worst samples alone, which is quick, and then by all of them.
        """
        choices = [name for name in self.halves.operations if name not in fixed]
        hard = self.judge.hardest(_HARD, self._run(fixed))
        worst_alone = msgspec.structs.replace(self.bound, within_one=0.0, max_step=None)
        found = fewest_that_hold(
            choices,
            lambda high: shortfall(self.emulated(fixed | high, hard), worst_alone),
            lambda high: shortfall(self.emulated(fixed | high), self.bound),
            patience_s=patience_s,
        )
        return fixed | (frozenset(choices) if found is None else found)

    def _run(self, high: frozenset[str]) -> Run:
        switches = self.halves.switches(high)
        return lambda inputs, outputs: self.switched.evaluate({**inputs, **switches}, outputs)

    def blame(self) -> str:
        """The operations that miss the gate alone, each the only one in float16, and by how much."""
        everything, few = frozenset(self.halves.operations), self.judge.some(_BLAMED)
        alone = {name: self.emulated(everything - {name}, few) for name in self.halves.operations[:_SUSPECTS]}
        worst = sorted(alone.items(), key=lambda item: -shortfall(item[1], self.bound))[:3]
        told = [
            f"{self.halves.kinds[name]} '{name}' ({figures.fault or f'{figures.psnr_db:.1f} dB'})"
            for name, figures in worst
        ]
        return f"The worst, each alone in float16: {', '.join(told)}."
