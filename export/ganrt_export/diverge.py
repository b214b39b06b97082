"""Where a graph leaves its module: the first operation whose result is not PyTorch's, by running both step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir as ir
import torch
from torch import Tensor, fx

from ganrt import backends
from ganrt.backends.base import Graph, Options

from .fidelity import RELATIVE, relative_error

__all__ = ["first_difference"]


class _Recorder(fx.Interpreter):
    """Keeps every tensor that an operation gives, by the operation's name."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.seen: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.seen[n.name] = result.detach().clone()
        return result


def first_difference(program: Any, inputs: Sequence[Tensor]) -> str:
    """The first operation in `program`, a torch.onnx.ONNXProgram, whose result differs, as "name (operator), error".

    Empty when none does or it cannot be told: names of the two graphs need not agree everywhere.
    """
    exported = program.exported_program
    with torch.no_grad():
        recorder = _Recorder(exported.graph_module)
        recorder.run(*_arguments(exported, inputs))
    proto = ir.to_proto(program.model)
    operators = {name: node.op_type for node in proto.graph.node for name in node.output}
    watched = [name for name in operators if name in recorder.seen]
    outputs = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in watched if name not in outputs)
    session = backends.open_session("onnxruntime", Graph(proto.SerializeToString(), "", "fp32"), Options(threads=1))
    names = [value.name for value in proto.graph.input]
    found = session.evaluate({name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}, watched)
    for name in watched:
        error = relative_error(found[name], recorder.seen[name].numpy())
        if not error <= RELATIVE:
            return f"'{name}' ({operators[name]}), {error:.2g} off"
    return ""


def _arguments(exported: torch.export.ExportedProgram, inputs: Sequence[Tensor]) -> list[Any]:
    """What the lifted graph takes: its weights and constants, then the inputs."""
    given, values = iter(inputs), []
    for part in exported.graph_signature.input_specs:
        target = part.target
        if part.kind == torch.export.graph_signature.InputKind.USER_INPUT:
            values.append(next(given))
        elif target in exported.state_dict:
            values.append(exported.state_dict[target])
        else:
            values.append(exported.constants[target])
    return values
