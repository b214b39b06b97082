"""The other forms of a bundle's graph that are worth having: the same inputs, the same outputs, other nodes between.

    plain graph -> constants and repetitions in one shape -> folded, commuted -> layers in the forms chosen -> pixels

Wide convolutions as Winograd's products are a graph of their own, beside the best one without: engines that have such
kernels themselves, and 8 bits, do better without.

`measure` chooses by time on this machine's engines, layer by layer; `count` by multiply-adds; `off` not at all.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from math import prod
from statistics import geometric_mean
from typing import Literal, NamedTuple, get_args

import onnx
import onnx_ir as ir
from onnx_ir.passes import Sequential, common
from onnxscript.rewriter import rewrite
from onnxscript.rewriter.rules.common import (
    collapse_slice_rule,
    no_op_cast_rule,
    no_op_transpose_rule,
    transpose_transpose_rule,
    unsqueeze_unsqueeze_rule,
)

from ganrt import backends
from ganrt.errors import ArgumentError, ExportError
from ganrt.onnx_header import read_onnx_header

from ..graph_outputs import keep_apart
from .enlarge import Choice, Layer, enlarge
from .fold_affine import fold_affine
from .half import is_half, store_half_where_exact
from .measure import EXTENT, Costs, costs, signature
from .operations import operations
from .pixels import shorten_pixels
from .point_gemm import point_to_gemm
from .pointwise import commute_pointwise
from .race import race
from .repeats import name_repeats
from .upsampling import FORMS, Form
from .winograd import winograd

__all__ = ["WINOGRAD", "FormOfGraph", "Mode", "choose_forms", "count_choice", "forms", "rewritten"]

Mode = Literal["measure", "count", "off"]
_RULES = (collapse_slice_rule, no_op_cast_rule, no_op_transpose_rule, transpose_transpose_rule,
          unsqueeze_unsqueeze_rule)  # fmt: skip  # none of those that take a small number for 0
_CPU = ("onnxruntime", "openvino", "mnn")  # building a GPU engine for every form of every layer would take hours
_MOST_TURNS = 8
_PATIENCE_S = 60.0  # of measuring; what is left then is chosen by multiply-adds
_CLEARLY = 0.95  # of the usual form's time
_WORTH_A_GRAPH, _MOST_OWN = 0.93, 2
WINOGRAD = "winograd"  # the form of that name
_WORTH_COUNTING = 0.2  # of all multiplications must be saved, for a graph that nobody measured


class FormOfGraph(NamedTuple):
    """A rewritten graph, how often each rewrite applied, and each enlarging layer's form ("": as it was)."""

    data: bytes
    rewrites: dict[str, int]
    layers: dict[str, str]


def forms(
    data: bytes,
    mode: Mode = "measure",
    *,
    engines: Sequence[str] | None = None,
    extent: int = EXTENT,
    progress: Callable[[str], None] | None = None,
) -> dict[str, FormOfGraph]:
    """The forms of the graph `data` (a bundle's ONNX bytes) that are worth measuring whole, by name; often one or two.

    "measure": every layer in the form that the engines of this machine run fastest alone, as "measured"; an engine
    that is clearly faster with other forms has a graph of its own, as "for_openvino"; graphs with one form in all
    layers run against them, whole. "count": the forms with the fewest multiply-adds, as "counted". In both, a graph in
    which only foldings applied is called "folded", a graph that nothing applies to has no other form, and one whose
    wide convolutions are Winograd's products is "winograd", where that saves a fifth of all multiplications or, with
    "measure", where an engine is clearly faster so. "off": none.

    `extent` stands for sizes that may change. Ports, opset and the external behaviour are those of `data`; numbers
    differ by float32 rounding. Weights behind float16 stay so where they still are float16 numbers.
    Raises ExportError when a rewritten graph is not valid.
    """
    if mode not in get_args(Mode):
        raise ArgumentError(f"mode is one of {', '.join(get_args(Mode))}; not '{mode}'.")
    if mode == "off":
        return {}
    if mode == "count":
        counted = rewritten(data, lambda layer: count_choice(layer, extent))
        tiled = _tiled(counted, lambda: _WORTH_COUNTING * (operations(counted.data, extent).multiply_adds or 0))
        chosen = {"counted": counted, **({WINOGRAD: tiled} if tiled is not None else {})}
    else:
        names = [name for name in backends.UNASKED if name in _CPU and backends.available(name)]
        chosen = _measured(data, names if engines is None else engines, extent, progress or (lambda _: None))
    found: dict[str, FormOfGraph] = {}
    for name, form in chosen.items():
        if form.rewrites and not any(one.data == form.data for one in found.values()):
            found[name if name == WINOGRAD or any(form.layers.values()) else "folded"] = form
    return found


def _measured(data: bytes, engines: Sequence[str], extent: int, tell: Callable[[str], None]) -> dict[str, FormOfGraph]:
    """One graph for all engines and, for those that it suits badly, one of their own."""
    tables: dict[str, dict[str, Costs]] = {engine: {} for engine in engines}
    usual: dict[str, Form | None] = {}
    known: dict[Hashable, dict[str, Costs]] = {}
    started, enlarging = time.perf_counter(), False

    def ask(layer: Layer) -> None:
        nonlocal enlarging
        enlarging = enlarging or layer.kind != "narrow"
        name, alike = str(layer.node.outputs[0].name), signature(layer)
        usual[name] = count_choice(layer, extent)
        if alike not in known and time.perf_counter() - started < _PATIENCE_S:
            tell(f"measuring '{name}'")
            known[alike] = {engine: costs(layer, engine, extent) for engine in engines}
        for engine, table in tables.items():
            table[name] = known[alike][engine] if alike in known else {}  # patience is at its end

    rewritten(data, ask)
    chosen = choose_forms(tables, usual)
    found = {
        name: rewritten(data, lambda layer, picks=picks: picks.get(str(layer.node.outputs[0].name)))  # type: ignore[misc]
        for name, picks in chosen.items()
    }

    def uniform(layer: Layer, form: Form) -> Form | None:
        if layer.kind == "narrow":
            return chosen["measured"][str(layer.node.outputs[0].name)]
        return form if form in layer.possible() else None

    for form in FORMS if enlarging else ():
        found[form] = rewritten(data, lambda layer, form=form: uniform(layer, form))  # type: ignore[misc]
    finalists = _finalists(found, engines, extent, tell)
    return {**finalists, **_tiled_where_faster(data, finalists, engines, extent, tell)}


def _finalists(
    found: Mapping[str, FormOfGraph], engines: Sequence[str], extent: int, tell: Callable[[str], None]
) -> dict[str, FormOfGraph]:
    """Of graphs composed layer by layer and of uniform ones, the one that is best whole over all engines, "measured",
    and, for an engine that it suits badly, the best there."""
    distinct: dict[str, FormOfGraph] = {}
    for name, one in found.items():
        if not any(one.data == other.data for other in distinct.values()):
            distinct[name] = one
    times: dict[str, dict[str, float]] = {}
    for engine in engines if len(distinct) > 1 else ():
        tell(f"racing {len(distinct)} forms on {engine}")
        times[engine] = race({name: one.data for name, one in distinct.items()}, engine, extent)
    able = [name for name in distinct if all(name in table for table in times.values() if table)]
    raced = [table for table in times.values() if table]
    if not raced or not able:
        return dict(list(distinct.items())[:1])
    best = min(able, key=lambda name: geometric_mean(table[name] / min(table.values()) for table in raced))
    own = []
    for engine, table in times.items():
        first = min(table, key=lambda name: table[name], default=best)
        if table and table[first] < _CLEARLY * table[best]:
            own.append((table[first] / table[best], engine, distinct[first]))
    own.sort(key=lambda one: one[0])
    return {"measured": distinct[best], **{f"for_{engine}": one for _, engine, one in own[:_MOST_OWN]}}


def _tiled_where_faster(
    data: bytes, found: Mapping[str, FormOfGraph], engines: Sequence[str], extent: int, tell: Callable[[str], None]
) -> dict[str, FormOfGraph]:
    """The graph whose wide convolutions are Winograd's products, where an engine is clearly faster so than without."""
    plain = {"": FormOfGraph(data, {}, {}), **found}
    tiled = {f"{name} {WINOGRAD}": made for name, one in plain.items() if (made := _tiled(one)) is not None}
    gains: dict[float, FormOfGraph] = {}
    for engine in engines if tiled else ():
        tell(f"racing Winograd's products on {engine}")
        times = race({name: one.data for name, one in {**plain, **tiled}.items()}, engine, extent)
        able = [name for name in tiled if name in times]
        if able and any(name in times for name in plain):
            first = min(able, key=times.__getitem__)
            gains[times[first] / min(times[name] for name in plain if name in times)] = tiled[first]
    best = min(gains, default=1.0)
    return {WINOGRAD: gains[best]} if best < _CLEARLY else {}


def choose_forms(
    tables: Mapping[str, Mapping[str, Costs]], usual: Mapping[str, Form | None]
) -> dict[str, dict[str, Form | None]]:
    """From seconds by engine, layer and form: the form of every layer in one graph for all engines, "measured", and in
    a graph of its own, under its name, for an engine whose layers it makes clearly faster still; at most two of those.

    Of a layer, `usual` is taken unless another form is clearly faster, by the geometric mean of its times over those
    of the layer as it is: noise chooses nothing.
    """
    common: dict[str, Form | None] = {}
    for name, first in usual.items():
        asked = [table[name] for table in tables.values() if table.get(name)]
        forms_ = [form for form in asked[0] if all(form in one for one in asked)] if asked else []
        means = {form: geometric_mean(one[form] / one[None] for one in asked) for form in forms_}
        common[name] = _clear_winner(means, first, _CLEARLY)
    own: list[tuple[float, str, dict[str, Form | None]]] = []
    for engine, table in tables.items():
        picks = {name: _clear_winner(table[name], common[name], _CLEARLY) if table.get(name) else common[name]
                 for name in usual}  # fmt: skip
        measured = [name for name in usual if table.get(name)]
        spent = sum(table[name][common[name]] for name in measured)
        ratio = sum(table[name][picks[name]] for name in measured) / spent if spent else 1.0
        if ratio < _WORTH_A_GRAPH:
            own.append((ratio, engine, picks))
    own.sort(key=lambda one: one[0])
    return {"measured": common, **{engine: picks for _, engine, picks in own[:_MOST_OWN]}}


def _clear_winner(times: Mapping[Form | None, float], usual: Form | None, margin: float) -> Form | None:
    """The form of the least time, or the usual one where it is not much slower."""
    best = min(times, key=lambda form: times[form], default=usual)
    return best if usual not in times or times[best] < margin * times[usual] else usual


def count_choice(layer: Layer, extent: int = EXTENT) -> Form | None:
    """The form of the fewest multiply-adds; None where that is the layer as it is."""
    what = layer.what
    sizes = [size or extent for size in layer.extent]
    channels = prod(what.kernel.shape[:3])
    pixels, taps = prod(sizes), prod(what.taps)
    counts: dict[Form | None, int] = {}
    if layer.kind == "repeated":
        k = [taps_ - r + 1 for taps_, r in zip(what.taps, what.strides, strict=True)]
        result = [
            r * (n - 1) + t - p - q
            for n, r, t, p, q in zip(sizes, what.strides, what.taps, what.front, what.rear, strict=True)
        ]
        counts[None] = channels * prod(result) * prod(k)
    else:
        counts[None] = channels * pixels * taps
    counts["transposed"] = channels * pixels * taps
    windows = [-(-k // r) for k, r in zip(what.taps, what.strides, strict=True)]
    counts["phases"] = channels * prod(what.strides) * prod(windows) * pixels
    possible = {form: count for form, count in counts.items() if form is None or form in layer.possible()}
    return min(possible, key=lambda form: possible[form])


def rewritten(data: bytes, choose: Choice) -> FormOfGraph:
    """The graph with every rewrite that applies, and its enlarging layers as `choose` says.

    Raises ExportError when what comes out is not valid.
    """
    model = ir.from_proto(onnx.load_from_string(data))
    applied: Counter[str] = Counter()
    picked: dict[str, str] = {}

    def noted(layer: Layer) -> Form | None:
        form = choose(layer)
        picked[str(layer.node.outputs[0].name)] = form or ""
        return form

    graph = model.graph
    half = is_half(graph)
    before = _nodes(model)
    _uniform(model)
    applied["repeats"] += name_repeats(graph)
    _learn_shapes(model)
    for _ in range(_MOST_TURNS):
        turn = {"affine": fold_affine(graph), "pointwise": commute_pointwise(graph)}
        applied.update(turn)
        if not any(turn.values()):
            break
        _learn_shapes(model)
    applied["point"] += point_to_gemm(graph)
    _learn_shapes(model)
    applied["enlarge"] += enlarge(graph, noted)
    applied["pixels"] += shorten_pixels(graph)
    if half:
        store_half_where_exact(model)
    _tidy(model)
    applied["nodes"] = max(0, before - _nodes(model))
    return FormOfGraph(_serialized(model, data), {name: n for name, n in applied.items() if n}, picked)


def _tiled(form: FormOfGraph, least: Callable[[], float] = lambda: 0) -> FormOfGraph | None:
    """The same graph with its wide convolutions as Winograd's products; None where that saves nothing, or less."""
    model = ir.from_proto(onnx.load_from_string(form.data))
    half = is_half(model.graph)
    _uniform(model)
    saved = winograd(model.graph)
    if not saved or sum(saved) < least():
        return None
    if half:
        store_half_where_exact(model)
    _tidy(model)
    return FormOfGraph(_serialized(model, form.data), {**form.rewrites, WINOGRAD: len(saved)}, form.layers)


def _nodes(model: ir.Model) -> int:
    return sum(node.op_type != "Constant" for node in model.graph.all_nodes())


def _uniform(model: ir.Model) -> None:
    """Constants as initializers, no nodes that do nothing, every shape that can be inferred."""
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    rewrite(model, _RULES)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    names = [str(value.name) for value in model.graph.outputs]
    common.IdentityEliminationPass()(model)
    keep_apart(model.graph, names)  # two outputs of one value were made one
    _learn_shapes(model)


def _learn_shapes(model: ir.Model) -> None:
    """Values that rewrites put in have no shape, and sizes computed at run time no use any more."""
    Sequential(common.RemoveUnusedNodesPass(), common.NameFixPass(), common.ShapeInferencePass())(model)


def _tidy(model: ir.Model) -> None:
    Sequential(
        common.DeduplicateInitializersPass(),
        common.RemoveUnusedNodesPass(),
        common.ClearMetadataAndDocStringPass(),
        common.NameFixPass(),
    )(model)
    model.graph.sort()
    edges = {*model.graph.inputs, *model.graph.outputs}
    edges |= {value for graph in model.graph.subgraphs() for value in (*graph.inputs, *graph.outputs)}
    for node in model.graph.all_nodes():
        node.name = node.outputs[0].name
        for value in node.outputs:
            if value not in edges:
                value.shape = value.type = None


def _serialized(model: ir.Model, plain: bytes) -> bytes:
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    given, made = (read_onnx_header(one, "The rewritten graph") for one in (plain, data))
    if (given.inputs, given.outputs) != (made.inputs, made.outputs):
        raise ExportError("The rewritten graph has other inputs or outputs than the plain one; please report this.")
    try:
        onnx.checker.check_model(data, full_check=True)
    except Exception as problem:
        line = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ExportError(f"The rewritten graph is not valid: {line}; please report this.") from problem
    return data
