"""`export_generator`: any PyTorch module in, one verified bundle out, or one true sentence.

example or spec -> oracle -> the first way of tracing whose numbers are the module's -> every engine -> bundle
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganrt.backends.chain import W
from ganrt.bundle import Bundle
from ganrt.errors import ArgumentError, BackendError, ExportError, OutputError, SpecError
from ganrt.latents import Draws
from ganrt.manifest import Golden, Precision
from ganrt.spec import Latent, Port, Signal, Spec, Table
from ganrt.spec import Tensor as Numbers

from .derive import derive_spec
from .diverge import first_difference
from .fidelity import RELATIVE, Pair, fault_of, hold, measure, relative_error, serving
from .goldens import choose_goldens
from .noise_inputs import open_noise
from .oracle import Oracle
from .pack import BOUNDS, assemble
from .signature import Flat, call_of
from .substitutes import Substitutes
from .substitutes.modules import prepare
from .substitutes.random import Noise
from .to_onnx import finish
from .trace import Sizes, attempts, onnx_program, quiet
from .variants import Optimize, check_wanted, make_variants

__all__ = ["BATCHES", "Progress", "example_tensors", "export_generator", "golden_samples"]

Progress: TypeAlias = Callable[[str], None]
Inside: TypeAlias = Callable[[Any], Any]  # batch -> a context for the module's forward
BATCHES = (1, 2, 3, 8)  # every graph is held to the module at these
_SAMPLES = 256
_PATIENCE_S = 30.0  # of running the module for more samples than the batches above need
_GOLDENS = 3  # rows of inputs that a bundle with signals brings
_GOLDEN_BYTES = 8 << 20  # of outputs, unless one row is larger
_LARGE = 1 << 17  # numbers in a batch of two beyond which other sizes are tried near the example's, not at twice it
_EXAMPLE_SIZES = {"image": 64, "mask": 64, "mel": 32, "audio": 4096, "tensor": 16}  # where a spec says any


def export_generator(
    module: nn.Module,
    path: str | os.PathLike[str],
    spec: Spec | None = None,
    example_inputs: Any = None,
    *,
    name: str | None = None,
    family: str = "",
    description: str = "",
    license: str = "",
    quality: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    noise: Literal["refuse", "freeze", "input"] = "refuse",
    sizes: Literal["auto", "fixed"] = "auto",
    half_weights: bool = False,
    optimize: Optimize | None = None,
    precisions: Sequence[Precision] = (),
    int8_gate_db: float | None = None,
    progress: Progress | None = None,
) -> Bundle:
    """Exports a module in eval mode as one bundle, after every engine here gave what PyTorch gives.

    `module`: takes tensors, in any arrangement of arguments, the batch first in each. `path`: NAME.ganrt, or a new
    folder. `spec`: what the inputs and the output mean; its inputs are the module's, in order. `example_inputs`: a
    tensor, a tuple of arguments or a dict of them by name; without a spec one is derived from them, float inputs
    becoming signals and whole numbers labels. One of the two must be given.
    `noise`: a module that draws random numbers in its forward is refused; or its noise is frozen, one sample's noise
    for all; or it becomes an input, latents noise_0, noise_1, ... of the spec. `sizes`: heights, widths and lengths of
    signals may change where the module allows it and the graph is right at other sizes too ("auto"), or stay as in the
    example ("fixed").
    `half_weights`: the module's weights were rounded by `half_weights.round_weights` and are stored as float16.
    `optimize`: beside the plain graph the bundle holds exact forms of it in fewer operations ("count"), or with each
    layer as it runs fastest here ("measure"), or none ("off"); the machine that loads it chooses by measurement. By
    default "count", and "off" for graphs above 64 MiB, which the forms would double.
    `precisions`: of "fp16" and "int8", graphs that the bundle holds too, each within its gate. `int8_gate_db`: least
    PSNR of the int8 graph, 38 dB if left out; what it misses by stays float32. A graph within 50 dB and with 99.5 % of
    its pixels within one step is taken by `precision="auto"` where it is faster.

    Returns the bundle, opened. Raises ExportError when the module is no function of its inputs or cannot be exported,
    FidelityError when a graph came out that is not the module or a precision does not pass its gate, SpecError when
    spec and module disagree, OutputError when the bundle cannot be written. Nothing half-written is left.
    """
    target, tell = Path(path), progress or (lambda _: None)
    _check_target(target)
    check_wanted(optimize, precisions, int8_gate_db)
    if spec is None and example_inputs is None:
        raise ArgumentError("export_generator needs a spec or example_inputs, to know what the module takes.")
    if not isinstance(module, nn.Module):
        raise ArgumentError(f"export_generator takes a torch.nn.Module, not a {type(module).__name__}.")
    scripted = next((name for name, part in module.named_modules() if isinstance(part, torch.jit.ScriptModule)), None)
    if scripted is not None:
        which = f"A part of the module, '{scripted}'," if scripted else "The module"
        raise ExportError(
            f"{which} is a TorchScript program, which PyTorch's exporters do not follow; build it from its Python code "
            "and load the weights."
        )
    tell("asking the module")
    examples = example_tensors(spec) if example_inputs is None and spec is not None else example_inputs
    frozen = (lambda batch: Noise("freeze", batch=batch)) if noise == "freeze" else None
    call = call_of(module, examples)
    latents: tuple[Latent, ...] = ()
    if noise == "input":
        module, call, latents = open_noise(module, call)
        spec = spec and msgspec.structs.replace(spec, inputs=(*spec.inputs, *latents))
    prepared, said = prepare(module)
    oracle = Oracle(module, call, frozen)
    if said:
        oracle = _alone(oracle, prepared, frozen)
    if spec is not None:
        _check_inputs(spec, oracle)
    mapping = None
    if spec is not None and isinstance(module, TwoGraphs):
        mapping, chosen = _trace_halves(oracle, module, spec, half_weights, tell)
    else:
        chosen = _trace(oracle, prepared, spec, sizes, half_weights, frozen, tell, latents)
    tell("asking the module for 256 samples")
    pairs = list(_pairs(chosen.spec, oracle, chosen.answers))
    goldens, inputs, rows = golden_samples(chosen.spec, oracle.outputs, pairs) if oracle.alone else ((), {}, None)
    del prepared, oracle  # two copies of the weights
    tell("checking every engine")
    found = measure(chosen.spec, chosen.graph, pairs, mapping)
    if rows is None:
        hold(found, BOUNDS["fp32"])  # nothing would keep an engine that is off from serving
    found = serving(found, BOUNDS["fp32"])
    if all(figures.fault for figures in found.values()):
        raise BackendError(next(iter(found.values())).fault)
    variants = make_variants(
        chosen.spec,
        chosen.graph,
        pairs,
        mapping=mapping,
        optimize=optimize,
        precisions=precisions,
        int8_gate_db=int8_gate_db,
        tell=tell,
    )
    said = (*said, *variants.notes)
    tell("packing")
    return assemble(
        target,
        chosen.spec,
        chosen.graph,
        found,
        goldens=goldens,
        golden_inputs=inputs,
        golden_rows=rows,
        mapping=mapping,
        variants=variants,
        name=name or target.name.removesuffix(".ganrt") or "generator",
        family=family or type(module).__name__,
        description=description,
        license=license,
        quality=quality,
        provenance={
            **(provenance or {}),
            "traced": chosen.way,
            "parameters": sum(weight.numel() for weight in module.parameters()),
            **({"notes": [*notes, *said, *chosen.notes]} if notes or said or chosen.notes else {}),
        },
    )


def _alone(oracle: Oracle, prepared: nn.Module, frozen: Inside | None) -> Oracle:
    """An oracle for a module whose samples depend on their batch: what it answers to each sample alone."""
    ready = Oracle(prepared, oracle.call, frozen)
    inputs, expected = oracle.answers(1)
    for name, found, wanted in zip(oracle.output_names, ready.outputs(inputs), expected, strict=True):
        if not relative_error(found.numpy(), wanted.numpy()) <= RELATIVE:
            raise ExportError(
                f"The module uses its batch's own statistics, and no form of it gives the output '{name}' of a sample "
                "alone; call eval() on it first, or train it with instance norm."
            )
    return ready


@runtime_checkable
class TwoGraphs(Protocol):
    """A module that is a mapping and a synthesis, and wants to be two graphs: styles can then be mixed and kept.

    `halves()`: the first takes what the module takes and gives w [batch, ...], the second gives what the module gives.
    """

    def halves(self) -> tuple[nn.Module, nn.Module]: ...


class _Chosen(NamedTuple):
    way: str
    spec: Spec
    graph: bytes
    answers: list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]
    notes: tuple[str, ...]


def _trace(
    oracle: Oracle,
    prepared: nn.Module,
    spec: Spec | None,
    sizes: str,
    half_weights: bool,
    frozen: Inside | None,
    tell: Progress,
    latents: Sequence[Latent] = (),
) -> _Chosen:
    """The first graph whose numbers are the module's, at every batch and size it is meant for."""
    answers = [oracle.answers(batch) for batch in BATCHES]
    problems: list[str] = []
    decides = ""
    for changing in _plans(oracle, spec, sizes):
        try:
            elsewhere = list(_at_other_sizes(oracle, changing))
        except ExportError:
            if spec is not None:
                raise
            continue  # the module wants the size of its example
        every = [*answers, *elsewhere]
        oracle.batches = tuple(len(inputs[0]) for inputs, _ in every)
        described = spec or derive_spec(oracle, changing, [outputs for _, outputs in every], latents)
        names, outputs = list(oracle.call.names), [port.name for port in _network_outputs(described)]
        if spec is not None:
            names = [port.name for port in spec.input_ports()]
        flat = Flat(prepared, oracle.call, _inside(frozen))
        dynamic = [[0, *axes] for axes in changing]
        example, _ = answers[BATCHES.index(2)]
        for attempt in attempts(flat, example, names, outputs, dynamic):
            tell(f"tracing ({attempt.way})")
            if attempt.model is None:
                problems.append(f"{attempt.way}: {attempt.problem}")
                decides = decides or attempt.decides
                continue
            try:
                graph = finish(
                    attempt.model, described, half_weights=half_weights, trust_shapes=attempt.way == "traced"
                )
                problem = fault_of(described, graph, [Pair.of(described, *answer) for answer in every])
            except Exception as failed:  # noqa: BLE001  a checker or an engine refuses it: the next way
                problem = f"{type(failed).__name__}: {str(failed).splitlines()[0] if str(failed) else ''}"
            if problem:
                problems.append(f"{attempt.way}: {problem}")
                continue
            notes = []
            if attempt.way == "per sample":
                notes.append(
                    "The graph computes one sample after the other: the module could not be traced for any batch."
                )
            return _Chosen(attempt.way, described, graph, every, tuple(notes))
    if decides:
        raise ExportError(
            f"The module asks for the values of its tensors, which a graph has only when it runs: {decides}; keep to "
            "functions of tensors there, such as torch.where for a choice, or leave it to whoever calls the module."
        )
    told = "; ".join(dict.fromkeys(problems))[:900]
    if oracle.random:
        told = f"{told}. It draws random numbers inside ({oracle.random}): pass noise='freeze' or noise='input'"
    where = _where(flat, example, names, outputs, dynamic)
    raise ExportError(f"No way of exporting the module gives what PyTorch gives.{where} Tried: {told}.")


def _where(
    flat: nn.Module, inputs: Sequence[Tensor], names: Sequence[str], outputs: Sequence[str], dynamic: Sizes
) -> str:
    """A sentence that names the first operation of the traced graph that differs; empty where none can be named."""
    try:
        with quiet(), torch.no_grad():
            first = first_difference(onnx_program(flat, inputs, names, outputs, dynamic), inputs)
    except Exception:  # noqa: BLE001  it could not even be traced, which the list of what was tried says
        return ""
    return f" The first difference is at {first}." if first else ""


def _trace_halves(
    oracle: Oracle, module: TwoGraphs, spec: Spec, half_weights: bool, tell: Progress
) -> tuple[bytes, _Chosen]:
    """The graph from the inputs to w, and the one from w to the output, which answers for the whole."""
    first, second = module.halves()
    example = oracle.call.tensors
    with torch.no_grad():
        w = first(*example)
    to_w = Spec(inputs=spec.inputs, output=Numbers(shape=tuple(w.shape[1:]), raw=W))
    from_w = Spec(inputs=(Signal(name=W, kind="tensor", shape=tuple(w.shape[1:])),), output=spec.output)
    mapping = _trace(Oracle(first, call_of(first, example)), first, to_w, "fixed", half_weights, None, tell)
    synthesis = _trace(Oracle(second, call_of(second, (w,))), second, from_w, "fixed", half_weights, None, tell)
    way = mapping.way if mapping.way == synthesis.way else f"{mapping.way}, {synthesis.way}"
    answers = [oracle.answers(batch) for batch in BATCHES]
    return mapping.graph, _Chosen(way, spec, synthesis.graph, answers, (*mapping.notes, *synthesis.notes))


def _inside(frozen: Inside | None) -> Inside:
    def inside(batch: Any) -> Any:
        stack = ExitStack()
        stack.enter_context(Substitutes())
        if frozen is not None:
            stack.enter_context(frozen(batch))
        return stack

    return inside


def _plans(oracle: Oracle, spec: Spec | None, sizes: str) -> Iterator[list[list[int]]]:
    """For each input, the axes beside the batch that may change: as the spec says, or all that could and then none."""
    if spec is not None:
        yield [[axis for axis, size in enumerate(port.shape) if axis and size is None] for port in spec.input_ports()]
        return
    spatial = [
        [axis for axis in range(2, tensor.ndim) if tensor.shape[axis] > 1] if tensor.is_floating_point() else []
        for tensor in oracle.call.tensors
    ]
    if sizes == "auto" and any(spatial):
        yield spatial
    yield [[] for _ in oracle.call.tensors]


def _at_other_sizes(
    oracle: Oracle, changing: Sequence[Sequence[int]]
) -> Iterator[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
    """The module's answers to larger and odd sizes on the axes that may change. Raises ExportError if it has none."""
    if not any(changing):
        return
    told: list[str] = []
    large = max(tensor.numel() * 2 // len(tensor) for tensor in oracle.call.tensors) > _LARGE
    growths = ((1, 8), (1, 16), (1, 5)) if large else ((2, 0), (1, 8), (1, 5))
    for times, more in growths:
        inputs = []
        for tensor, axes in zip(oracle.inputs(2, seed=3), changing, strict=True):
            for axis in axes:
                index = torch.arange(times * tensor.shape[axis] + more) % tensor.shape[axis]
                tensor = tensor.index_select(axis, index)
            inputs.append(tensor.contiguous())
        try:
            yield tuple(inputs), oracle.outputs(inputs)
        except Exception as problem:  # noqa: BLE001  a size that the module does not take
            told.append(str(problem).splitlines()[0] if str(problem) else type(problem).__name__)
    if len(told) == 3:
        raise ExportError(f"The module runs at no other size than its example's: {told[0]}.")


def _network_outputs(spec: Spec) -> tuple[Port, ...]:
    """What the module itself gives: every output but the pixels."""
    return (spec.output_ports()[-1], *spec.graph_outputs()[len(spec.output_ports()) :])


def _pairs(
    spec: Spec, oracle: Oracle, answers: Sequence[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]
) -> Iterator[Pair]:
    """Inputs and answers for the gate: those at hand, then more until there are 256 samples or patience ends."""
    started, total, seed = time.perf_counter(), 0, 0
    queue = list(answers)
    while queue or (total < _SAMPLES and time.perf_counter() - started < _PATIENCE_S):
        if queue:
            inputs, outputs = queue.pop(0)
        elif spec.signals:
            seed += 1
            inputs, outputs = oracle.answers(8, seed)
        else:
            draws = Draws(spec, seed=20_160, start=total, count=min(32, _SAMPLES - total))
            inputs = _tensors(spec, draws)
            outputs = oracle.outputs(inputs)
        total += len(inputs[0])
        yield Pair.of(spec, inputs, outputs)


def golden_samples(
    spec: Spec, answer: Callable[[Sequence[Tensor]], Sequence[Tensor]], pairs: Sequence[Pair]
) -> tuple[tuple[Golden, ...], dict[str, NDArray[Any]], NDArray[Any] | None]:
    """Reference samples and their outputs: drawn ones, or where the graph takes a signal a pair's rows and inputs."""
    if not _batched(spec):
        return (), {}, None
    if spec.signals:
        pair = pairs[BATCHES.index(_GOLDENS)]
        rows = max(1, min(_GOLDENS, _GOLDEN_BYTES // max(1, pair.outputs[0][:1].nbytes)))
        inputs = {name: array[:rows] for name, array in pair.inputs.items()}
        return tuple(Golden(seed=0, index=index) for index in range(rows)), inputs, pair.outputs[0][:rows]
    goldens = choose_goldens(spec)
    answers = [answer(_tensors(spec, Draws.of(spec, golden)))[0].numpy() for golden in goldens]
    return goldens, {}, np.concatenate(answers)


def _tensors(spec: Spec, draws: Draws) -> tuple[Tensor, ...]:
    feeds = draws.feeds(0, draws.count)
    return tuple(torch.from_numpy(np.ascontiguousarray(feeds[port.name])) for port in spec.input_ports())


def _batched(spec: Spec) -> bool:
    return getattr(spec.output, "batched", True)


def example_tensors(spec: Spec, batch: int = 2, seed: int = 0) -> tuple[Tensor, ...]:
    """Inputs for a spec: drawn, and for signals random within their usual range."""
    drawn = tuple(part for part in spec.inputs if not isinstance(part, Signal))
    without = Spec(inputs=drawn, output=Table(columns=("any",))) if drawn else None
    feeds: dict[str, Any] = Draws(without, seed, 0, batch).feeds(0, batch) if without else {}
    chance = torch.Generator().manual_seed(seed)
    signals = {part.name: _signal(part, batch, chance) for part in spec.signals}
    return tuple(
        signals[port.name] if port.name in signals else torch.from_numpy(np.ascontiguousarray(feeds[port.name]))
        for port in spec.input_ports()
    )


def _signal(part: Signal, batch: int, chance: torch.Generator) -> Tensor:
    sizes = [batch, *(size or _EXAMPLE_SIZES[part.kind] for size in part.shape)]
    match part.kind:
        case "mask":
            made = (torch.rand(sizes, generator=chance) > 0.5).float()
        case "mel" | "tensor":
            made = torch.randn(sizes, generator=chance)
        case "audio":
            made = torch.rand(sizes, generator=chance) * 2 - 1
        case "image":
            made = torch.rand(sizes, generator=chance)
    dtype: torch.dtype = getattr(torch, part.dtype)
    return (made * 255 if dtype == torch.uint8 else made).to(dtype)


def _check_inputs(spec: Spec, oracle: Oracle) -> None:
    """Raises SpecError when the example is not what the spec says the inputs are."""
    ports = spec.input_ports()
    if len(ports) != len(oracle.call.tensors):
        listing = ", ".join(port.name for port in ports)
        raise SpecError(f"The spec has {len(ports)} inputs ({listing}), the example inputs {len(oracle.call.tensors)}.")
    if len(oracle.output_names) != len(_network_outputs(spec)):
        raise SpecError(
            f"The module gives {len(oracle.output_names)} tensors ({', '.join(oracle.output_names)}), the spec "
            f"describes {len(_network_outputs(spec))}; list the others in its 'also', or wrap the module."
        )
    for port, tensor in zip(ports, oracle.call.tensors, strict=True):
        fits = tensor.ndim == len(port.shape) and all(
            size in (None, found) for size, found in zip(port.shape, tensor.shape, strict=True)
        )
        if not fits or str(tensor.dtype) != f"torch.{port.dtype}":
            wanted = ", ".join("any" if size is None else str(size) for size in ("batch", *port.shape[1:]))
            raise SpecError(
                f"The spec says '{port.name}' is {port.dtype} [{wanted}]; the example is "
                f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}."
            )
    given = oracle.outputs(oracle.call.tensors)
    for port, tensor in zip(_network_outputs(spec), given, strict=True):
        fits = tensor.ndim == len(port.shape) and all(
            size in (None, found) for size, found in zip(port.shape[1:], tensor.shape[1:], strict=True)
        )
        if not fits:
            wanted = ", ".join("any" if size is None else str(size) for size in ("batch", *port.shape[1:]))
            raise SpecError(
                f"The spec says the output '{port.name}' is [{wanted}]; the module gives {list(tensor.shape)}."
            )


def _check_target(target: Path) -> None:
    """What would fail after the work fails before it."""
    folder = target.absolute().parent
    if not folder.is_dir():
        raise OutputError(f"The folder {folder} does not exist; make it, or choose another place.")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder} cannot be written to; choose another place.")
    if target.suffix.lower() == ".ganrt" and target.is_dir():
        raise OutputError(f"{target} is a folder; choose another name.")
    if target.suffix.lower() != ".ganrt" and target.exists():
        raise OutputError(f"{target} exists already; remove it or choose another name.")
