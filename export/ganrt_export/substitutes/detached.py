"""`.data`, which older code uses for "without gradient": the tracer loses it, and detach() is the same in inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ._tools import Function, Handlers

__all__ = ["HANDLERS"]


def _data(func: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return args[0].detach()


HANDLERS: Handlers = {Tensor.data.__get__: _data}  # type: ignore[attr-defined]
