"""The module itself as the oracle: what it answers in PyTorch, on inputs like the example, at any batch.

Looks first whether the module is a function at all: equal inputs must give equal outputs, all of them finite.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ganrt.errors import ExportError, legible

from .signature import Call, Flat, leaves, rebuild

__all__ = ["Oracle"]

_OTHER_SEED = 271_828
_RANDOM = {
    "randn", "randn_like", "rand", "rand_like", "randint", "randint_like", "randperm", "normal", "uniform",
    "bernoulli", "multinomial", "exponential", "gumbel_softmax", "log_normal", "cauchy", "geometric", "poisson",
}  # fmt: skip
_ALONE = 1e-4  # relative: a sample computed in a batch and alone
_DRIFT = 1e-5  # relative: what a module that goes on changing its weights may move from one call to the next
_KINDS = {
    torch.float32: "float32", torch.float64: "float64", torch.float16: "float16", torch.uint8: "uint8",
    torch.int32: "int32", torch.int64: "int64", torch.bool: "bool",
}  # fmt: skip


class Oracle:
    """`inputs(batch, seed)` makes inputs like the example's, `outputs(inputs)` asks the module.

    Raises ExportError when the module fails on its example, answers with no tensor, with values that are not finite, or
    differently to equal inputs.
    """

    def __init__(self, module: nn.Module, call: Call, inside: Callable[[Any], Any] | None = None) -> None:
        self.call = call
        self._module = _copied(module)
        self.flat = Flat(self._module, call, inside)
        self.batches: tuple[int, ...] = ()
        first = self._first()
        with _Watch() as watch:  # a run of its own: under a mode PyTorch may take another path, with other rounding
            self.outputs(call.tensors)
        self.random = watch.seen
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_OTHER_SEED)
            again = self.outputs(call.tensors)
        if not first:
            raise ExportError("The module returns no tensor, so there is nothing to export.")
        for name, tensor in zip(self.output_names, first, strict=True):
            if tensor.dtype not in _KINDS:
                raise ExportError(
                    f"The output '{name}' is {str(tensor.dtype).removeprefix('torch.')}, which ganrt's graphs do not "
                    "give; return real numbers, such as torch.view_as_real(x) of complex ones."
                )
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise ExportError(
                    f"The module's output '{name}' is not finite for the example inputs; look at its weights."
                )
        if any(not torch.equal(a, b) for a, b in zip(first, again, strict=True)):
            changing = self._changing()
            if not changing or _furthest(first, again) > _DRIFT:
                raise ExportError(self._culprit(changing))

    @property
    def batch(self) -> int:
        """Of the example."""
        return len(self.call.tensors[0])

    def inputs(self, batch: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Tensors like the example's, other numbers, the batch asked for."""
        chance = torch.Generator().manual_seed(1000 * seed + batch)
        return tuple(_vary(tensor, batch, chance) for tensor in self.call.tensors)

    def outputs(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What the module answers, as copies."""
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the module's author was warned of is no news to its user
            return tuple(tensor.detach().clone() for tensor in self.flat(*(tensor.clone() for tensor in inputs)))

    @property
    def alone(self) -> bool:
        """Is a sample of a batch what the module gives for it alone?"""
        (inputs, together), rows = self.answers(3, seed=1), []
        for row in range(3):
            try:
                rows.append(self.outputs([tensor[row : row + 1] for tensor in inputs]))
            except Exception:  # noqa: BLE001  it does not run at batch 1
                return False
        for whole, *singles in zip(together, *rows, strict=True):
            scale = float(whole.double().abs().max()) if whole.numel() else 0.0
            batched = whole.ndim > 0 and len(whole) == 3 and all(single.shape[:1] == (1,) for single in singles)
            if batched and any(single.shape[1:] != whole.shape[1:] for single in singles):
                return False
            off = (whole.double() - torch.cat(singles).double()).abs().max() if batched and whole.numel() else 0.0
            if float(off) > _ALONE * scale:
                return False
        return True

    def answers(self, batch: int, seed: int = 0) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Inputs of this batch and the module's outputs; rows of the example itself where other numbers do not suit it.

        Raises ExportError when the module does not run at this batch at all.
        """
        varied = self.inputs(batch, seed)
        rows = torch.arange(batch) % self.batch
        plain = tuple(tensor[rows].clone() for tensor in self.call.tensors)
        problem: Exception | None = None
        for inputs in (varied, plain):
            try:
                found = self.outputs(inputs)
            except Exception as failed:  # noqa: BLE001  a stranger's forward raises what it likes
                problem = failed
                continue
            if all(not one.is_floating_point() or bool(torch.isfinite(one).all()) for one in found):
                return inputs, found
            problem = problem or ValueError("its output is not finite")
        raise ExportError(
            f"The module itself does not run at batch {batch} in PyTorch: {_first_line(problem)}. A generator that is "
            "made for one batch cannot be exported for any."
        ) from problem

    def _first(self) -> tuple[Tensor, ...]:
        call = self.call
        args, kwargs = rebuild((call.args, call.kwargs), iter([tensor.clone() for tensor in call.tensors]))
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                result = self._module(*args, **kwargs)
            except Exception as problem:
                raise ExportError(
                    f"The module fails in PyTorch on its own example inputs: {_first_line(problem)}."
                ) from problem
        found = [(name, tensor.detach().clone()) for name, tensor in leaves(result, "output")]
        self.output_names = tuple(name for name, _ in found)
        self.nothing = not found
        return self.outputs(call.tensors) if found else ()

    def _watched(self) -> list[tuple[str, list[Tensor], list[Tensor]]]:
        """One run: every submodule call with what went in and what came out, innermost first."""
        seen: list[tuple[str, list[Tensor], list[Tensor]]] = []

        def watch(name: str, part: nn.Module) -> Any:
            return part.register_forward_hook(
                lambda _, given, result: seen.append((name, _snapshot(given), _snapshot(result)))
            )

        handles = [watch(name, part) for name, part in self._module.named_modules() if name]
        try:
            self.outputs(self.call.tensors)
        finally:
            for handle in handles:
                handle.remove()
        return seen

    def _changing(self) -> list[str]:
        """The weights and buffers that a call of the module changes."""
        before = {name: value.clone() for name, value in self._module.state_dict().items()}
        self.outputs(self.call.tensors)
        return [name for name, value in self._module.state_dict().items() if not torch.equal(before[name], value)]

    def _culprit(self, changing: Sequence[str]) -> str:
        """Names the first submodule that answers differently to equal inputs, or what it changes in itself."""
        if changing:
            return (
                f"The module changes its own state at every call ('{changing[0]}'), so equal inputs give different "
                "outputs and it is no function; export it in a state that no longer changes, such as a spectral norm "
                "whose vectors eval() keeps (torch.nn.utils.spectral_norm)."
            )
        runs = [self._watched(), self._watched()]
        advice = (
            "Put it into eval mode if dropout is on, or pass noise='freeze' or noise='input' if it draws random "
            "numbers inside."
        )
        for (name, given, result), (_, given_again, result_again) in zip(*runs, strict=False):
            equal = len(given) == len(given_again) and all(map(torch.equal, given, given_again))
            if equal and not all(map(torch.equal, result, result_again)):
                kind = type(self._module.get_submodule(name)).__name__
                return (
                    "The module gives different outputs for equal inputs, so it is no function: the first part that "
                    f"differs is '{name}' ({kind}). {advice}"
                )
        return (
            "The module gives different outputs for equal inputs, so it is no function; the random numbers are drawn "
            f"in its own forward. {advice}"
        )


def _furthest(first: Sequence[Tensor], again: Sequence[Tensor]) -> float:
    """The largest difference, relative to the largest value of its output."""
    pairs = [(a.double(), b.double()) for a, b in zip(first, again, strict=True) if a.numel()]
    return max(float((a - b).abs().max()) / (float(a.abs().max()) or 1.0) for a, b in pairs)


def _snapshot(value: Any) -> list[Tensor]:
    return [tensor.detach().clone() for _, tensor in leaves(value, "part")]


class _Watch(TorchFunctionMode):
    """Remembers the first function that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = ""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if not self.seen and name.rstrip("_") in _RANDOM:
            self.seen = name
        return func(*args, **(kwargs or {}))


def _copied(module: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(module)
    except Exception:  # noqa: BLE001  a module that holds what cannot be copied is used as it is
        return module


def _vary(tensor: Tensor, batch: int, chance: torch.Generator) -> Tensor:
    """Rows like the tensor's: floats moved within its range, whole numbers drawn within it, two-valued ones kept."""
    rows = torch.randint(len(tensor), (batch,), generator=chance)
    rows[: len(tensor)] = torch.arange(len(tensor))[:batch]
    chosen = tensor.detach()[rows].clone()
    if tensor.dtype == torch.bool or tensor.is_complex() or tensor.numel() == 0:
        return chosen
    low, high = tensor.min(), tensor.max()
    if bool(low == high) or bool(((tensor == low) | (tensor == high)).all()):
        return chosen
    if tensor.is_floating_point():
        noise = torch.randn(chosen.shape, generator=chance, dtype=torch.float32).to(chosen.dtype)
        return (chosen + 0.3 * tensor.float().std().to(chosen.dtype) * noise).clamp(low, high)
    drawn = torch.randint(int(low), int(high) + 1, chosen.shape, generator=chance)
    return drawn.to(chosen.dtype)


def _first_line(problem: BaseException | None) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return legible(lines[0] if lines else type(problem).__name__, 200).rstrip(".")
