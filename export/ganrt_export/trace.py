"""A module -> an ONNX model with a dynamic batch: several ways, from the best graph to the surest.

    "traced"       torch.onnx over torch.export, which runs the Python once with symbolic sizes; then once more with an
                   `int` and a `len` that leave them symbols, where the module's code uses one
    "analysed"     the same over bytecode analysis (strict mode), for what only that can follow
    "scripted"     the older exporter, which records the calls of one run
    "per sample"   one sample's graph inside an ONNX Scan over the batch: slower, and right for every module whose
                   samples do not depend on each other

Nothing here is trusted: whoever asks takes the first whose numbers are the module's. `optimize=False` because the
optimiser of PyTorch 2.13 deletes small epsilons; the passes that follow are `to_onnx`'s own.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes import common
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ganrt.errors import legible

from .folding import fold, foldable
from .substitutes.plain_python import any_argument_names, makes_numbers, symbolic_sizes

__all__ = ["GRID_SAMPLE_OPSET", "OPSET", "Attempt", "Sizes", "attempts", "onnx_program", "over_batch", "quiet"]

OPSET = 20  # the newest that the exporter writes without converting; every engine of ganrt reads it
GRID_SAMPLE_OPSET = 18  # opset 20 renamed GridSample's modes, and engines have read the new name as another mode
_SCRIPT_OPSET = 17

_TORCH, _HERE = (str(Path(home).parent) for home in (torch.__file__, __file__))

Sizes = Sequence[Sequence[int]]  # for each input, the axes whose size may change; 0 is the batch


class Attempt(NamedTuple):
    """One way: `model` where it gave one, `problem` where it did not; `decides` is the line of the module's own code
    that asked for a value which only a run of the graph has, where that was the problem.
    """

    way: str
    model: ir.Model | None
    problem: str = ""
    decides: str = ""


def attempts(
    flat: nn.Module, inputs: Sequence[Tensor], names: Sequence[str], outputs: Sequence[str], dynamic: Sizes
) -> Iterator[Attempt]:
    """Each way in turn, lazily. `inputs` have a batch of at least 2; `dynamic` are the axes that may change."""
    yield _attempt("traced", lambda: _dynamo(flat, inputs, names, outputs, dynamic, strict=False))
    if makes_numbers(flat):
        with symbolic_sizes(flat):
            again = _attempt("traced", lambda: _dynamo(flat, inputs, names, outputs, dynamic, strict=False))
        yield again
    yield _attempt("analysed", lambda: _dynamo(flat, inputs, names, outputs, dynamic, strict=True))
    yield _attempt("scripted", lambda: _script(flat, inputs, names, outputs, dynamic))
    single = [tensor[:1].clone() for tensor in inputs]
    inner = [[axis for axis in axes if axis] for axes in dynamic]
    yield _attempt("per sample", lambda: over_batch(_dynamo(flat, single, names, outputs, inner, strict=False)))
    yield _attempt("per sample", lambda: over_batch(_dynamo(flat, single, names, outputs, inner, strict=True)))
    yield _attempt("per sample", lambda: over_batch(_script(flat, single, names, outputs, inner)))


def _attempt(way: str, make: Callable[[], ir.Model]) -> Attempt:
    try:
        with quiet(), torch.no_grad():
            return Attempt(way, make())
    except Exception as problem:  # noqa: BLE001  exporters raise anything at all
        return Attempt(way, None, _reason(problem), _deciding_line(problem))


def onnx_program(
    flat: nn.Module,
    inputs: Sequence[Tensor],
    names: Sequence[str],
    outputs: Sequence[str],
    dynamic: Sizes,
    *,
    strict: bool = False,
) -> torch.onnx.ONNXProgram:
    """PyTorch's own export, with the program it came from."""
    shapes = (tuple(dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for axes in dynamic),)
    with any_argument_names(flat):
        program = torch.export.export(flat, tuple(inputs), dynamic_shapes=shapes, strict=strict)
    if foldable(program):
        program = torch.export.export(fold(program), tuple(inputs), dynamic_shapes=shapes[0], strict=False)
    made = _translate(program, inputs, names, outputs, OPSET)
    if any(node.op_type == "GridSample" for node in made.model.graph.all_nodes()):
        made = _translate(program, inputs, names, outputs, GRID_SAMPLE_OPSET)
    return made


def _dynamo(
    flat: nn.Module,
    inputs: Sequence[Tensor],
    names: Sequence[str],
    outputs: Sequence[str],
    dynamic: Sizes,
    *,
    strict: bool,
) -> ir.Model:
    model: ir.Model = onnx_program(flat, inputs, names, outputs, dynamic, strict=strict).model
    return model


def _translate(
    program: torch.export.ExportedProgram,
    inputs: Sequence[Tensor],
    names: Sequence[str],
    outputs: Sequence[str],
    opset: int,
) -> torch.onnx.ONNXProgram:
    made = torch.onnx.export(
        program,
        tuple(inputs),
        dynamo=True,
        optimize=False,
        opset_version=opset,
        input_names=list(names),
        output_names=list(outputs),
        verbose=False,
    )
    assert made is not None
    return made


def _script(
    flat: nn.Module, inputs: Sequence[Tensor], names: Sequence[str], outputs: Sequence[str], dynamic: Sizes
) -> ir.Model:
    axes = {
        name: {axis: f"{name}_{axis}" if axis else "batch" for axis in axes}
        for name, axes in zip(names, dynamic, strict=True)
    }
    if any(dynamic):
        axes |= {name: {0: "batch"} for name in outputs}
    with TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        file = Path(folder) / "scripted.onnx"
        torch.onnx.export(
            flat,
            tuple(inputs),
            file,
            dynamo=False,
            opset_version=_SCRIPT_OPSET,
            do_constant_folding=True,
            input_names=list(names),
            output_names=list(outputs),
            dynamic_axes=axes,
        )
        decided = [str(one.message) for one in said if one.category.__name__ == "TracerWarning"]
        if decided:  # it records one run, so what was decided by a value would be decided so for ever
            raise ValueError(f"the module decides by the values of its tensors ({decided[0].partition('.')[0]})")
        return ir.from_proto(onnx.load(file))


def over_batch(model: ir.Model) -> ir.Model:
    """A graph of one sample, its inputs and outputs [1, ...], as the body of a Scan over the batch.

    Before: y[1, ...] = f(x[1, ...])        After: y[n, ...] = Scan(x[n, ...]; x_i -> Squeeze(f(Unsqueeze(x_i))))
    """
    common.InlinePass()(model)
    graph = model.graph
    nodes, outer_inputs, outer_outputs = list(graph), list(graph.inputs), list(graph.outputs)
    graph.remove(nodes)
    first = ir.Value(name="scan_axis", const_value=ir.tensor([0], dtype=ir.DataType.INT64, name="scan_axis"))
    first.shape, first.type = ir.Shape([1]), ir.TensorType(ir.DataType.INT64)
    graph.register_initializer(first)

    body_inputs, head, body_outputs, tail = [], [], [], []
    for value in outer_inputs:
        shape = value.shape
        assert shape is not None
        one = ir.Value(name=f"{value.name}_one", shape=ir.Shape(list(shape)[1:]), type=value.type)
        node = ir.node("Unsqueeze", [one, first])
        body_inputs.append(one)
        head.append(node)
        value.replace_all_uses_with(node.outputs[0], replace_graph_outputs=True)
        value.shape = ir.Shape(["batch", *list(shape)[1:]])
    results = []
    for value in list(graph.outputs):
        node = ir.node("Squeeze", [value, first])
        node.outputs[0].name = f"{value.name}_one"
        node.outputs[0].type = value.type
        if value.shape is not None:
            node.outputs[0].shape = ir.Shape(list(value.shape)[1:])
        tail.append(node)
        body_outputs.append(node.outputs[0])
    body = ir.Graph(
        body_inputs, body_outputs, nodes=[*head, *nodes, *tail], opset_imports=graph.opset_imports, name="one_sample"
    )
    scan = ir.Node(
        "",
        "Scan",
        outer_inputs,
        [ir.AttrGraph("body", body), ir.AttrInt64("num_scan_inputs", len(outer_inputs))],
        num_outputs=len(body_outputs),
    )
    for old, new in zip(outer_outputs, scan.outputs, strict=True):
        new.name, old.name = old.name, f"{old.name}_of_one"
        new.type = old.type
        sizes = list(old.shape)[1:] if old.shape is not None else None
        new.shape = None if sizes is None else ir.Shape(["batch", *sizes])
        results.append(new)
    graph.outputs.clear()
    graph.outputs.extend(results)
    graph.append(scan)
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """The exporters' notes on themselves are no news to the user, from wherever they are written."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]  # the older exporter prints its graph from C++
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nowhere, number)
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for number, descriptor in zip((1, 2), kept, strict=True):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.close(nowhere)
        logging.disable(disabled)


def _deciding_line(problem: BaseException) -> str:
    """Where in the module's own code a trace needed a value: `norm(a - b) == 0 (video.py, line 31)`."""
    chain = [problem]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(before)
    for one in reversed(chain):
        if isinstance(one, GuardOnDataDependentSymNode) or ".numpy()" in str(one):
            steps = traceback.extract_tb(one.__traceback__)
            own = [step for step in steps if not step.filename.startswith((_TORCH, _HERE))]
            if own:
                return f"{legible(own[-1].line or '', 80)} ({Path(own[-1].filename).name}, line {own[-1].lineno})"
    return ""


def _reason(problem: BaseException) -> str:
    """The innermost cause in a line."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return legible(f"{type(problem).__name__}: {lines[0] if lines else 'no reason given'}", 240)
