"""A spec from example inputs alone: floats become signals, whole numbers labels, and the outputs tensors.

Nothing is guessed that could be wrong: how a float is distributed, or which range a picture has, an example cannot
tell, so a derived spec runs by `Generator.run`. A spec that says more makes `sample`, pixels and sound possible.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ganrt import spec as specs
from ganrt.errors import ExportError
from ganrt.spec import Input, Label, Latent, Signal, Spec

from .oracle import Oracle
from .signature import output_names

__all__ = ["derive_spec", "dtype_name"]

_DTYPES = {
    torch.float32: "float32", torch.float64: "float64", torch.float16: "float16", torch.uint8: "uint8",
    torch.int32: "int32", torch.int64: "int64", torch.bool: "bool",
}  # fmt: skip


def dtype_name(tensor: Tensor, what: str) -> str:
    """The type as a spec names it. Raises ExportError for one that no graph of ganrt takes."""
    name = _DTYPES.get(tensor.dtype)
    if name is None:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ExportError(f"{what} is {kind}; a graph takes and gives {', '.join(_DTYPES.values())}.")
    return name


def derive_spec(
    oracle: Oracle,
    changing: Sequence[Sequence[int]],
    outputs: Sequence[Sequence[Tensor]],
    latents: Sequence[Latent] = (),
) -> Spec:
    """The spec of a module by what its oracle showed.

    `changing`: for each input, the axes beside the batch whose size may change. `outputs`: the module's answers to
    inputs of several batches and sizes; a size that differs between them is any. `latents`: inputs that are known.
    """
    call = oracle.call
    classes, known = _classes(oracle), {latent.name: latent for latent in latents}
    inputs: list[Input] = []
    for name, tensor, axes in zip(call.names, call.tensors, changing, strict=True):
        if name in known:
            inputs.append(known[name])
            continue
        kind = dtype_name(tensor, f"The input '{name}'")
        if kind == "int64" and tensor.ndim == 1 and name in classes and not any(isinstance(p, Label) for p in inputs):
            inputs.append(Label(classes=classes[name], name=name))
            continue
        shape = tuple(None if axis in axes else size for axis, size in enumerate(tensor.shape) if axis)
        inputs.append(Signal(name=name, kind="tensor", shape=shape, dtype=kind))  # type: ignore[arg-type]
    names = output_names(oracle.output_names, call.names)
    main, *also = (
        _tensor(name, answers, oracle.batches) for name, answers in zip(names, zip(*outputs, strict=True), strict=True)
    )
    return Spec(inputs=tuple(inputs), output=main, also=tuple(also))


def _tensor(name: str, answers: Sequence[Tensor], batches: Sequence[int]) -> specs.Tensor:
    """An output as its answers show it: its first size is the batch, or it has none."""
    shapes = [tuple(answer.shape) for answer in answers]
    if len({len(shape) for shape in shapes}) > 1:
        other = next(place for place, shape in enumerate(shapes) if len(shape) != len(shapes[0]))
        raise ExportError(
            f"The output '{name}' is {list(shapes[0])} for a batch of {batches[0]} and {list(shapes[other])} "
            f"for one of {batches[other]}; a graph's output has one number of dimensions, so keep its batch."
        )
    sizes = [sizes.pop() if len(sizes := set(column)) == 1 else None for column in zip(*shapes, strict=True)]
    batched = bool(sizes) and all(shape[0] == batch for shape, batch in zip(shapes, batches, strict=True))
    dtype = dtype_name(answers[0], f"The output '{name}'")
    return specs.Tensor(shape=tuple(sizes[batched:]), raw=name, batched=batched, dtype=dtype)  # type: ignore[arg-type]


def _classes(oracle: Oracle) -> dict[str, int]:
    """Inputs that are looked up in an embedding as they are, and how many rows it has."""
    found: dict[str, int] = {}
    whole = {
        name: tensor
        for name, tensor in zip(oracle.call.names, oracle.call.tensors, strict=True)
        if tensor.dtype == torch.int64 and tensor.ndim == 1
    }

    def watch(module: nn.Embedding, given: tuple[Tensor, ...]) -> None:
        for name, tensor in whole.items():
            if given and given[0].shape == tensor.shape and torch.equal(given[0], tensor):
                found.setdefault(name, module.num_embeddings)

    handles = [
        part.register_forward_pre_hook(watch) for part in oracle.flat.modules() if isinstance(part, nn.Embedding)
    ]
    try:
        oracle.outputs(oracle.call.tensors)
    finally:
        for handle in handles:
            handle.remove()
    return found
