"""Half the bytes, float32 arithmetic: large weights rounded to float16 and stored so, cast back when an engine loads.

What `half_weights.round_weights` does to a module before it becomes the reference, done to a finished graph behind a
gate. Runs on every engine, and a processor may compute it in BF16 as any float32 graph.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import msgspec
import onnx_ir as ir

from ganrt.errors import BackendError
from ganrt.manifest import Bound
from ganrt.spec import Spec

from ..fidelity import Pair
from ..half_weights import large_weights, round_initializers, store_half
from .gate import Judge, shortfall
from .lowered import FP16, Lowered, faults_told, refusal
from .samples import prepare
from .search import fewest_that_hold
from .widened import widened

__all__ = ["light"]

_ENGINE = "onnxruntime"
_HARD = 12


def light(
    data: bytes,
    spec: Spec,
    references: Sequence[Pair] | None = None,
    *,
    mapping: bytes | None = None,
    bound: Bound = FP16,
    patience_s: float = 10.0,
) -> Lowered:
    """A float32 graph with its large weights as float16, but for those that break the gate, which stay as they are.

    `references`, `mapping`, `patience_s`: as for `half`. Raises FidelityError when nothing passes, ArgumentError
    without references for a signal, BackendError when ONNX Runtime refuses the graph.
    """
    started = time.perf_counter()
    judge = Judge(spec, prepare(data, spec, references, mapping).judged)
    weights = large_weights(widened(data))

    def error(high: frozenset[str], chosen: Judge = judge, within: Bound = bound) -> float:
        return shortfall(chosen.on(_ENGINE, _stored(data, high), "fp32"), within)

    high: frozenset[str] | None = frozenset()
    if error(frozenset()) > 1:
        few = judge.some(_HARD)
        alone = msgspec.structs.replace(bound, within_one=0.0, max_step=None)
        high = fewest_that_hold(weights, lambda kept: error(kept, few, alone), error, patience_s=patience_s)
    graph = _stored(data, high if high is not None else frozenset())
    figures = faults_told(judge.everywhere(graph, "fp32"), bound)
    if high is None or figures[_ENGINE].fault or (weights and len(high) == len(weights)):
        if figures[_ENGINE].samples == 0:
            raise BackendError(figures[_ENGINE].fault)
        raise refusal("half-size", figures[_ENGINE], bound, f"All {len(weights)} large weights would have to stay.")
    kept = tuple(f"weight '{name}'" for name in weights if name in high)
    seconds = round(time.perf_counter() - started, 2)
    return Lowered("fp32", graph, bound, figures, kept, len(weights), "float32, weights rounded to float16", seconds)


def _stored(data: bytes, keep: Collection[str]) -> bytes:
    model = widened(data)
    round_initializers(model, [name for name in large_weights(model) if name not in keep])
    store_half(model, keep)
    graph: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return graph
