"""The outputs of a graph as values of their own: what a module returns twice, returns unchanged or holds as a weight.

A graph's inputs, weights and outputs have their names from the values themselves, so one value in two of these places
can have one of the names only; a copy (Identity) has the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import onnx_ir as ir

__all__ = ["keep_apart", "rename"]


def keep_apart(graph: ir.Graph, names: Sequence[str]) -> None:
    """An output that is an input, a constant or another output gets a value of its own, and each has its name."""
    seen: set[ir.Value] = {*graph.inputs, *graph.initializers.values()}
    for index, value in enumerate(list(graph.outputs)):
        if value in seen:
            node = ir.node("Identity", [value])
            graph.append(node)
            copy = node.outputs[0]
            copy.shape, copy.type = value.shape, value.type
            graph.outputs[index] = copy
        if value.is_initializer():  # the tracer called it after the output
            value.name = next(name for name in _others(str(value.name)) if name not in graph.initializers)
        seen.add(graph.outputs[index])
    rename(graph.outputs, names)


def _others(name: str) -> Iterator[str]:
    return (f"{name}_weight{number or ''}" for number in itertools.count())


def rename(values: Sequence[ir.Value], names: Sequence[str]) -> None:
    """Gives each value its name."""
    if len(values) == len(names):  # else it is not the graph of this spec, which the check of its ports says
        for value, name in zip(values, names, strict=True):
            value.name = name
