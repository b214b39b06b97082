"""Modules that do not behave: eval that gives None, state that changes, attributes that cannot be copied, hooks."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from awkward_case import Case, normal
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .odd_interfaces import Small


class SilentEval(Small):
    """eval(), train() and to() return None; eval sets a flag of its own that forward depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.deterministic = False

    def eval(self) -> None:  # type: ignore[override]
        super().eval()
        self.deterministic = True

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        self.deterministic = not mode

    def to(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        super().to(*args, **kwargs)

    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z if self.deterministic else z + torch.randn_like(z))


class DeviceProperty(nn.Module):
    """No parameters at all: the weights are plain tensors in a list, the device a property."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = [torch.randn(6, 5), torch.randn(5, 4)]

    @property
    def device(self) -> torch.device:
        return self.weights[0].device

    def forward(self, z: Tensor) -> Tensor:
        for weight in self.weights:
            z = torch.tanh(z.to(self.device) @ weight)
        return z


class ByWidth(nn.Module):
    """The layer is chosen by the width of the latent."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(width, 4) for width in (1, 2, 3, 4, 5))

    def forward(self, z: Tensor) -> Tensor:
        return self.heads[int(z.shape[1]) - 1](z)


class Counter(Small):
    """Buffers and attributes are changed by every call; the picture does not depend on them."""

    calls_of_all = 0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("ema", torch.zeros(6))
        self.seen: list[int] = []
        self.last: Tensor | None = None

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        self.ema.lerp_(z.detach().mean(0), 0.1)
        type(self).calls_of_all += 1
        self.seen.append(z.shape[0])
        self.last = self.draw(z)
        return self.last


class SpoiledCache(Small):
    """A grid is made at the first call, for the batch of that call, and made again only when the batch changes."""

    def __init__(self) -> None:
        super().__init__()
        self.grid: Tensor | None = None

    def forward(self, z: Tensor) -> Tensor:
        if self.grid is None or self.grid.shape[0] != z.shape[0]:
            self.grid = torch.linspace(-1, 1, 4).view(1, 1, 2, 2).repeat(z.shape[0], 1, 1, 1)
        return self.draw(z) * self.grid


class TrainingFlags(Small):
    """Flags called like training: an `is_training` that means something else, a child left in train mode by name."""

    def __init__(self) -> None:
        super().__init__()
        self.is_training = True
        self.norm = nn.BatchNorm1d(6)
        self.training_steps = 1000

    def forward(self, z: Tensor, training: bool = False) -> Tensor:
        assert not training
        assert not self.norm.training
        return self.draw(self.norm(z)) * (2.0 if self.is_training else 1.0)


class Autocast(Small):
    """Autocast for CUDA, switched off where there is none, and a float32 island."""

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(device_type="cpu", enabled=False):
            z = z.float() * 2
        with torch.autocast("cuda", dtype=torch.float16, enabled=z.is_cuda):
            return self.draw(z)


def scripted() -> nn.Module:
    """One of the children is a ScriptModule."""

    class Child(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            y = self.fc(x)
            for _ in range(2):
                y = torch.relu(y) + 0.1 * x
            return y

    class Parent(Small):
        def __init__(self) -> None:
            super().__init__()
            self.child = torch.jit.script(Child())

        def forward(self, z: Tensor) -> Tensor:
            return self.draw(self.child(z))

    return Parent()


def traced() -> nn.Module:
    """Traced as a whole, at a batch of one."""
    network = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Unflatten(1, (3, 2, 2)), nn.Upsample(scale_factor=2))
    return torch.jit.trace(network.eval(), torch.zeros(1, 6))


class Hooked(nn.Module):
    """Hooks that change what goes in and what comes out, of a child and of the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.child = nn.Linear(6, 4)
        self.child.register_forward_pre_hook(lambda _, args: (args[0] * 0.5,))
        self.child.register_forward_hook(lambda _, args, out: out + args[0][:, :4])
        self.register_forward_hook(lambda _, __, out: out * 2)
        self.seen: dict[str, Tensor] = {}
        self.child.register_forward_hook(lambda _, __, out: self.seen.update(child=out.detach()))

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.child(z))


class CannotBeCopied(Small):
    """A lock, a lambda, a generator and a tensor with a history among the attributes: no deepcopy, no pickle."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.activation = lambda x: F.leaky_relu(x, 0.1)
        self.stream = (i for i in range(3))
        self.features = self.fc(torch.ones(1, 6)) * 2

    def forward(self, z: Tensor) -> Tensor:
        with self.lock:
            return self.activation(self.draw(z))


class Falsy(nn.ModuleList):
    """A container with a forward and, being empty, a length of 0: the module itself is false."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 4))

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight


class TiedWeights(nn.Module):
    """One parameter in two places, one module under two names, a tensor that is a view of another."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.b.weight = self.a.weight
        self.again = self.b
        self.register_buffer("table", torch.randn(4, 6))
        self.register_buffer("row", self.table[1])

    def forward(self, z: Tensor) -> Tensor:
        return self.again(torch.tanh(self.b(torch.tanh(self.a(z))))) * self.row + self.table.sum(0)


class Checkpointed(Small):
    """Gradient checkpoints in forward, as restoration networks leave them on."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(6, 6), nn.GELU())

    def forward(self, z: Tensor) -> Tensor:
        z = checkpoint(self.block, z, use_reentrant=False)
        return checkpoint(self.draw, z, use_reentrant=True)


class NumpyScalars(Small):
    """Gains by np.sqrt, an array of numpy as an attribute, a constant made from numpy in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.levels = np.sqrt(2), np.float32([0.5, 1.0, 2.0])
        self.scale = np.prod([2, 3]) / np.float64(4)

    def forward(self, z: Tensor) -> Tensor:
        image = self.draw(z * self.gain) * self.scale
        return image * torch.from_numpy(self.levels).view(1, 3, 1, 1) + torch.tensor(self.levels)[:, None, None]


class Mapped(nn.Module):
    """vmap over the samples: each has its own modulated kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.affine = nn.Parameter(torch.randn(3, 4, 3, 3)), nn.Linear(6, 4)
        self.const = nn.Parameter(torch.randn(4, 5, 5))

    def forward(self, z: Tensor) -> Tensor:
        def one(style: Tensor) -> Tensor:
            weight = self.weight * style.view(1, -1, 1, 1)
            weight = weight * torch.rsqrt(weight.square().sum((1, 2, 3), keepdim=True) + 1e-8)
            return F.conv2d(self.const[None], weight, padding=1)[0]

        return torch.vmap(one)(self.affine(z) + 1)


class Functional(nn.Module):
    """A hypernetwork's weights put into a module by functional_call."""

    def __init__(self) -> None:
        super().__init__()
        self.target, self.offset = nn.Linear(4, 3), nn.Parameter(torch.randn(3, 4))

    def forward(self, z: Tensor) -> Tensor:
        weights = {"weight": self.target.weight + self.offset, "bias": self.target.bias * 2}
        return torch.func.functional_call(self.target, weights, (z,))


class Undecided(Small):
    """try and except, isinstance, getattr by a made-up name, a match, a walrus, a nested function, a print."""

    def forward(self, z: Tensor) -> Tensor:
        try:
            z = self.missing(z)
        except AttributeError:
            z = z * 2
        for name, child in self.named_children():
            match child:
                case nn.Linear() if name == "fc":
                    layer = getattr(self, f"{name[0]}c")
                case _:
                    raise TypeError(name)
        if (width := z.shape[-1]) != layer.in_features:
            raise ValueError(f"latents have {width} values")
        return torch.stack([*map(torch.tanh, layer(z).view(-1, 3, 4).unbind(1))], 1)


class Parallel(nn.DataParallel):
    """Wrapped for several GPUs, of which there is none."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh()))


class Disabled(Small):
    """A helper that the compiler is told to leave alone."""

    @torch.compiler.disable
    def helper(self, z: Tensor) -> Tensor:
        return z * 3

    def forward(self, z: Tensor) -> Tensor:
        return self.draw(self.helper(z))


def compiled() -> nn.Module:
    """What torch.compile gives."""
    return torch.compile(nn.Sequential(nn.Linear(6, 8), nn.Tanh()), backend="eager")


class Double(nn.Module):
    """All in float64, and a float64 constant among float32."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 8).double()
        self.register_buffer("scale", torch.tensor([0.1, 0.2], dtype=torch.float64))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = self.fc(z.double())
        return x, (x.float() * self.scale[0]).view(-1, 4, 2) * self.scale.float()


class Plain(nn.Module):
    """BatchNorm with eps and affine off, an Identity, a Flatten: a Sequential that was left in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 8), nn.BatchNorm1d(8, affine=False, eps=0.1), nn.Identity(), nn.Dropout(0.5), nn.Flatten()
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.body(z)


class IdleNoise(Small):
    """Noise of weight 0, and noise that is drawn for nothing: the picture is the same at every call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("noise_weight", torch.zeros(1))

    def forward(self, z: Tensor) -> Tensor:
        torch.rand(z.shape[0], 2)
        image = self.draw(z)
        return image + self.noise_weight * torch.randn(z.shape[0], 1, 2, 2)


class OldStyle(Small):
    """Code of 2017: Variable, .data, torch.Tensor(...), volatile in-place resizing, byte masks, F.tanh."""

    def forward(self, z: Tensor) -> Tensor:
        z = torch.autograd.Variable(z).contiguous()
        shift = torch.autograd.Variable(torch.FloatTensor([0.1, 0.2, 0.3]).type(z.type()))
        zeros = torch.autograd.Variable(z.data.new(z.size(0), 3, 2, 2).fill_(0))
        image = self.draw(z.clone().mul_(2)) + zeros
        byte = (image.data > 0).byte()
        return F.tanh(image * byte.float() + shift.view(1, 3, 1, 1).expand_as(image))


class SwitchedAtLoad(Small):
    """A submodule replaced by None, a ModuleList cut by a slice and reversed, parameters by getattr of a number."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(5))
        self.extra: nn.Module | None = nn.Linear(6, 6)
        self.extra = None
        for index in range(2):
            self.register_parameter(f"scale_{index}", nn.Parameter(torch.randn(6)))
        self.register_parameter("nothing", None)
        self.register_buffer("none", None)

    def forward(self, z: Tensor) -> Tensor:
        for index, layer in enumerate(reversed(self.layers[1:3])):
            z = torch.tanh(layer(z)) * getattr(self, f"scale_{index}")
        for skipped in self.layers[3:][::-1]:
            z = z + skipped(z) * 0.1
        return self.draw(z if self.extra is None else self.extra(z))


Z = normal(6)
CASES = [
    Case("eval_and_to_return_none", SilentEval, Z, quick=True),
    Case("no_parameters_device_property", DeviceProperty, Z),
    Case("layer_by_width_of_latent", ByWidth, normal(3)),
    Case("state_changed_in_forward", Counter, Z),
    Case("cache_of_the_last_batch", SpoiledCache, Z),
    Case("training_flags", TrainingFlags, Z),
    Case("autocast_switched_off", Autocast, Z),
    Case("scripted_child", scripted, Z, refused="TorchScript"),
    Case("traced_whole", traced, Z, refused="TorchScript"),
    Case("hooks_that_change_things", Hooked, Z),
    Case("cannot_be_copied", CannotBeCopied, Z),
    Case("module_is_false", Falsy, Z),
    Case("tied_weights", TiedWeights, Z),
    Case("gradient_checkpoints", Checkpointed, Z),
    Case("numpy_scalars", NumpyScalars, Z),
    Case("vmap_over_samples", Mapped, Z),
    Case("functional_call", Functional, normal(4)),
    Case("try_match_walrus", Undecided, Z),
    Case("data_parallel", Parallel, Z),
    Case("compiler_disabled_helper", Disabled, Z),
    Case("compiled_whole", compiled, Z),
    Case("float64_inside", Double, Z),
    Case("dropout_and_identity", Plain, Z),
    Case("noise_of_weight_zero", IdleNoise, Z),
    Case("code_of_2017", OldStyle, Z),
    Case("lists_sliced_and_none_children", SwitchedAtLoad, Z),
    Case("plain_sequential", lambda: nn.Sequential(nn.Linear(6, 4), nn.Softsign()), Z),
]
