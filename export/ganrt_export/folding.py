"""Linear algebra of a module's own weights, computed once instead of in the graph, which has no operation for it.

Flows (Glow, SRFlow) invert their 1x1 convolutions and take log determinants of them at every call; others make weights
by a matrix exponential, a QR or a Cholesky decomposition. None depends on an input.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import GraphModule, Node

__all__ = ["fold", "foldable"]

_NAMES = (
    "linalg_", "_linalg_", "inverse", "slogdet", "logdet", "det", "matrix_exp", "cholesky", "qr", "svd",
    "pinverse", "triangular_solve", "lu_", "_lu_", "geqrf", "orgqr", "householder",
)  # fmt: skip
_UNKNOWN = object()


def foldable(program: torch.export.ExportedProgram) -> bool:
    """Is there any linear algebra in it at all?"""
    return any(map(_algebra, program.graph.nodes))


def fold(program: torch.export.ExportedProgram) -> GraphModule:
    """The program's module, with what linear algebra makes of constants held as buffers."""
    module = program.module()
    assert isinstance(module, GraphModule)
    values: dict[Node, Any] = {}
    for node in list(module.graph.nodes):
        if not _algebra(node) or _value(module, node, values) is _UNKNOWN:
            continue
        results = list(node.users) if isinstance(values[node], tuple) else [node]
        for result in results:
            name = f"_folded_{result.name}"
            module.register_buffer(name, _value(module, result, values).detach().contiguous())
            with module.graph.inserting_after(result):
                result.replace_all_uses_with(module.graph.get_attr(name))
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _algebra(node: Node) -> bool:
    name = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
    return name.startswith(_NAMES)


def _value(module: GraphModule, node: Node, values: dict[Node, Any]) -> Any:
    """What the node is for every input; `_UNKNOWN` where it depends on one."""
    if node not in values:
        values[node] = _computed(module, node, values)
    return values[node]


def _computed(module: GraphModule, node: Node, values: dict[Node, Any]) -> Any:
    if node.op == "get_attr":
        return operator.attrgetter(str(node.target))(module)
    pure = isinstance(node.target, torch._ops.OpOverload) and not node.target._schema.is_mutable
    if node.op != "call_function" or not (pure or node.target is operator.getitem):
        return _UNKNOWN
    if any(_value(module, one, values) is _UNKNOWN for one in node.all_input_nodes):
        return _UNKNOWN
    args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda one: values[one])
    assert callable(node.target)
    with torch.no_grad():
        return node.target(*args, **kwargs)
