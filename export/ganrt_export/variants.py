"""Other graphs of the same generator, for a bundle to hold beside the plain one: exact forms, and lower precisions.

A form is the same function in other operations; it is held to the module's own answers as the plain graph was, and left
out, with a note, where it misses them. A lower precision passes its gate or is an error, because it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from ganrt.backends.acceptance import DEFAULT_BOUND
from ganrt.errors import ArgumentError, BackendError, legible
from ganrt.manifest import Bound, Precision
from ganrt.spec import Spec

from .fidelity import Pair, fault_of

__all__ = ["LOWER", "NONE", "Optimize", "Variants", "check_wanted", "make_variants"]

Optimize: TypeAlias = Literal["measure", "count", "off"]
LOWER = ("fp16", "int8")
_LARGE = 64 << 20  # bytes of a graph whose forms are made only when asked for
_GATES = (20.0, 90.0)  # dB that int8 may be held to
_FEW = 4  # pairs that a form is held to: batches 1, 2, 3 and 8


class Variants(NamedTuple):
    """`forms`: name -> ONNX; `lowered`: precision -> what came of it; `counted`: graph -> operations, for people."""

    forms: Mapping[str, bytes]
    lowered: Mapping[Precision, Any]
    counted: Mapping[str, Any]
    notes: tuple[str, ...]


NONE = Variants({}, {}, {}, ())


def make_variants(
    spec: Spec,
    graph: bytes,
    pairs: Sequence[Pair],
    *,
    mapping: bytes | None,
    optimize: Optimize | None,
    precisions: Sequence[Precision],
    int8_gate_db: float | None = None,
    tell: Callable[[str], None],
) -> Variants:
    """The forms and precisions asked for. `pairs`: inputs and the module's answers, batches 1, 2, 3 and 8 first.

    `int8_gate_db`: what int8 is held to; from 50 on, at least 99.5 % of the pixels within one step as well.
    Raises what `check_wanted` does, and FidelityError for a precision that does not pass its gate.
    """
    bounds = check_wanted(optimize, precisions, int8_gate_db)
    optimize = optimize or ("count" if len(graph) <= _LARGE else "off")
    forms, notes = _forms(spec, graph, pairs, mapping, optimize, tell) if optimize != "off" else ({}, ())
    lowered = {one: _lowered(one, spec, graph, forms, pairs, mapping, bounds.get(one), tell) for one in precisions}
    graphs = {"fp32": graph, **forms} if forms else {}
    return Variants(forms, lowered, {name: _counted(data) for name, data in graphs.items()}, notes)


def check_wanted(optimize: str | None, precisions: Sequence[str], int8_gate_db: float | None) -> dict[str, Bound]:
    """The gates asked for, by precision. Raises ArgumentError for a mode, a precision or a gate that there is not."""
    unknown = next((one for one in precisions if one not in LOWER), None)
    if unknown is not None:
        raise ArgumentError(f"There is no lower precision '{unknown}'; ganrt makes: {', '.join(LOWER)}.")
    if optimize not in (None, "measure", "count", "off"):
        raise ArgumentError(f"optimize is '{optimize}'; it is measure, count or off.")
    if int8_gate_db is None:
        return {}
    if "int8" not in precisions:
        raise ArgumentError("A gate for int8 was given, but int8 is not among the precisions; ask for it too.")
    low, high = _GATES
    if not low <= int8_gate_db <= high:
        raise ArgumentError(f"The gate of int8 is {int8_gate_db:g} dB; it is from {low:g} to {high:g}.")
    within_one = DEFAULT_BOUND.within_one if int8_gate_db >= DEFAULT_BOUND.psnr_db else 0.0
    return {"int8": Bound(psnr_db=int8_gate_db, within_one=within_one)}


def _forms(
    spec: Spec,
    graph: bytes,
    pairs: Sequence[Pair],
    mapping: bytes | None,
    optimize: Optimize,
    tell: Callable[[str], None],
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Forms that are right, and a note for each that is not: the plain graph serves without them."""
    from .optimize import forms

    tell("writing other forms of the graph")
    right: dict[str, bytes] = {}
    notes = []
    try:
        found = forms(graph, optimize, progress=tell)
    except Exception as problem:  # noqa: BLE001  a stranger's graph; nothing depends on its having other forms
        return {}, (f"The graph has no other form: {legible(problem)}.",)
    for name, form in found.items():
        try:
            fault = fault_of(spec, form.data, pairs[:_FEW], mapping)
        except BackendError as problem:
            fault = str(problem)
        if fault:
            notes.append(f"The form '{name}' of the graph was left out: {fault.rstrip('.')}.")
        else:
            right[name] = form.data
    return right, tuple(notes)


def _lowered(
    precision: str,
    spec: Spec,
    graph: bytes,
    forms: Mapping[str, bytes],
    pairs: Sequence[Pair],
    mapping: bytes | None,
    bound: Bound | None,
    tell: Callable[[str], None],
) -> Any:
    from . import precision as lower

    tell(f"lowering to {precision}")
    given = pairs if spec.signals else None  # without signals it draws its own, of every label and truncation
    if precision == "fp16":
        return lower.half(graph, spec, given, mapping=mapping)
    return lower.int8(graph, spec, given, mapping=mapping, forms=forms, bound=bound or lower.INT8)


def _counted(data: bytes) -> dict[str, Any]:
    from .optimize import operations

    found = operations(data)
    return {"multiply_adds": found.multiply_adds, "nodes": sum(found.nodes.values())}
