"""Any module as a function of tensors to tensors, each with a name: what a graph is.

Arguments and results may be tensors, tuples, lists, mappings, dataclasses and None, nested in any way; the tensors in
them are the graph's inputs and outputs, named after the parameters, keys and fields that lead to them. Everything else
in the arguments is a constant of the graph.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganrt.errors import ExportError

__all__ = ["Call", "Flat", "call_of", "leaves", "output_names", "rebuild"]


class Call(NamedTuple):
    """Example arguments of a module: `names` and `tensors` of the leaves, in order; the rest around them."""

    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Flat(nn.Module):
    """`module` behind positional tensors: `forward(*tensors)` returns a tuple of tensors.

    Positional, so that no parameter name of the module can collide with one of the tracer. `inside(batch)` gives a
    context that the module's own forward runs in.
    """

    def __init__(self, module: nn.Module, call: Call, inside: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        self.module = module
        self._call, self._inside = call, inside

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = iter(tensors)
        args, kwargs = rebuild((self._call.args, self._call.kwargs), given)
        if self._inside is None:
            result = self.module(*args, **kwargs)
        else:
            with self._inside(tensors[0].shape[0]):
                result = self.module(*args, **kwargs)
        return tuple(tensor for _, tensor in leaves(result, "output"))


def call_of(module: nn.Module, example_inputs: Any) -> Call:
    """The call that `example_inputs` describe: a tensor, a tuple of arguments, or a dict of arguments by name.

    numpy arrays count as tensors. Raises ExportError when there is no tensor in them, or the first dimensions differ.
    """
    args, kwargs = _arguments(module, example_inputs)
    named = [*zip(_positional(module, len(args)), args, strict=True), *kwargs.items()]
    found = [leaf for name, value in named for leaf in leaves(value, name)]
    if not found:
        raise ExportError("The example inputs hold no tensor; give one for each input, the batch first.")
    names = _unique([name for name, _ in found])
    tensors = tuple(tensor for _, tensor in found)
    for name, tensor in zip(names, tensors, strict=True):
        if tensor.ndim == 0:
            raise ExportError(
                f"The example input '{name}' is one number for the whole batch, and the first dimension of every input "
                f"is the batch; give it as a Python number ({tensor.item():g}), which the graph then keeps."
            )
        if 0 in tensor.shape:
            raise ExportError(f"The example input '{name}' is {list(tensor.shape)}, which is empty.")
    sizes = {name: len(tensor) for name, tensor in zip(names, tensors, strict=True)}
    if len(set(sizes.values())) > 1:
        listing = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ExportError(f"The example inputs must have the same batch, their first dimension; it is: {listing}.")
    return Call(names, tensors, tuple(_tensors(args)), dict(_tensors(kwargs)))


def leaves(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a nested value, each with the name that leads to it."""
    match value:
        case Tensor():
            yield name, value
        case np.ndarray():
            yield name, torch.from_numpy(np.ascontiguousarray(value))
        case Mapping():
            for key, part in value.items():
                yield from leaves(part, str(key) if name == "output" else f"{name}_{key}")
        case tuple() if hasattr(value, "_fields"):
            for key, part in zip(value._fields, value, strict=True):
                yield from leaves(part, key if name == "output" else f"{name}_{key}")
        case list() | tuple():
            for index, part in enumerate(value):
                yield from leaves(part, f"{name}_{index}")
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            for field in dataclasses.fields(value):
                inner = getattr(value, field.name)
                yield from leaves(inner, field.name if name == "output" else f"{name}_{field.name}")


def clean(name: str) -> str:
    """A name as a graph may have it."""
    return re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "value"


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    taken: list[str] = []
    for name in map(clean, names):
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.append(candidate)
    return tuple(taken)


def output_names(names: Sequence[str], inputs: Sequence[str]) -> tuple[str, ...]:
    """Names for the outputs that no input has."""
    return _unique([*inputs, *names])[len(inputs) :]


def _arguments(module: nn.Module, example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example_inputs, (Tensor, np.ndarray)):
        return (example_inputs,), {}
    if isinstance(example_inputs, (tuple, list)):
        return tuple(example_inputs), {}
    if not isinstance(example_inputs, Mapping):
        kind = type(example_inputs).__name__
        raise ExportError(
            f"example_inputs is a {kind}; give a tensor, a tuple of arguments, or a dict of them by name."
        )
    parameters = _parameters(module)
    by_name = all(name in parameters for name in example_inputs)
    catch_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    if by_name or catch_all:
        return (), dict(example_inputs)
    required = [
        one
        for one in parameters.values()
        if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    if len(required) == 1:  # forward(batch), where the batch is a dict
        return (example_inputs,), {}
    unknown = ", ".join(str(name) for name in example_inputs if name not in parameters)
    raise ExportError(f"forward has no parameter {unknown}; it takes: {', '.join(parameters) or 'none'}.")


def _parameters(module: nn.Module) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(module.forward).parameters
    except (TypeError, ValueError):  # a forward without a signature, such as a scripted one
        return {}


def _positional(module: nn.Module, count: int) -> list[str]:
    names: list[str] = []
    for parameter in _parameters(module).values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{index}" for index in range(count - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    names += [f"input_{index}" for index in range(len(names), count)]
    return names[:count]


def _tensors(value: Any) -> Any:
    """The same structure with numpy arrays as tensors."""
    return rebuild(value, iter([tensor for _, tensor in leaves(value, "")]))


def rebuild(value: Any, given: Iterator[Tensor]) -> Any:
    """The same structure around other tensors, in the order of `leaves`."""
    match value:
        case Tensor() | np.ndarray():
            return next(given)
        case Mapping():
            parts = {key: rebuild(part, given) for key, part in value.items()}
            return parts if type(value) is dict else _same_mapping(value, parts)
        case tuple() if hasattr(value, "_fields"):
            return type(value)(*[rebuild(part, given) for part in value])
        case list() | tuple():
            return type(value)([rebuild(part, given) for part in value])
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return dataclasses.replace(
                value,
                **{field.name: rebuild(getattr(value, field.name), given) for field in dataclasses.fields(value)},
            )
        case _:
            return value


def _same_mapping(value: Mapping[Any, Any], parts: dict[Any, Any]) -> Any:
    try:
        return type(value)(parts)  # type: ignore[call-arg]
    except TypeError:
        return parts
