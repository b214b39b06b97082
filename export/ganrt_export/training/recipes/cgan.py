"""Class-conditional GAN of digits, the one that ships in ganrt.

scaled images -> relativistic pairing loss + lazy R1 and R2 -> averaged generator
-> folded, rounded to float16 -> held to the judge's figures and to itself on every engine -> bundle
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganrt import cache
from ganrt.bundle import Bundle
from ganrt.latents import Draws
from ganrt.spec import Image
from ganrt_export.families.cgan import Discriminator, FoldedGenerator, Generator, spec
from ganrt_export.half_weights import round_weights
from ganrt_export.pack import pack
from ganrt_export.reference import sample, to_pixels

from .. import recipe
from ..datasets import MNIST_FACTS, MNIST_LICENSE, LabelledImages, Pictures, mnist
from ..judge import judge
from ..losses import Relativistic, zero_centred_penalty
from ..quality import assess, rounded
from ..recipe import Batch, Terms, Turn

__all__ = ["CLASSES", "Digits", "Recipe", "Settings"]

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_QUALITY_SEED = 2_024  # of the samples that are judged


@dataclass(frozen=True)
class Settings(recipe.Settings):
    steps: int = 10_000
    batch: int = 64
    learning_rate: float = 4e-4
    beta1: float = 0.0
    beta2: float = 0.99
    gamma: float = 1.0  # weight of R1 and R2
    penalty_every: int = 4  # steps between penalties; each weighs this much more
    ema_decay: float = 0.999
    decay_last: float = 0.4
    norm_batches: int = 200
    replacement: bool = True


class Digits(Pictures):
    """MNIST with its labels; `training` and `held_out` are what the result is judged by."""

    def __init__(self, training: LabelledImages, held_out: LabelledImages) -> None:
        self.training, self.held_out = training, held_out
        super().__init__(training.images[:, None], training.labels, CLASSES, MNIST_FACTS)


class Recipe(recipe.Recipe):
    default_data = "mnist"
    smoke_data = "digits"
    settings: Settings

    def __init__(self, settings: Settings, data: Digits) -> None:
        generator = Generator()
        super().__init__(settings, spec(generator, CLASSES))
        self.generator = generator
        self.discriminator = Discriminator()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.digits = data

    @staticmethod
    def data(source: Path, settings: Settings) -> Digits:
        return Digits(mnist(source, "train"), mnist(source, "test"))

    def turns(self) -> tuple[Turn, ...]:
        return Turn(self.discriminator, self.discriminator_loss), Turn(self.generator, self.generator_loss)

    def discriminator_loss(self, batch: Batch, step: int) -> Terms:
        real, label = batch
        penalised = step % self.settings.penalty_every == 0
        with torch.no_grad():
            generated = self.generator(self.latents(len(real)), label)
        real, generated = real.requires_grad_(penalised), generated.requires_grad_(penalised)
        score_real, score_generated = self.discriminator(real, label), self.discriminator(generated, label)
        terms = {"loss_d": Relativistic.discriminator(score_real, score_generated)}
        if penalised:
            penalty = zero_centred_penalty(real, score_real) + zero_centred_penalty(generated, score_generated)
            terms["penalty"] = self.settings.gamma / 2 * self.settings.penalty_every * penalty
        return terms

    def generator_loss(self, batch: Batch, step: int) -> Terms:
        real, label = batch
        generated = self.generator(self.latents(len(real)), label)
        with torch.no_grad():
            score_real = self.discriminator(real, label)
        return {"loss_g": Relativistic.generator(self.discriminator(generated, label), score_real)}

    def latents(self, count: int) -> Tensor:
        return torch.randn(count, self.spec.latents[0].size, device=self.device)

    def inputs(self, count: int) -> tuple[Tensor, ...]:
        """Latents, and labels as often as the data have them."""
        labels = self.digits.training.labels
        label = torch.from_numpy(labels)[torch.randint(len(labels), (count,))]
        return self.latents(count), label.to(self.device)

    def exportable(self, generator: nn.Module) -> nn.Module:
        assert isinstance(generator, Generator)
        return round_weights(FoldedGenerator(generator))

    def export(
        self, generator: nn.Module, path: Path, provenance: dict[str, Any], tell: Callable[[str], None]
    ) -> Bundle:
        """Writes the bundle with the figures of what is in it: rounded weights, uint8.

        Raises FidelityError when an engine of this machine does not give the module's output, and OutputError.
        """
        module, image = self.exportable(generator), self.spec.output
        assert isinstance(image, Image)

        def draw(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
            draws = Draws(self.spec, _QUALITY_SEED, 0, len(labels), label=labels.tolist())
            return to_pixels(sample(module, draws), image)[..., 0]

        training, held_out = self.digits.training, self.digits.held_out
        classifier = judge(
            cache.folder() / "judge",
            training,
            on_step=lambda step, steps: tell(f"training the judge, {step / steps:.0%}"),
        )
        tell("judging samples")
        quality = assess(draw, classifier, training, held_out, CLASSES)
        tell("exporting, checking every engine")
        return pack(
            path,
            module,
            self.spec,
            name=path.stem,
            family=self.name,
            description="Handwritten digits, 28 x 28, any of ten classes: a generator trained on MNIST.",
            license=MNIST_LICENSE,
            quality={"by": "a classifier of real digits; its features against held-out digits", **rounded(quality)},
            provenance={
                **provenance,
                "weights": "batch norm folded, large weights rounded to float16, computed in float32",
            },
            half_weights=True,
            optimize="measure",
        )
