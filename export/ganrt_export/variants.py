"""Other graphs of the same generator, for a bundle to hold beside the plain one: exact forms, and lower precisions.

A form is the same function in other operations; it is held to the module's own answers as the plain graph was, and left
out, with a note, where it misses them. A lower precision passes its gate or is an error, because it was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from ganrt.errors import ArgumentError, BackendError, legible
from ganrt.manifest import Precision
from ganrt.spec import Spec

from .fidelity import Pair, fault_of

__all__ = ["LOWER", "NONE", "Optimize", "Variants", "make_variants"]

Optimize: TypeAlias = Literal["measure", "count", "off"]
LOWER = ("fp16", "int8")
_LARGE = 64 << 20  # bytes of a graph whose forms are made only when asked for
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
    tell: Callable[[str], None],
) -> Variants:
    """The forms and precisions asked for. `pairs`: inputs and the module's answers, batches 1, 2, 3 and 8 first.

    Raises ArgumentError for a precision that there is not, FidelityError for one that does not pass its gate.
    """
    unknown = next((one for one in precisions if one not in LOWER), None)
    if unknown is not None:
        raise ArgumentError(f"There is no lower precision '{unknown}'; ganrt makes: {', '.join(LOWER)}.")
    optimize = optimize or ("count" if len(graph) <= _LARGE else "off")
    if optimize not in ("measure", "count", "off"):
        raise ArgumentError(f"optimize is '{optimize}'; it is measure, count or off.")
    forms, notes = _forms(spec, graph, pairs, mapping, optimize, tell) if optimize != "off" else ({}, ())
    lowered = {one: _lowered(one, spec, graph, pairs, mapping, tell) for one in precisions}
    graphs = {"fp32": graph, **forms} if forms else {}
    return Variants(forms, lowered, {name: _counted(data) for name, data in graphs.items()}, notes)


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
    pairs: Sequence[Pair],
    mapping: bytes | None,
    tell: Callable[[str], None],
) -> Any:
    from . import precision as lower

    tell(f"lowering to {precision}")
    given = pairs if spec.signals else None  # without signals it draws its own, of every label and truncation
    return {"fp16": lower.half, "int8": lower.int8}[precision](graph, spec, given, mapping=mapping)


def _counted(data: bytes) -> dict[str, Any]:
    from .optimize import operations

    found = operations(data)
    return {"multiply_adds": found.multiply_adds, "nodes": sum(found.nodes.values())}
