"""What PyTorch exports wrongly, with a frozen batch or not at all, computed in another way that it exports right.

`with Substitutes(): module(*inputs)` gives what `module(*inputs)` gives. While torch.export traces, the mode sees every
function of PyTorch that the module calls, and hands these to a replacement of the same signature:

    resize          interpolate and adaptive pooling to sizes that are no divisors; antialiasing
    fourier         DFTs as products with constant matrices
    spectrogram     stft and istft by real arithmetic, frames added where they overlap
    complexes       complex numbers as pairs of real ones
    grouped         convolutions with one group a sample, as in modulated convolution
    norms           batch norm with its batch's statistics, called as a function
    matrices        inverses and determinants of small matrices
    split           chunk and split of an axis of any size
    cumulative      cumprod, cummax, median, searchsorted, stable sort, cdist
    attention       scaled dot-product attention with masks
    recurrent       LSTM, GRU and RNN over any length
    packed          sequences packed by their lengths
    assertions      checks of values, which a graph cannot make
    detached        .data

Each file says what goes wrong without it. Beside them `random` lists, freezes or takes in noise, `modules` folds the
norms of weights and replaces batch norm that looks at its batch, and `plain_python` lends the module's own code an
`int` and a `len` that keep symbols.

What a function of PyTorch calls inside is not seen. While any mode is active PyTorch leaves the fast path of
`nn.MultiheadAttention`, which no exporter follows. Strict tracing reads bytecode and could not follow the replacements
themselves: there the mode does nothing, and PyTorch's own functions are traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from . import (
    assertions,
    attention,
    complexes,
    cumulative,
    detached,
    fourier,
    grouped,
    matrices,
    norms,
    packed,
    recurrent,
    resize,
    spectrogram,
    split,
)
from ._tools import Handlers
from .modules import prepare
from .random import Noise

__all__ = ["Noise", "Substitutes", "prepare"]

_HANDLERS: Handlers = {
    **resize.HANDLERS,
    **fourier.HANDLERS,
    **spectrogram.HANDLERS,
    **complexes.HANDLERS,
    **grouped.HANDLERS,
    **norms.HANDLERS,
    **matrices.HANDLERS,
    **split.HANDLERS,
    **cumulative.HANDLERS,
    **attention.HANDLERS,
    **recurrent.HANDLERS,
    **packed.HANDLERS,
    **assertions.HANDLERS,
    **detached.HANDLERS,
}


class Substitutes(TorchFunctionMode):
    """While it is active, the functions listed above are computed in the other way; everything else as ever."""

    def __enter__(self) -> Substitutes:
        if not torch.compiler.is_dynamo_compiling():
            super().__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        if not torch.compiler.is_dynamo_compiling():
            super().__exit__(*failure)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        handler = _HANDLERS.get(func)
        if handler is None:
            complexes.forget_written(func, args, kwargs)
            result = NotImplemented
        else:
            result = handler(func, args, kwargs)
        if result is NotImplemented:
            result = func(*args, **kwargs)
        packed.follow(func, args, kwargs, result)
        return result
