"""INT8 by NNCF, as Quantize/Dequantize pairs in the ONNX: as much of the graph as passes the gate.

    the form of the graph that is fastest in 8 bits -> batch norms folded -> NNCF, one recipe after another, until one
    passes -> else the best of them, and a bisection for the operations that must stay float32 -> pixels made in one
    operation -> gate -> done

Calibrated on the generator's own draws (`samples.py`). The gate's arithmetic is OpenVINO's, which has 8-bit kernels for
every x86-64 processor and would be the one to serve it; without it, ONNX Runtime's. A processor without VNNI may
saturate where this one does not, so the bundle's goldens are asked again where it is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cache, partial
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper
from onnx_ir.passes import common

from ganrt import backends
from ganrt.errors import ExportError, FidelityError
from ganrt.manifest import Bound
from ganrt.spec import Image, Spec

from ..fidelity import Pair
from ..optimize.forms import WINOGRAD
from ..optimize.measure import times
from .gate import Figures, Judge, shortfall
from .lowered import INT8, Lowered, faults_told, refusal
from .quantize import RECIPES, Recipe, quantized
from .rounded_pixels import rounded_pixels
from .samples import Feeds, prepare, session
from .search import fewest_that_hold
from .stripped import Quantized
from .widened import widened

__all__ = ["int8"]

_TIMED = 4  # batches, of 1, 2, 3 and 8 samples where they are drawn
_HARD, _BLAMED = 24, 6  # samples: the worst ones, for the search; and to find who is to blame
_LARGE, _FEW = 1 << 20, 4  # numbers in an output of all the hard samples; and how many there are anyway
_TOLD = 3  # operations that are to blame
_FASTER = 0.9  # of the time: what keeps operations that multiply, and are large, in float32 must save so much
_BIASED = ("Conv", "ConvTranspose")
_MULTIPLYING = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def int8(
    data: bytes,
    spec: Spec,
    references: Sequence[Pair] | None = None,
    *,
    mapping: bytes | None = None,
    forms: Mapping[str, bytes] = MappingProxyType({}),
    bound: Bound = INT8,
    recipes: Sequence[Recipe] = RECIPES,
    patience_s: float = 15.0,
) -> Lowered:
    """A float32 graph in 8 bits but for the operations that would break the gate, which stay float32.

    `references`: pairs of inputs and outputs to calibrate on and be held to, needed where the graph takes a signal;
    elsewhere 300 samples are drawn to calibrate on, and judged are 256 others and the goldens. `mapping`: the first of
    two graphs, which stays as it is. `forms`: the same function in other operations; of those that pass, the one that
    is fastest in 8 bits here is taken. `recipes`: how NNCF may quantize, the first that passes is taken. `patience_s`:
    of searching.

    Raises FidelityError when nothing passes, naming the operations that are to blame and by how much they miss, or when
    the calibration gives numbers that are not finite; MissingExtra without NNCF; ArgumentError without references for a
    signal.
    """
    started = time.perf_counter()
    samples = prepare(data, spec, references, mapping)
    judge = Judge(spec, samples.judged)
    for first in _by_speed(data, forms, spec, samples.calibration, recipes[0], judge, patience_s):
        best, searching = first, time.perf_counter()
        for recipe in recipes[1:]:
            if shortfall(best.figures, bound) <= 1 or time.perf_counter() - searching > patience_s:
                break
            candidate = _candidate(first.plain, spec, samples.calibration, recipe, judge)
            if shortfall(candidate.figures, bound) < shortfall(best.figures, bound):
                best = candidate
        high = frozenset[str]()
        if shortfall(best.figures, bound) > 1:
            high = _search(best.graph, judge, bound, patience_s)
        if any(kind in _MULTIPLYING for name, kind in best.graph.kinds.items() if name not in high):
            break
    else:
        raise refusal("int8", best.figures, bound, _blame(best.graph, judge, bound, patience_s))
    high = _with_light_weights(best.graph, high, judge, bound)
    whole = best.graph.without(high)
    for graph in dict.fromkeys((_pixels_in_one(whole, spec), whole)):  # the latter should a half, rounded down, miss it
        figures = faults_told(judge.everywhere(graph, "int8"), bound)
        if not figures[_engine()].fault:
            break
    else:
        raise refusal("int8", figures[_engine()], bound, _blame(best.graph, judge, bound, patience_s))
    return Lowered(
        "int8",
        graph,
        bound,
        figures,
        tuple(f"{best.graph.kinds[name]} '{name}'" for name in best.graph.operations if name in high),
        len(best.graph.operations),
        f"8-bit kernels of {figures[_engine()].engine}; {best.recipe}",
        round(time.perf_counter() - started, 2),
    )


def _pixels_in_one(graph: bytes, spec: Spec) -> bytes:
    ports = spec.output_ports()
    return rounded_pixels(graph, ports[0].name, ports[-1].name) if isinstance(spec.output, Image) else graph


class _Candidate(NamedTuple):
    plain: onnx.ModelProto
    recipe: Recipe
    graph: Quantized
    figures: Figures


def _by_speed(
    data: bytes,
    forms: Mapping[str, bytes],
    spec: Spec,
    calibration: Sequence[Feeds],
    recipe: Recipe,
    judge: Judge,
    patience_s: float,
) -> list[_Candidate]:
    """The plain graph and its forms, as far as patience goes, the one first that is fastest with all of it in 8 bits.

    Raises FidelityError when there is nothing in it to quantize, ExportError when NNCF cannot quantize any.
    """
    started = time.perf_counter()
    likely = sorted(  # what that engine likes best comes first; Winograd's sums need more digits than 8 bits have
        (name for name in forms if name != WINOGRAD), key=lambda name: name != f"for_{_engine()}"
    )
    found: list[_Candidate] = []
    problem: ExportError | None = None
    for graph in (*(forms[name] for name in likely), data):
        if found and time.perf_counter() - started > patience_s:
            break
        try:
            candidate = _candidate(_prepared(graph), spec, calibration, recipe, judge)
        except ExportError as refused:
            problem = refused
            continue
        if candidate.graph.operations:
            found.append(candidate)
    if not found:
        raise problem or FidelityError(
            "No int8 graph of this generator can be made: NNCF finds nothing in it to quantize."
        )
    if len(found) == 1:
        return found
    able = [one for one in found if not one.figures.fault] or found
    taken = _times([one.graph.without(()) for one in able], judge)
    return [able[index] for index in sorted(range(len(able)), key=taken.__getitem__)]


def _times(graphs: Sequence[bytes], judge: Judge) -> list[float]:
    """What each takes for a few samples, alone and together: the product of the times."""
    taken = [1.0] * len(graphs)
    with ExitStack() as stack:
        opened = [stack.enter_context(closing(session(graph, _engine(), "int8"))) for graph in graphs]
        for pair in judge.pairs[:_TIMED]:
            calls = {index: partial(one.evaluate, pair.inputs, judge.wanted) for index, one in enumerate(opened)}
            for index, seconds in times(calls).items():
                taken[index] *= seconds
    return taken


def _candidate(
    plain: onnx.ModelProto, spec: Spec, calibration: Sequence[Feeds], recipe: Recipe, judge: Judge
) -> _Candidate:
    made, used = quantized(plain, calibration, recipe, _tail(plain, spec))
    graph = Quantized(made, plain)
    return _Candidate(plain, used, graph, judge.on(_engine(), graph.without(()), "int8"))


def _engine() -> str:
    return "openvino" if backends.available("openvino") else "onnxruntime"


def _search(graph: Quantized, judge: Judge, bound: Bound, patience_s: float) -> frozenset[str]:
    """The operations to set back to float32; all of them when no fewer pass.

    8 bits save most time where numbers are multiplied by weights. So once everything else is set back first, kind by
    kind, and once whatever errs most, which is taken where it is clearly faster.
    """
    with closing(session(graph.without(()), _engine(), "int8")) as opened:
        hard = judge.hardest(max(_FEW, min(_HARD, _LARGE // judge.pairs[0].outputs[0][0].size)), opened.evaluate)
    worst_alone = msgspec.structs.replace(bound, within_one=0.0, max_step=None)
    groups, kinds = graph.groups(), graph.kinds
    cheap = sorted((name for name in groups if kinds[name] not in _MULTIPLYING), key=kinds.__getitem__)

    @cache
    def error(high: frozenset[str], judge: Judge, bound: Bound) -> float:
        return shortfall(judge.on(_engine(), graph.without(_all_of(groups, high)), "int8"), bound)

    found = [
        fewest_that_hold(
            [*(name for name in groups if kinds[name] in _MULTIPLYING), *cheap],
            lambda high: error(high, hard, worst_alone),
            lambda high: error(high, judge, bound),
            patience_s=patience_s,
            cheap=first,
        )
        for first in (cheap, ())
    ]
    sets = list(dict.fromkeys(_all_of(groups, groups if one is None else one) for one in found))
    if len(sets) == 1:
        return sets[0]
    usual, other = _times([graph.without(high) for high in sets], judge)
    return sets[1] if other < _FASTER**_TIMED * usual else sets[0]


def _with_light_weights(graph: Quantized, high: frozenset[str], judge: Judge, bound: Bound) -> frozenset[str]:
    """Without those whose weights may be of 8 bits after all: what they take stays float32, the file is smaller."""
    for name, group in graph.groups().items():
        if name in high and len(group) > 1 and graph.kinds[name] in _MULTIPLYING:
            lighter = high - {name}
            if shortfall(judge.on(_engine(), graph.without(lighter), "int8"), bound) <= 1:
                high = lighter
    return high


def _all_of(groups: Mapping[str, frozenset[str]], names: Iterable[str]) -> frozenset[str]:
    return frozenset[str]().union(*(groups[name] for name in names))


def _blame(graph: Quantized, judge: Judge, bound: Bound, patience_s: float) -> str:
    """The operations that miss the gate alone, each the only one in 8 bits, and by how much; as many as patience lets
    look at, those that multiply first."""
    few, groups, started = judge.some(_BLAMED), graph.groups(), time.perf_counter()
    alone: dict[str, Figures] = {}
    for name in sorted(groups, key=lambda name: graph.kinds[name] not in _MULTIPLYING):
        if len(alone) >= _TOLD and time.perf_counter() - started > patience_s:
            break
        others = frozenset(graph.operations) - groups[name]
        alone[name] = few.on(_engine(), graph.without(others), "int8")
    worst = sorted(alone.items(), key=lambda item: -shortfall(item[1], bound))[:_TOLD]
    told = [f"{graph.kinds[name]} '{name}' ({one.fault or f'{one.psnr_db:.1f} dB'})" for name, one in worst]
    return f"The worst, each alone in 8 bits: {', '.join(told)}."


def _prepared(data: bytes) -> onnx.ModelProto:
    """Plain float32 weights, batch norms folded, a bias for every convolution, and every operation named."""
    from onnxscript.rewriter import rewrite
    from onnxscript.rewriter.rules import common as rules

    folding = [
        rules.fuse_batchnorm_into_conv_rule,
        rules.fuse_batchnorm_into_conv_transpose_rule,
        rules.fuse_batchnorm_into_gemm_rule,
    ]
    model = rewrite(widened(data), pattern_rewrite_rules=folding)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model))
    weights = {weight.name: weight for weight in proto.graph.initializer}
    for node in list(proto.graph.node):
        if node.op_type == "Gemm" and len(node.input) == 3 and node.input[2] not in weights:
            _part(proto.graph, node)
        if node.op_type in _BIASED and len(node.input) == 2 and node.input[1] in weights:
            shape, groups = weights[node.input[1]].dims, _groups(node)
            width = shape[0] if node.op_type == "Conv" else shape[1] * groups
            bias = f"{node.output[0]}.bias"  # what quantizing shifts is corrected there
            proto.graph.initializer.append(numpy_helper.from_array(np.zeros(width, np.float32), bias))
            node.input.append(bias)
    for node in proto.graph.node:
        node.name = node.output[0]
    return proto


def _part(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """Gemm(a, b, c) -> Add(Gemm(a, b), beta c): NNCF takes every third input for a constant bias."""
    beta = next((one.f for one in node.attribute if one.name == "beta"), 1.0)
    if beta != 1.0:
        return
    given, addend, output = f"{node.output[0]}.product", node.input[2], node.output[0]
    del node.input[2:]
    node.output[0] = given
    index = [one.output[0] for one in graph.node].index(given)
    graph.node.insert(index + 1, helper.make_node("Add", [given, addend], [output]))


def _groups(node: onnx.NodeProto) -> int:
    return next((int(helper.get_attribute_value(one)) for one in node.attribute if one.name == "group"), 1)


def _tail(model: onnx.ModelProto, spec: Spec) -> list[str]:
    """What makes pixels of the network's own output: 8 bits of 8 bits."""
    after = {spec.output_ports()[-1].name}
    names = []
    for node in model.graph.node:
        if after & set(node.input):
            after |= set(node.output)
            names.append(node.name)
    return names
