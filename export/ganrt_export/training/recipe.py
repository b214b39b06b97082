"""What a recipe is: networks, their losses, and what the trained generator takes and gives.

A recipe is one file of `recipes/`. The loop gives it batches and a step; it answers with losses, term by term. All
else (optimisers, average, checkpoints, pictures, export) is the loop's. It looks like this, whole:

    class Recipe(recipe.Recipe):
        settings: Settings

        def __init__(self, settings: Settings, data: Data) -> None:
            super().__init__(settings, spec=Spec(inputs=(Latent(size=100),), output=Image(28, 28, channels=1)))
            self.generator, self.discriminator = Generator(), Discriminator()

        def turns(self) -> tuple[Turn, ...]:
            return Turn(self.discriminator, self.discriminator_loss), Turn(self.generator, self.generator_loss)

        def discriminator_loss(self, batch: Batch, step: int) -> Terms:
            (real,) = batch
            with torch.no_grad():
                generated = self.generator(*self.inputs(len(real)))
            return {"loss_d": NonSaturating.discriminator(self.discriminator(real), self.discriminator(generated))}

        def generator_loss(self, batch: Batch, step: int) -> Terms:
            (real,) = batch
            return {"loss_g": NonSaturating.generator(self.discriminator(self.generator(*self.inputs(len(real)))))}
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, get_type_hints

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt.bundle import Bundle
from ganrt.errors import ArgumentError
from ganrt.latents import Draws
from ganrt.spec import Code, Label, Latent, Spec, Truncation

__all__ = ["Batch", "Data", "Recipe", "Settings", "Terms", "Turn", "check_power_of_two", "provenance"]

Batch: TypeAlias = tuple[Tensor, ...]  # what one item of the data is, stacked: (images,), (images, labels), ...
Terms: TypeAlias = dict[str, Tensor]  # scalars by name; their sum is minimised, each is logged


class Data(Protocol):
    """Training data: `data[indices]` is a batch.

    `facts` say what they are, for provenance and checkpoints; `notes`, what the user should know of them. `decodes`:
    items are read from files one by one, so that reading ahead in processes of its own is worth it.
    """

    @property
    def facts(self) -> dict[str, Any]: ...
    @property
    def notes(self) -> Sequence[str]: ...
    @property
    def decodes(self) -> bool: ...
    def __len__(self) -> int: ...
    def __getitem__(self, indices: list[int]) -> Batch: ...


@dataclass(frozen=True)
class Settings:
    """How to train; every field is written into the bundle's provenance. A recipe adds fields and its own defaults.

    Whole numbers are at least 1, or what `least` says; other numbers at least 0, and those in `shares` at most 1.
    Raises ArgumentError.
    """

    least: ClassVar[Mapping[str, int]] = {"seed": 0}
    shares: ClassVar[frozenset[str]] = frozenset({"beta1", "beta2", "ema_decay", "decay_last"})

    steps: int = 10_000  # in each of which every turn is taken
    batch: int = 64  # samples a loss sees
    accumulate: int = 1  # parts that a batch is computed in, one after the other, where memory is short
    learning_rate: float = 2e-4  # Adam
    beta1: float = 0.5
    beta2: float = 0.999
    decay_last: float = 0.0  # share of the steps over which the rate falls to zero
    ema_decay: float = 0.0  # of the generator's moving average, a step; 0: none, the generator itself is exported
    norm_batches: int = 40  # of 256 samples, from which the result's batch norm is estimated
    replacement: bool = False  # draw each batch from all data; or go through all, in a new order each epoch
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ArgumentError(f"The learning rate is {self.learning_rate}; it must be above 0.")
        kinds = get_type_hints(type(self))
        for name in (field.name for field in fields(self)):
            value, least = getattr(self, name), self.least.get(name, int(kinds[name] is int))
            if isinstance(value, str) or value is None:
                continue
            if not least <= value < math.inf:
                raise ArgumentError(f"{name} is {value}; it must be at least {least}.")
            if name in self.shares and value > 1:
                raise ArgumentError(f"{name} is {value}; it must be at most 1.")
        if max(self.beta1, self.beta2) == 1:
            raise ArgumentError("beta1 and beta2 must be below 1: Adam would forget nothing.")
        if self.batch % self.accumulate:
            raise ArgumentError(f"A batch of {self.batch} cannot be computed in {self.accumulate} equal parts.")


class Turn(NamedTuple):
    """One update of `networks` by `loss`, `times` in a row at each step, each time with a batch of its own.

    `loss(batch, step)` has gradients for the weights of `networks` only. `rate` multiplies the learning rate.
    """

    networks: nn.Module | Sequence[nn.Module]
    loss: Callable[[Batch, int], Terms]
    times: int = 1
    rate: float = 1.0

    def parameters(self) -> list[nn.Parameter]:
        networks = [self.networks] if isinstance(self.networks, nn.Module) else self.networks
        return [parameter for network in networks for parameter in network.parameters()]


class Recipe(nn.Module):
    """A system to train. What is assigned in `__init__`, networks and buffers, is moved, kept and resumed with it.

    `generator` is the network that is averaged, drawn from and exported; it takes `spec.input_ports()` in order.
    """

    default_data: str | None = None  # what --data is when it is left out
    smoke_data = "photos"  # what --smoke trains on: a kind in `datasets.at_hand`
    smoke_settings: Mapping[str, Any] = {"steps": 4, "batch": 4, "norm_batches": 1}
    generator: nn.Module

    def __init__(self, settings: Settings, spec: Spec) -> None:
        super().__init__()
        self.settings, self.spec = settings, spec

    @staticmethod
    def data(source: Path, settings: Any) -> Data:
        """The training data at `source`, as this recipe wants them. Raises DataError."""
        raise NotImplementedError

    def turns(self) -> tuple[Turn, ...]:
        """What is updated at each step, in order."""
        raise NotImplementedError

    def inputs(self, count: int) -> tuple[Tensor, ...]:
        """What the generator takes, drawn at random for `count` samples, as `spec` describes it."""
        return tuple(drawn for part in self.spec.inputs if (drawn := _draw(part, count, self.device)) is not None)

    def fixed_inputs(self, count: int) -> dict[str, NDArray[Any]]:
        """What the grids of samples are made from: the first `count` samples of seed 0, the labels one after another.

        By the names in `spec`, so that they are what `ganrt sample` draws from the bundle.
        """
        label = None if self.spec.label is None else [index % self.spec.label.classes for index in range(count)]
        return Draws(self.spec, 0, 0, count, label=label).feeds(0, count)

    def exportable(self, generator: nn.Module) -> nn.Module:
        """The module that `spec` describes, from a trained generator in eval mode: itself, or another form of it."""
        return generator

    def quality(self, generator: nn.Module) -> dict[str, Any]:
        """Figures for the bundle of how good a trained generator is, in eval mode on the CPU; none by default."""
        return {}

    def figures(self, generator: nn.Module, folder: Path) -> None:
        """Writes into `folder` what else there is to see of a trained generator; nothing by default."""

    def export(
        self, generator: nn.Module, path: Path, provenance: dict[str, Any], tell: Callable[[str], None]
    ) -> Bundle:
        """Writes the trained generator, in eval mode on the CPU, as a bundle at `path`. Raises as export_generator."""
        from ganrt_export.export import export_generator  # onnx and the engines, seconds

        return export_generator(
            self.exportable(generator),
            path,
            self.spec,
            name=path.stem,
            family=self.name,
            description=self.description,
            license=provenance["data"].get("license", ""),
            quality=self.quality(generator),
            provenance=provenance,
            progress=tell,
        )

    @property
    def name(self) -> str:
        """The recipe's name on the command line: its file's."""
        return type(self).__module__.rpartition(".")[2].replace("_", "-")

    @property
    def description(self) -> str:
        """The first line of the recipe's file."""
        return (sys.modules[type(self).__module__].__doc__ or "").partition("\n")[0]

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


def provenance(recipe: Recipe, data: Data) -> dict[str, Any]:
    """What a bundle says of how its generator came about."""
    settings = asdict(recipe.settings)
    return {"recipe": recipe.name, "seed": settings["seed"], "settings": settings, "data": data.facts}


def check_power_of_two(size: int, least: int, most: int) -> None:
    """Raises ArgumentError unless `size` is a power of two in `least` .. `most`."""
    if not least <= size <= most or size & (size - 1):
        allowed = ", ".join(str(least << n) for n in range((most // least).bit_length()))
        raise ArgumentError(f"The size is {size}; this recipe makes squares of {allowed} pixels.")


def _draw(part: object, count: int, device: torch.device) -> Tensor | None:
    match part:
        case Latent(size=size, distribution="normal"):
            return torch.randn(count, size, device=device)
        case Latent(size=size, distribution="uniform"):
            return torch.rand(count, size, device=device) * 2 - 1
        case Latent(size=size, threshold=threshold):
            empty = torch.empty(count, size, device=device)
            return nn.init.trunc_normal_(empty, a=-threshold, b=threshold)
        case Label(classes=classes, encoding="index"):
            return torch.randint(classes, (count,), device=device)
        case Label(classes=classes) | Code(size=classes, kind="categorical"):
            return F.one_hot(torch.randint(classes, (count,), device=device), classes).float()
        case Code(size=size, low=low, high=high):
            return torch.rand(count, size, device=device) * (high - low) + low
        case Truncation(how="graph", default=float(default)):
            return torch.full((count, 1), default, device=device)
    return None  # a truncation by threshold is outside the network
