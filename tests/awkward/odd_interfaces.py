"""How a forward can be called and what it can give back."""

from __future__ import annotations

import dataclasses
import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from awkward_case import Case, normal, pixels, truth, whole
from torch import Tensor, nn


class Small(nn.Module):
    """z [batch, 6] -> [batch, 3, 2, 2]: what most of these are built around."""

    def __init__(self, wide: int = 6) -> None:
        super().__init__()
        self.fc = nn.Linear(wide, 12)

    def draw(self, z: Tensor) -> Tensor:
        return torch.tanh(self.fc(z)).view(z.shape[0], 3, 2, 2)


class Variadic(Small):
    def forward(self, *args: Tensor) -> Tensor:
        z, scale = args
        return self.draw(z) * scale.view(-1, 1, 1, 1)


class Keywords(Small):
    def forward(self, **kwargs: Tensor) -> Tensor:
        return self.draw(kwargs["z"]) * kwargs.get("scale", torch.ones(1, 1)).view(-1, 1, 1, 1)


class KeywordOnly(Small):
    def forward(self, *, z: Tensor, truncation: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.draw(z * truncation) + (0 if noise is None else noise)


class PositionAndKeywords(Small):
    """Some by position, some by name only, given as one dict out of order."""

    def forward(self, z: Tensor, c: Tensor, /, *more: Tensor, **named: Tensor) -> Tensor:
        return self.draw(z + c)


class PositionalOnly(Small):
    def forward(self, z: Tensor, c: Tensor, /) -> Tensor:
        return self.draw(z - 2 * c)


class OutOfOrder(Small):
    def forward(self, z: Tensor, c: Tensor, shift: float = 0.0, b: Tensor | None = None) -> Tensor:
        return self.draw(z - 2 * c) + shift * (1 if b is None else b.view(-1, 1, 1, 1))


class DictToDict(Small):
    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        image = self.draw(batch["z"] + batch["more"]["style"])
        return {"rgb": image, "aux": {"alpha": image.mean(1, keepdim=True), "nothing": None}, "scale": 2.0}


class NestedTuples(Small):
    def forward(self, first: tuple[Tensor, list[Tensor]], second: Tensor) -> tuple[Any, ...]:
        z, (a, b) = first
        image = self.draw(z + a)
        return (image, (second * 2, [b, (image.mean((1, 2, 3)),)])), None, [image[:, :1]]


@dataclasses.dataclass
class Sampled:
    images: Tensor
    latents: Tensor | None
    truncation: float
    inner: Any = None


class GivesDataclass(Small):
    def forward(self, z: Tensor) -> Sampled:
        return Sampled(self.draw(z), None, 0.7, Sampled(z[:, :2], z * 2, 1.0))


class Pair(NamedTuple):
    sample: Tensor
    score: Tensor


class GivesNamedTuple(Small):
    def forward(self, z: Tensor) -> Pair:
        return Pair(self.draw(z), z.sum(1))


class Attributes(OrderedDict):  # type: ignore[type-arg]
    """A dict whose keys are attributes too, as model libraries give it."""

    __getattr__ = OrderedDict.__getitem__


class GivesDictSubclass(Small):
    def forward(self, z: Tensor) -> Attributes:
        return Attributes(sample=self.draw(z), hidden=z.square())


class OddNames(Small):
    """Every argument has a name that a wrapper might use for itself."""

    def forward(this, self_: Tensor, model: Tensor, f: Tensor, forward: Tensor) -> Tensor:  # noqa: N805
        return this.draw(self_ + model) + (f * forward).view(-1, 1, 1, 1)


class NamedArgs(Small):
    def forward(self, args: Tensor, kwargs: Tensor) -> Tensor:
        return self.draw(args - kwargs)


class NamedInput(Small):
    def forward(self, input: Tensor, x: Tensor, module: Tensor, batch: Tensor) -> Tensor:
        return self.draw(input * x + module - batch)


class NamedLikeOutputs(Small):
    """Inputs that are called what an exporter might call its outputs."""

    def forward(self, image: Tensor, output: Tensor, output_0: Tensor, image_float: Tensor) -> tuple[Tensor, Tensor]:
        return self.draw(image + output), output_0 + image_float


class GreekNames(Small):
    def forward(self, ζ: Tensor, _: Tensor, __init: Tensor) -> Tensor:
        return self.draw(ζ + _ + __init)


class NamedLikeWeights(Small):
    """An argument with the name of a parameter, another with that of a node in most graphs."""

    def forward(self, fc: Tensor, weight: Tensor, linear: Tensor, add: Tensor) -> Tensor:
        return self.draw(fc + weight) + (linear + add).mean(1).view(-1, 1, 1, 1)


def scaled(factor: float) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """A decorator that keeps the name and hides the signature."""

    def decorate(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Tensor:
            return function(*args, **kwargs) * factor

        return wrapper

    return decorate


def swallowed(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that keeps nothing."""

    def wrapper(self: Any, *a: Any, **k: Any) -> Any:
        return function(self, *a, **k)

    return wrapper


class Wrapped(Small):
    @scaled(2.0)
    @scaled(0.25)
    def forward(self, z: Tensor, shift: Tensor) -> Tensor:
        return self.draw(z) + shift.view(-1, 1, 1, 1)


class Swallowed(Small):
    @swallowed
    def forward(self, z: Tensor, shift: Tensor) -> Tensor:
        return self.draw(z) + shift.view(-1, 1, 1, 1)


class NoGrad(Small):
    @torch.no_grad()
    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z).detach().data


class Inference(Small):
    @torch.inference_mode()
    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z)


class Static(nn.Module):
    @staticmethod
    def forward(z: Tensor, gain: Tensor) -> Tensor:
        return torch.sigmoid(z * gain)


class AssignedForward(Small):
    """The forward is an attribute of the instance."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = self.generate

    def generate(self, z: Tensor, c: Tensor) -> Tensor:
        return self.draw(z + c)


class PartialForward(Small):
    """The forward is a partial, with an argument filled in."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = functools.partial(self.generate, gain=3.0)

    def generate(self, z: Tensor, gain: float) -> Tensor:
        return self.draw(gain * z)


class OverriddenCall(Small):
    """__call__ does more than forward: it is what the user calls."""

    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z)

    def __call__(self, z: Tensor) -> Tensor:
        return super().__call__(z.clamp(-1, 1)) + 1


class Constants(Small):
    """Arguments that are no tensors, between those that are."""

    def forward(
        self, size: tuple[int, int], z: Tensor, mode: str, c: Tensor | None, flag: bool, dtype: torch.dtype, y: Tensor
    ) -> Tensor:
        assert c is None
        image = self.draw(z + y) if flag else z
        return nn.functional.interpolate(image, size=size, mode=mode).to(dtype)


class DefaultTensor(Small):
    """A default that is a tensor of batch 1."""

    def forward(self, z: Tensor, shift: Tensor = torch.full((1, 3, 1, 1), 0.5)) -> Tensor:  # noqa: B008
        return self.draw(z) + shift


class PlainExtras(Small):
    """Gives, beside the picture, what is no tensor at all."""

    def forward(self, z: Tensor) -> tuple[Tensor, int, str, None, torch.Size]:
        image = self.draw(z)
        return image, 3, "rgb", None, image.shape[1:]


class Typed(nn.Module):
    """A bool mask, an int32 index, a uint8 picture, a float64 gain."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)

    def forward(self, mask: Tensor, kind: Tensor, picture: Tensor, gain: Tensor) -> Tensor:
        x = picture.permute(0, 3, 1, 2).float().div(255)
        x = x.masked_fill(mask.unsqueeze(1), 0.5) + self.table(kind)[:, :, None, None]
        return x * gain.to(x.dtype)[:, None, None, None]


class Gan(nn.Module):
    """The whole of a GAN; forward is the generator, a discriminator lies beside it unused."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.discriminator = nn.Sequential(nn.Linear(6, 8), nn.Tanh()), nn.Linear(8, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)


Z = normal(6)
CASES = [
    Case("forward_variadic", Variadic, (Z, normal()), quick=True),
    Case("forward_keywords", Keywords, {"z": Z, "scale": normal(1)}),
    Case("forward_keyword_only", KeywordOnly, {"z": Z, "truncation": normal(1)}),
    Case("forward_more_of_both", PositionAndKeywords, (Z, Z)),
    Case("forward_positional_only", PositionalOnly, (Z, Z)),
    Case("forward_names_out_of_order", OutOfOrder, {"c": Z, "b": normal(), "z": Z, "shift": 0.5}),
    Case("dict_in_dict_out", DictToDict, ({"z": Z, "more": {"style": Z}},)),
    Case("nested_tuples", NestedTuples, ((Z, [Z, normal(2)]), normal(3))),
    Case("dataclass_out", GivesDataclass, Z),
    Case("named_tuple_out", GivesNamedTuple, Z),
    Case("dict_subclass_out", GivesDictSubclass, Z),
    Case("names_self_model_f_forward", OddNames, (Z, Z, normal(), normal())),
    Case("names_args_kwargs", NamedArgs, {"args": Z, "kwargs": Z}),
    Case("names_input_x_module_batch", NamedInput, (Z, Z, Z, Z)),
    Case("names_of_outputs", NamedLikeOutputs, {"image": Z, "output": Z, "output_0": Z, "image_float": Z}),
    Case("names_greek_and_underscore", GreekNames, (Z, Z, Z)),
    Case("names_of_weights_and_nodes", NamedLikeWeights, {"fc": Z, "weight": Z, "linear": Z, "add": Z}),
    Case("decorated_with_wraps", Wrapped, (Z, normal())),
    Case("decorated_without_wraps", Swallowed, (Z, normal())),
    Case("decorated_no_grad", NoGrad, Z),
    Case("decorated_inference_mode", Inference, Z),
    Case("static_forward", Static, (Z, Z)),
    Case("forward_assigned", AssignedForward, {"z": Z, "c": Z}),
    Case("forward_partial", PartialForward, (Z,)),
    Case("call_overridden", OverriddenCall, Z),
    Case("constants_between_tensors", Constants, ((4, 4), Z, "nearest", None, True, torch.float64, Z)),
    Case("default_is_a_tensor", DefaultTensor, Z),
    Case("plain_values_out", PlainExtras, Z),
    Case(
        "bool_int32_uint8_float64_in",
        Typed,
        (truth(4, 5), whole(5, dtype=torch.int32), pixels(4, 5, 3), normal(dtype=torch.float64)),
    ),
    Case("discriminator_beside_it", Gan, Z),
]
