"""Random numbers drawn inside a module: listed, frozen, or taken from outside.

An exported generator is a function of its inputs: an engine has random numbers of its own, and ignores the seeds that a
graph may carry. Every draw is reduced to standard numbers, normal N(0, 1) or uniform over 0 .. 1, and what the module
makes of them:

    normal(mean, std)    mean + std n         bernoulli(p)         [u < p]
    uniform(a, b)        a + (b - a) u        dropout(x, p)        x [u >= p] / (1 - p)
    exponential(rate)    -log(1 - u) / rate   randint(a, b)        floor(a + u (b - a))
    gumbel, multinomial  -log(-log u)         randperm             argsort(u)

Frozen noise is one sample's, the same for every sample, so that sample i stays what it is whatever is computed beside
it. Where a size is known only when the graph runs, `PERIOD` numbers are repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ganrt.errors import ArgumentError, ExportError
from ganrt.latents import draw
from ganrt.spec import Latent

from ._tools import example, known

__all__ = ["PERIOD", "Draw", "Noise"]

Kind: TypeAlias = Literal["normal", "uniform"]

PERIOD = 1 << 18
_BLOCK = 1 << 12  # numbers that are drawn together
_SEED = 20_140
_OTHER = {
    "alpha_dropout", "feature_alpha_dropout", "binomial", "poisson", "cauchy_", "geometric_", "log_normal_", "random_",
    "_standard_gamma", "_sample_dirichlet", "trunc_normal_", "fractional_max_pool2d_with_indices",
}  # fmt: skip


class Draw(NamedTuple):
    """One draw: the function, the standard numbers it needs, how many of which type, and whether its first size is the
    batch.
    """

    function: str
    distribution: Kind
    shape: tuple[int, ...]
    dtype: torch.dtype
    batched: bool


class _Plan(NamedTuple):
    """What a call draws, and `made`, its result from the standard numbers; `ordered`: the first size is no batch."""

    kind: Kind
    shape: tuple[Any, ...]
    dtype: torch.dtype
    made: Callable[[Tensor], Any]
    ordered: bool = False


class Noise(TorchFunctionMode):
    """While it is active, the draws of PyTorch are

        mode="record"  made as ever, and listed in `draws`
        mode="freeze"  constants, each of its place in the forward pass
        mode="input"   made of `tensors`, standard numbers in the order of the draws, of the draw's shape or one that
                       expands to it; None freezes that draw; `unused` says how many are left

    `batch`: the size of the batch, a number or a symbol; a draw whose first size is another one is the same for all
    samples. Without it every first size is taken for the batch. Raises ArgumentError when `tensors` do not suffice or
    do not fit, ExportError for a draw that cannot be reduced to standard numbers.
    """

    def __init__(
        self,
        mode: Literal["record", "freeze", "input"] = "freeze",
        *,
        batch: Any = None,
        seed: int = _SEED,
        tensors: Sequence[Tensor | None] = (),
    ) -> None:
        super().__init__()
        if mode not in ("record", "freeze", "input"):
            raise ArgumentError(f"the mode of Noise is '{mode}'; it must be record, freeze or input.")
        self.mode, self.batch, self.seed, self.tensors = mode, batch, seed, tuple(tensors)
        self.draws: list[Draw] = []

    @property
    def unused(self) -> int:
        return len(self.tensors) - len(self.draws)

    def __enter__(self) -> Noise:
        self.draws = []
        super().__enter__()
        return self

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        planner = _PLANNERS.get(func)
        plan = planner(*args, **kwargs) if planner is not None else None
        name = getattr(func, "__name__", "draw")
        if plan is None:
            if name in _OTHER and self.mode != "record" and kwargs.get("training", True) is not False:
                raise ExportError(
                    f"The module draws random numbers with {name}, which cannot be made of normal or uniform ones; "
                    "draw them outside and pass them in."
                )
            return func(*args, **kwargs)
        batched = not plan.ordered and bool(plan.shape) and self._is_batch(plan.shape[0])
        self.draws.append(Draw(name, plan.kind, tuple(map(example, plan.shape)), plan.dtype, batched))
        if self.mode == "record":
            return func(*args, **kwargs)
        numbers = self._frozen(plan, batched) if self.mode == "freeze" else self._given(plan, batched)
        return plan.made(numbers.to(plan.dtype if plan.dtype.is_floating_point else torch.float32))

    def _is_batch(self, size: Any) -> bool:
        return self.batch is None or _same(size, self.batch)

    def _given(self, plan: _Plan, batched: bool) -> Tensor:
        place = len(self.draws) - 1
        if place >= len(self.tensors):
            raise ArgumentError(
                f"The module draws random numbers more than {len(self.tensors)} times, and Noise was given that many "
                "tensors; Noise('record') lists what it draws."
            )
        given = self.tensors[place]
        if given is None:
            return self._frozen(plan, batched)
        try:
            return given.expand(plan.shape).clone()
        except RuntimeError as problem:
            raise ArgumentError(
                f"Tensor {place} given to Noise is {list(given.shape)}, and the module draws {list(plan.shape)} there."
            ) from problem

    def _frozen(self, plan: _Plan, batched: bool) -> Tensor:
        shape = plan.shape
        if batched:
            return self._numbers(plan.kind, shape[1:])[None].expand(shape).clone()
        if shape and not known(shape[0]) and not known(self.batch) and not plan.ordered:
            each = shape[0] // self.batch  # several rows of each sample
            return (
                self._numbers(plan.kind, (each, *shape[1:]))[None].expand(self.batch, each, *shape[1:]).reshape(shape)
            )
        return self._numbers(plan.kind, shape).clone()

    def _numbers(self, kind: Kind, shape: tuple[Any, ...]) -> Tensor:
        """The constants of this draw, of this shape: a smaller shape has the first of a larger one's."""
        count = math.prod(shape) if known(*shape) else PERIOD
        source = Latent(size=_BLOCK, name=f"noise_{len(self.draws)}", distribution=kind)
        numbers = draw(source, self.seed, 0, max(1, math.ceil(count / _BLOCK))).ravel()[:count]
        if kind == "uniform":  # drawn over -1 .. 1
            numbers = np.minimum(0.5 * (numbers + np.float32(1)), np.float32(1 - 2**-24))
        constant = torch.from_numpy(np.ascontiguousarray(numbers))
        if known(*shape):
            return constant.reshape(shape)
        total = shape[0]
        for size in shape[1:]:
            total = total * size
        return constant.index_select(0, torch.arange(total) % PERIOD).reshape(shape)


def _same(first: Any, second: Any) -> bool:
    if known(first, second):
        return bool(first == second)
    return not known(first) and not known(second) and bool(first.node.expr == second.node.expr)


def _sizes(size: tuple[Any, ...]) -> tuple[Any, ...]:
    """`randn(2, 3)` and `randn((2, 3))`."""
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], Sequence) else tuple(size)


def _new(kind: Kind) -> Any:
    def planner(*size: Any, dtype: torch.dtype | None = None, **named: Any) -> _Plan:
        shape = _sizes((named["size"],) if "size" in named else size)
        return _Plan(kind, shape, dtype or torch.get_default_dtype(), lambda numbers: numbers)

    return planner


def _like(kind: Kind) -> Any:
    def planner(input: Tensor, *, dtype: torch.dtype | None = None, **_: Any) -> _Plan:
        return _Plan(kind, tuple(input.shape), dtype or input.dtype, lambda numbers: numbers)

    return planner


def _fill(tensor: Tensor, kind: Kind, made: Callable[[Tensor], Tensor]) -> _Plan:
    dtype = tensor.dtype if tensor.is_floating_point() else torch.float32
    return _Plan(kind, tuple(tensor.shape), dtype, lambda numbers: tensor.copy_(made(numbers)))


def _fill_normal(tensor: Tensor, mean: float = 0, std: float = 1, **_: Any) -> _Plan:
    return _fill(tensor, "normal", lambda n: n * std + mean)


def _fill_uniform(tensor: Tensor, *ends: float, **named: Any) -> _Plan:
    low = ends[0] if ends else named.get("from", named.get("a", 0.0))
    high = ends[1] if len(ends) > 1 else named.get("to", named.get("b", 1.0))
    return _fill(tensor, "uniform", lambda u: low + (high - low) * u)


def _fill_exponential(tensor: Tensor, lambd: float = 1.0, **_: Any) -> _Plan:
    return _fill(tensor, "uniform", lambda u: -torch.log1p(-u) / lambd)


def _fill_bernoulli(tensor: Tensor, p: Any = 0.5, **_: Any) -> _Plan:
    return _fill(tensor, "uniform", lambda u: (u < p).to(tensor.dtype))


def _normal(mean: Any, std: Any = 1.0, size: Any = None, *, dtype: torch.dtype | None = None, **_: Any) -> _Plan:
    tensors = [side for side in (mean, std) if isinstance(side, Tensor)]
    shape = tuple(size) if size is not None else tuple((mean + std).shape)
    kept = dtype or (tensors[0].dtype if tensors else torch.get_default_dtype())
    return _Plan("normal", shape, kept, lambda n: mean + std * n)


def _bernoulli(input: Tensor, p: float | None = None, **_: Any) -> _Plan:
    chance = input if p is None else p
    return _Plan("uniform", tuple(input.shape), input.dtype, lambda u: (u < chance).to(input.dtype))


def _integers(*given: Any, dtype: torch.dtype | None = None, **named: Any) -> _Plan:
    names = (
        ("low", "high", "size")
        if len(given) + sum(key in named for key in ("low", "high", "size")) > 2
        else (
            "high",
            "size",
        )
    )
    values = {"low": 0, **dict(zip(names, given, strict=False)), **named}
    low, high = values["low"], values["high"]
    kept = dtype or torch.int64
    return _Plan("uniform", tuple(values["size"]), kept, lambda u: (low + (u * (high - low)).floor()).to(kept))


def _integers_like(input: Tensor, *ends: Any, dtype: torch.dtype | None = None, **named: Any) -> _Plan:
    low, high = (0, *ends)[-2:] if ends else (named.get("low", 0), named["high"])
    return _integers(low, high, tuple(input.shape), dtype=dtype or input.dtype)


def _permutation(n: Any, *, dtype: torch.dtype | None = None, **_: Any) -> _Plan:
    kept = dtype or torch.int64
    return _Plan("uniform", (n,), kept, lambda u: u.argsort().to(kept), ordered=True)


def _dropout(spatial: bool) -> Any:
    def planner(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, **named: Any) -> Any:
        if not named.get("train", training) or p == 0:
            return None
        axes = input.dim() - 2 if spatial else 0
        shape = (*input.shape[: input.dim() - axes], *[1] * axes)

        def made(u: Tensor) -> Tensor:
            kept = input * (u >= p) / (1 - p) if p < 1 else torch.zeros_like(input)
            return input.copy_(kept) if inplace else kept

        return _Plan("uniform", shape, input.dtype, made)

    return planner


def _gumbel(u: Tensor) -> Tensor:
    return -torch.log(-torch.log(u.clamp(min=1e-20)))


def _gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> _Plan:
    def made(u: Tensor) -> Tensor:
        soft = ((logits + _gumbel(u)) / tau).softmax(dim)
        return F.one_hot(soft.argmax(dim), soft.shape[dim]).movedim(-1, dim).to(soft.dtype) if hard else soft

    return _Plan("uniform", tuple(logits.shape), logits.dtype, made)


def _multinomial(input: Tensor, num_samples: int, replacement: bool = False, **_: Any) -> _Plan:
    """The largest of log p + Gumbel noise are a draw without replacement (Gumbel-max trick)."""
    repeats = num_samples if replacement else 1

    def made(u: Tensor) -> Tensor:
        keys = input.log()[..., None, :] + _gumbel(u)
        return keys.argmax(-1) if replacement else keys[..., 0, :].topk(num_samples).indices

    return _Plan("uniform", (*input.shape[:-1], repeats, input.shape[-1]), input.dtype, made)


_PLANNERS: dict[Any, Callable[..., Any]] = {
    torch.randn: _new("normal"),
    torch.rand: _new("uniform"),
    torch.randn_like: _like("normal"),
    torch.rand_like: _like("uniform"),
    torch.normal: _normal,
    torch.bernoulli: _bernoulli,
    Tensor.bernoulli: _bernoulli,
    torch.randint: _integers,
    torch.randint_like: _integers_like,
    torch.randperm: _permutation,
    torch.multinomial: _multinomial,
    Tensor.multinomial: _multinomial,
    Tensor.normal_: _fill_normal,
    nn.init.normal_: _fill_normal,
    Tensor.uniform_: _fill_uniform,
    nn.init.uniform_: _fill_uniform,
    Tensor.exponential_: _fill_exponential,
    Tensor.bernoulli_: _fill_bernoulli,
    F.dropout: _dropout(spatial=False),
    torch.dropout: _dropout(spatial=False),
    F.dropout1d: _dropout(spatial=True),
    F.dropout2d: _dropout(spatial=True),
    F.dropout3d: _dropout(spatial=True),
    F.gumbel_softmax: _gumbel_softmax,
}
