"""A PyTorch generator as one ONNX graph: dynamic batch, named by its spec, pixels made inside.

    module -> torch.onnx (no optimiser) -> constants and norms folded -> pixels appended -> names, shapes, checks

The graph ends in two outputs: the network's own float32 output, and for images the uint8 pixels

    transpose(clip(round((x - low) * 255 / (high - low)), 0, 255)) -> cast to uint8

with round half to even, to [batch, height, width, channels]. Cast comes last because TensorRT takes uint8 nowhere else.
Equal weights give equal bytes. Nothing of the machine that exported is left inside: no paths, no stack traces.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes import Sequential, common
from onnxscript.optimizer import fold_constants_ir
from onnxscript.rewriter import RewritePass
from onnxscript.rewriter.rules import common as rules
from torch import nn

from ganrt.errors import ExportError
from ganrt.latents import Draws
from ganrt.onnx_header import read_onnx_header
from ganrt.spec import Image, Port, Spec, Tensor

from .graph_outputs import keep_apart, rename
from .half_weights import store_half
from .reference import scale_and_offset
from .signature import Call, Flat
from .trace import OPSET, attempts, quiet

__all__ = ["OPSET", "export_onnx", "finish"]

_NORMS = (  # batch norm of what is linear is in its weights; engines fold it into Conv alone
    rules.fuse_batchnorm_into_conv_rule,
    rules.fuse_batchnorm_into_conv_transpose_rule,
    rules.fuse_batchnorm_into_gemm_rule,
)
_IDLE = (  # slices of everything, casts to the same type and the like; none takes a small number for 0
    rules.collapse_slice_rule,
    rules.no_op_cast_rule,
    rules.no_op_transpose_rule,
    rules.transpose_transpose_rule,
    rules.unsqueeze_unsqueeze_rule,
)
_EXAMPLE_BATCH = 2  # a batch of one would be taken for a constant


def export_onnx(module: nn.Module, spec: Spec, *, half_weights: bool = False) -> bytes:
    """The ONNX bytes of `module`, which takes the tensors of `spec.input_ports()` in that order and is in eval mode.

    `half_weights` stores large weights as float16 and casts them in the graph: half the bytes, the same float32
    arithmetic. They must be numbers that float16 holds exactly (`half_weights.round_weights`).
    Raises SpecError when the graph is not the one that `spec` describes, FidelityError when weights would change,
    ExportError when PyTorch cannot export the module. For modules that need more care: `export_generator`.
    """
    feeds = Draws(spec, seed=0, start=0, count=_EXAMPLE_BATCH).feeds(0, _EXAMPLE_BATCH)
    names = [port.name for port in spec.input_ports()]
    examples = [torch.from_numpy(feeds[name]) for name in names]
    call = Call(tuple(names), tuple(examples), tuple(examples), {})
    attempt = next(attempts(Flat(module, call), examples, names, [_raw_port(spec).name], [[0]] * len(names)))
    if attempt.model is None:
        raise ExportError(f"PyTorch cannot export the module: {attempt.problem}.")
    return finish(attempt.model, spec, half_weights=half_weights)


def finish(model: ir.Model, spec: Spec, *, half_weights: bool = False, trust_shapes: bool = True) -> bytes:
    """A traced model as the graph of a bundle: constants folded, pixels appended, named by its spec, checked.

    The model gives the network's own output and then what `spec.also` lists. `trust_shapes`: the tracer's shapes are
    right, so that reshapes computed at run time become constants.
    """
    graph = model.graph
    keep_apart(graph, [_raw_port(spec).name, *(one.raw for one in spec.also)])
    rename(graph.inputs, [port.name for port in spec.input_ports()])  # one that is an output too was called after it
    _name_sizes(graph, spec)
    with quiet():
        fold_constants_ir(model)
        RewritePass(_IDLE)(model)
        if not half_weights:  # numbers that float16 holds exactly would no longer be such
            RewritePass(_NORMS)(model)
        if trust_shapes:
            _fix_reshapes(graph)
        if isinstance(spec.output, Image):
            _append_pixels(graph, spec.output)
        _tidy(model)
    keep_apart(graph, [port.name for port in spec.graph_outputs()])  # two of one value were made one again
    for node in graph.all_nodes():
        node.name = node.outputs[0].name  # what an engine names in its errors and profiles
    if half_weights:
        store_half(model)
    model.producer_name, model.producer_version = "ganrt", ""
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    header = read_onnx_header(data, "The exported graph")
    spec.check_ports(header.inputs, header.outputs, "The exported graph")
    common.CheckerPass(full_check=True)(model)
    return data


def _name_sizes(graph: ir.Graph, spec: Spec) -> None:
    """Sizes that may change are called `batch` or after their tensor; one frozen by the tracer stays as it was."""
    ports = {port.name: port for port in (*spec.input_ports(), *spec.graph_outputs())}
    for value in [*graph.inputs, *graph.outputs]:
        port = ports.get(str(value.name))
        if port is None or value.shape is None or len(value.shape) != len(port.shape):
            continue
        batched = port.shape[:1] == (None,) and (port in spec.input_ports() or _is_batched(spec, port))
        sizes = [
            ("batch" if batched and axis == 0 else f"{value.name}_{axis}") if not isinstance(size, int) else size
            for axis, size in enumerate(value.shape)
        ]
        value.shape = ir.Shape(sizes)


def _is_batched(spec: Spec, port: Port) -> bool:
    return not any(isinstance(one, Tensor) and one.raw == port.name and not one.batched for one in _outputs(spec))


def _outputs(spec: Spec) -> tuple[object, ...]:
    return (spec.output, *spec.also)


def _raw_port(spec: Spec) -> Port:
    return spec.output_ports()[-1]


def _fix_reshapes(graph: ir.Graph) -> None:
    """Reshape to (batch, constants) computed at run time -> Reshape to the constant (-1, constants).

    Holds when the traced output shape has one unknown size and no empty one.
    """
    for node in list(graph):
        shape = node.outputs[0].shape if node.op_type == "Reshape" else None
        if shape is None or node.inputs[1] is None or node.inputs[1].const_value is not None:
            continue
        sizes = [size if isinstance(size, int) else -1 for size in shape]
        if sizes.count(-1) <= 1 and 0 not in sizes:
            node.replace_input_with(1, _constant(graph, f"{node.outputs[0].name}_shape", np.array(sizes, np.int64)))


def _append_pixels(graph: ir.Graph, image: Image) -> None:
    raw = graph.outputs[0]
    scale, offset = scale_and_offset(image)
    steps = _node(graph, "Mul", [raw, _constant(graph, "pixel_scale", scale)])
    steps = _node(graph, "Add", [steps, _constant(graph, "pixel_offset", offset)])
    steps = _node(graph, "Round", [steps])
    limits = [_constant(graph, "pixel_least", np.float32(0)), _constant(graph, "pixel_most", np.float32(255))]
    steps = _node(graph, "Clip", [steps, *limits])
    steps = _node(graph, "Transpose", [steps], {"perm": [0, 2, 3, 1]})
    pixels = _node(graph, "Cast", [steps], {"to": ir.DataType.UINT8.value})
    pixels.name, pixels.type = image.name, ir.TensorType(ir.DataType.UINT8)
    height, width = (raw.shape[axis] if raw.shape is not None else None for axis in (2, 3))
    pixels.shape = ir.Shape(["batch", image.height or height, image.width or width, image.channels])
    graph.outputs.insert(0, pixels)


def _node(graph: ir.Graph, op: str, inputs: list[ir.Value], attributes: dict[str, Any] | None = None) -> ir.Value:
    node = ir.node(op, inputs, attributes)
    graph.append(node)
    return node.outputs[0]


def _constant(graph: ir.Graph, name: str, array: NDArray[Any] | np.generic) -> ir.Value:
    tensor = ir.tensor(np.asarray(array), name=name)
    value = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def _tidy(model: ir.Model) -> None:
    """One graph of standard operations, nothing unused in it, and nothing said in it about where it was made."""
    Sequential(
        common.InlinePass(),
        common.IdentityEliminationPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        common.RemoveUnusedOpsetsPass(),
        common.ClearMetadataAndDocStringPass(),
        common.NameFixPass(),
    )(model)
    model.metadata_props.clear()
    model.doc_string = None
    edges = {*model.graph.inputs, *model.graph.outputs}
    edges |= {value for graph in model.graph.subgraphs() for value in (*graph.inputs, *graph.outputs)}
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if value not in edges:
                value.shape = value.type = None  # the tracer's own size names; engines infer them again
