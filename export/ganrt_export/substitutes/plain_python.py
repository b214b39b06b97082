"""Python of a module's own that a trace trips over, put right while it runs: argument names, `int` and `len`.

    layer(x, mod=style)     torch.fx calls a layer with a parameter of its own named `mod`, and the call fails
    int(x.shape[0])         makes a number of a size that was a symbol, and freezes the batch, as StyleGAN3 does; so do
                            len(x) and the int(n / 4) of Swin's window_reverse

Nothing of PyTorch's sees these, as it sees its functions: what a class's calls and a file's globals mean is changed
for the length of the trace, and put back.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

__all__ = ["any_argument_names", "makes_numbers", "symbolic_sizes"]

_RECURRENT = "torch.nn.modules.rnn"  # makes a number of the batch of a packed sequence
_OTHERS = {"torch", "numpy", "ganrt", "ganrt_export", *sys.stdlib_module_names}  # whose files are left alone


@contextmanager
def any_argument_names(module: nn.Module) -> Iterator[None]:
    """While it is active, layers of `module` may have a parameter named `mod`."""
    own = {type(part) for part in module.modules() if _names_mod(type(part))}
    for kind in own:
        kind.__call__ = _call  # type: ignore[method-assign]
    try:
        yield
    finally:
        for kind in own:
            del kind.__call__  # nn.Module's is found again


def _names_mod(kind: type[nn.Module]) -> bool:
    code: CodeType | None = getattr(kind.forward, "__code__", None)
    return kind.__call__ is nn.Module.__call__ and code is not None and "mod" in code.co_varnames[: _parameters(code)]


def _parameters(code: CodeType) -> int:
    return code.co_argcount + code.co_kwonlyargcount


def _call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """The call itself, past the tracer, which only notes down who called whom."""
    if "mod" in kwargs:
        return nn.Module._wrapped_call_impl(self, *args, **kwargs)
    return nn.Module.__call__(self, *args, **kwargs)


def makes_numbers(module: nn.Module) -> bool:
    """Does any code around `module` call `int` or `len`?"""
    return any(not _STANDS.keys().isdisjoint(code.co_names) for space in _namespaces(module) for code in _codes(space))


@contextmanager
def symbolic_sizes(module: nn.Module) -> Iterator[None]:
    """While it is active, `int` of a symbolic size is that size, and `len` of a tensor its first one, in the files that
    `module`'s code comes from.
    """
    changed = [(space, name) for space in _namespaces(module) for name in _STANDS if name not in space]
    for space, name in changed:
        space[name] = _STANDS[name]
    try:
        yield
    finally:
        for space, name in changed:
            del space[name]


class _Stand(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        value = args[0] if len(args) == 1 else None
        if isinstance(value, torch.SymInt):
            return value
        if isinstance(value, torch.SymFloat):
            return torch.sym_int(value)
        return builtins.int(*args, **kwargs)

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, builtins.int)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, builtins.int)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is builtins.int

    def __hash__(cls) -> int:
        return hash(builtins.int)


class _Int(builtins.int, metaclass=_Stand):
    """`int` in all but symbols; `dtype` is what numpy takes it for."""

    dtype = np.dtype(builtins.int)


def _len(value: Any, /) -> Any:
    return value.shape[0] if isinstance(value, torch.Tensor) and value.dim() else builtins.len(value)


_STANDS: dict[str, Any] = {"int": _Int, "len": _len}


def _namespaces(module: nn.Module) -> list[dict[str, Any]]:
    """The globals of the files that the classes of `module` come from, and of those whose functions they use."""
    found: dict[int, dict[str, Any]] = {}
    waiting = [space for part in module.modules() for kind in type(part).__mro__ for space in _homes(kind)]
    while waiting:
        space = waiting.pop()
        name = space.get("__name__")
        if id(space) in found or not isinstance(name, str):
            continue
        if name.partition(".")[0] in _OTHERS and name != _RECURRENT:
            continue
        found[id(space)] = space
        if name != _RECURRENT:
            waiting += [home for value in list(space.values()) for home in _homes(value)]
    return list(found.values())


def _homes(value: Any) -> list[dict[str, Any]]:
    """The globals that a module, a function or a class brings."""
    if isinstance(value, ModuleType):
        return [vars(value)]
    return list({id(function.__globals__): function.__globals__ for function in _functions(value)}.values())


def _functions(value: Any) -> Iterator[FunctionType]:
    for member in list(vars(value).values()) if isinstance(value, type) else [value]:
        function = getattr(member, "__func__", member)
        if isinstance(function, FunctionType):
            yield function


def _codes(space: dict[str, Any]) -> Iterator[CodeType]:
    """The code in a file's functions and methods, and in the functions within them."""
    waiting = [function.__code__ for value in list(space.values()) for function in _functions(value)]
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
