"""An ONNX file from any framework -> a bundle: its own answers on ONNX Runtime are the reference.

A batch that its exporter froze at one is made free again: by renaming the size where the graph allows it, and by
computing one sample after the other where not. Whichever comes out is held to the file's own answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch import Tensor

from ganrt import backends
from ganrt.backends.base import Graph, Options
from ganrt.bundle import Bundle
from ganrt.errors import BackendUnavailable, ExportError, SpecError, legible
from ganrt.manifest import Precision
from ganrt.spec import Port, Spec

from .export import BATCHES, Progress, example_tensors, golden_samples
from .fidelity import Pair, fault_of, measure, serving
from .pack import BOUNDS, assemble
from .to_onnx import finish
from .trace import over_batch
from .variants import Optimize, check_wanted, make_variants

__all__ = ["export_onnx_file"]

Answer = Callable[[Sequence[Tensor]], tuple[Tensor, ...]]


def export_onnx_file(
    source: Path,
    target: Path,
    describe: Callable[[Sequence[Tensor], Sequence[str]], Spec],
    *,
    name: str | None = None,
    license: str = "",
    optimize: Optimize | None = None,
    precisions: Sequence[Precision] = (),
    int8_gate_db: float | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Wraps `source` as a bundle. `describe(outputs, input names)` gives the spec, its inputs in the file's order.

    A latent [batch, n] of the spec is reshaped to what the file takes. `optimize`, `precisions`, `int8_gate_db`: as in
    `export_generator`. Raises ExportError when the file cannot be read, its batch is frozen above one, or no graph with
    a free batch gives its answers; SpecError when the spec does not fit; ArgumentError for what cannot be asked.
    """
    tell = progress or (lambda _: None)
    check_wanted(optimize, precisions, int8_gate_db)
    if not backends.available("onnxruntime"):
        raise BackendUnavailable("An .onnx file is held to ONNX Runtime; install it: pip install 'ganrt[cpu]'")
    tell("reading the graph")
    try:
        proto = onnx.load(source)
        onnx.checker.check_model(proto)
    except FileNotFoundError as problem:
        raise ExportError(f"There is no file {source}.") from problem
    except Exception as problem:
        line = legible(str(problem).splitlines()[0] if str(problem) else type(problem).__name__, 160)
        raise ExportError(f"{source} is not an ONNX model that can be used: {line}.") from problem
    model = ir.from_proto(proto)
    free = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    if not free:
        raise ExportError(f"{source} takes no input, so it is no generator.")
    frozen = _frozen_batch(free, source)
    own = _Original(proto, [str(value.name) for value in free], free, 1 if frozen else None)
    spec = describe(own(own.examples()), own.names)
    ports = spec.input_ports()
    if len(ports) != len(free):
        raise SpecError(f"{source} takes {len(free)} inputs ({', '.join(own.names)}), the spec describes {len(ports)}.")
    batches = [example_tensors(spec, batch, seed=batch) for batch in BATCHES]
    pairs = [Pair.of(spec, inputs, own(_reshaped(inputs, own))) for inputs in batches]
    graph, way = _free_batch(proto, spec, bool(frozen), pairs, tell)
    tell("checking every engine")
    found = measure(spec, graph, pairs)
    found = serving(found, BOUNDS["fp32"])
    variants = make_variants(
        spec,
        graph,
        pairs,
        mapping=None,
        optimize=optimize,
        precisions=precisions,
        int8_gate_db=int8_gate_db,
        tell=tell,
    )
    goldens, inputs, rows = golden_samples(spec, lambda given: own(_reshaped(given, own)), pairs)
    return assemble(
        target,
        spec,
        graph,
        found,
        goldens=goldens,
        golden_inputs=inputs,
        golden_rows=rows,
        variants=variants,
        name=name or target.name.removesuffix(".ganrt"),
        family="onnx",
        license=license,
        provenance={
            "traced": way,
            "source": source.name,
            "parameters": sum(int(np.prod(i.dims)) for i in proto.graph.initializer),
            **({"notes": list(variants.notes)} if variants.notes else {}),
        },
    )


class _Original:
    """The file as it is, on ONNX Runtime; one sample at a time where its batch is frozen at one."""

    def __init__(
        self, proto: onnx.ModelProto, names: Sequence[str], free: Sequence[ir.Value], batch: int | None
    ) -> None:
        self.names, self.batch = tuple(names), batch
        self.shapes = [tuple(size if isinstance(size, int) else None for size in value.shape or ()) for value in free]
        self.dtypes = [value.dtype.numpy() if value.dtype is not None else np.dtype("float32") for value in free]
        self.outputs = [value.name for value in proto.graph.output]
        self._session = backends.open_session(
            "onnxruntime", Graph(proto.SerializeToString(), "", "fp32"), Options(threads=1)
        )

    def examples(self) -> tuple[Tensor, ...]:
        chance = torch.Generator().manual_seed(0)
        made = []
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            sizes = [self.batch or 2, *(size or 16 for size in shape[1:])]
            made.append(torch.from_numpy(torch.rand(*sizes, generator=chance).numpy().astype(dtype)))
        return tuple(made)

    def __call__(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        arrays = [np.ascontiguousarray(tensor.numpy()) for tensor in inputs]
        if self.batch is None:
            return self._run(arrays)
        rows = [self._run([array[i : i + 1] for array in arrays]) for i in range(len(arrays[0]))]
        return tuple(torch.cat(column) for column in zip(*rows, strict=True))

    def _run(self, arrays: Sequence[Any]) -> tuple[Tensor, ...]:
        found = self._session.evaluate(dict(zip(self.names, arrays, strict=True)), self.outputs)
        return tuple(torch.from_numpy(found[name]) for name in self.outputs)


def _frozen_batch(free: Sequence[ir.Value], source: Path) -> int:
    """1 where the batch is frozen at one, 0 where it is free."""
    first = [value.shape[0] if value.shape else None for value in free]
    if any(isinstance(size, int) and size != 1 for size in first):
        size = next(size for size in first if isinstance(size, int) and size != 1)
        raise ExportError(
            f"{source} was exported for a batch of {size} alone; export it for one sample, or with a dynamic batch."
        )
    return 1 if any(isinstance(size, int) for size in first) else 0


def _reshaped(inputs: Sequence[Tensor], own: _Original) -> list[Tensor]:
    """The spec's tensors in the shapes that the file takes: [batch, n] -> [batch, n, 1, 1]."""
    return [
        tensor if tensor.ndim == len(shape) else tensor.reshape(len(tensor), *(size or -1 for size in shape[1:]))
        for tensor, shape in zip(inputs, own.shapes, strict=True)
    ]


def _free_batch(
    proto: onnx.ModelProto, spec: Spec, frozen: bool, pairs: Sequence[Pair], tell: Callable[[str], None]
) -> tuple[bytes, str]:
    """The graph with a free batch, and how it was made."""
    problems = []
    ways: list[tuple[str, Callable[[ir.Model], ir.Model]]] = [
        ("as it is" if not frozen else "batch renamed", lambda model: model)
    ]
    if frozen:
        ways.append(("per sample", over_batch))
    for way, change in ways:
        tell(f"trying the graph {way}")
        try:
            model = ir.from_proto(proto)
            model = change(_named(model, spec))
            graph = finish(model, spec, trust_shapes=False)
            problem = fault_of(spec, graph, pairs)
        except Exception as failed:  # noqa: BLE001  a checker or an engine refuses it: the next way
            problem = str(failed).splitlines()[0] if str(failed) else type(failed).__name__
        if not problem:
            return graph, way
        problems.append(f"{way}: {problem}")
    raise ExportError(f"No graph with a free batch gives the file's own answers. Tried: {'; '.join(problems)[:600]}.")


def _named(model: ir.Model, spec: Spec) -> ir.Model:
    """Inputs and outputs under the spec's names, the batch free, reshaped where the file takes another rank."""
    graph = model.graph
    free = [value for value in graph.inputs if value.name not in graph.initializers]
    graph.inputs.clear()
    graph.inputs.extend(free)
    for index, (value, port) in enumerate(zip(free, spec.input_ports(), strict=True)):
        shape = list(value.shape or ())
        if len(shape) == len(port.shape):
            value.name = port.name
            value.shape = ir.Shape(["batch", *shape[1:]])
            continue
        given = ir.Value(name=port.name, shape=ir.Shape(["batch", *port.shape[1:]]), type=value.type)
        sizes = ir.tensor(
            [-1, *(size if isinstance(size, int) else 1 for size in shape[1:])],
            dtype=ir.DataType.INT64,
            name=f"{port.name}_shape",
        )
        constant = ir.Value(
            name=f"{port.name}_shape",
            shape=ir.Shape([len(shape)]),
            type=ir.TensorType(ir.DataType.INT64),
            const_value=sizes,
        )
        graph.register_initializer(constant)
        node = ir.node("Reshape", [given, constant])
        value.replace_all_uses_with(node.outputs[0])
        graph.insert_before(graph[0], node)
        graph.inputs[index] = given
    ports: Mapping[int, Port] = dict(
        enumerate((spec.output_ports()[-1], *spec.graph_outputs()[len(spec.output_ports()) :]))
    )
    for index, value in enumerate(graph.outputs):
        value.name = ports[index].name
        if value.shape is not None:
            value.shape = ir.Shape(["batch", *list(value.shape)[1:]])
    return model
