"""A PyTorch generator as one ONNX graph: dynamic batch, named by its spec, pixels made inside.

    module -> torch.onnx (no optimiser of its own) -> constants folded -> pixels appended -> names, shapes, checks

The graph ends in two outputs: the network's own float32 output, and for images the uint8 pixels

    transpose(clip(round((x - low) * 255 / (high - low)), 0, 255)) -> cast to uint8

with round half to even, to [batch, height, width, channels]. Cast comes last because TensorRT takes uint8 nowhere else.
Equal weights give equal bytes. Nothing of the machine that exported is left inside: no paths, no stack traces.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes import Sequential, common
from onnxscript.optimizer import fold_constants_ir
from torch import nn

from ganrt.latents import Draws
from ganrt.onnx_header import read_onnx_header
from ganrt.spec import Image, Port, Spec

from .half_weights import store_half
from .reference import scale_and_offset

__all__ = ["OPSET", "export_onnx"]

OPSET = 20  # the newest that the exporter writes without converting; every engine of ganrt reads it
_EXAMPLE_BATCH = 2  # a batch of one would be taken for a constant


def export_onnx(module: nn.Module, spec: Spec, *, half_weights: bool = False) -> bytes:
    """The ONNX bytes of `module`, which takes the tensors of `spec.input_ports()` in that order and is in eval mode.

    `half_weights` stores large weights as float16 and casts them in the graph: half the bytes, the same float32
    arithmetic. They must be numbers that float16 holds exactly (`half_weights.round_weights`).
    Raises SpecError when the graph is not the one that `spec` describes, FidelityError when weights would change.
    """
    model = _trace(module, spec)
    graph = model.graph
    _name_batch(graph)
    fold_constants_ir(model)
    _fix_reshapes(graph)
    if isinstance(spec.output, Image):
        _append_pixels(graph, spec.output)
    _tidy(model)
    if half_weights:
        store_half(model)
    model.producer_name, model.producer_version = "ganrt", ""
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    header = read_onnx_header(data, "The exported graph")
    spec.check_ports(header.inputs, header.outputs, "The exported graph")
    common.CheckerPass(full_check=True)(model)
    return data


def _trace(module: nn.Module, spec: Spec) -> ir.Model:
    ports = spec.input_ports()
    feeds = Draws(spec, seed=0, start=0, count=_EXAMPLE_BATCH).feeds(0, _EXAMPLE_BATCH)
    examples = tuple(torch.from_numpy(feeds[port.name]) for port in ports)
    with _quiet():
        program = torch.onnx.export(
            module,
            examples,
            dynamo=True,
            optimize=False,  # its own optimiser may drop a small epsilon; the passes here are chosen
            opset_version=OPSET,
            input_names=[port.name for port in ports],
            output_names=[_raw_port(spec).name],
            dynamic_shapes=tuple({0: torch.export.Dim.DYNAMIC} for _ in ports),
            verbose=False,
        )
    assert program is not None
    model: ir.Model = program.model
    return model


def _name_batch(graph: ir.Graph) -> None:
    """The dynamic dimension of every input and output is called `batch`; a frozen one stays as it was traced."""
    for value in [*graph.inputs, *graph.outputs]:
        if value.shape is not None and len(value.shape) and not isinstance(value.shape[0], int):
            value.shape = ir.Shape(["batch", *value.shape[1:]])


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
    pixels.shape = ir.Shape(["batch", image.height, image.width, image.channels])
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
        common.LiftConstantsToInitializersPass(lift_all_constants=True),
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
    for node in model.graph:
        node.name = node.outputs[0].name  # what an engine names in its errors and profiles
        for value in node.outputs:
            if value not in edges:
                value.shape = value.type = None  # the tracer's own size names; engines infer them again


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's notes on its own dependencies are no news to the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
