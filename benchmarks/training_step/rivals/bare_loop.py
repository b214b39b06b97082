"""A GAN's step in plain PyTorch, on a recipe's networks: the generator's step on samples of its own ("fresh"), as in
Goodfellow et al. 2014 and in the recipes, or on those that the discriminator has just seen ("reused"), as in tutorials.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import torch
from torch import nn

from ganrt_export.training import recipes
from ganrt_export.training.datasets.at_hand import prepare


def make(n: int, name: str, samples: str) -> Callable[[], object]:
    file = recipes.find(name)
    settings = file.Settings(batch=n)
    data = file.Recipe.data(prepare("digits", Path(mkdtemp()) / "data"), settings)
    images = data.images.float().div(127.5).sub(1)
    torch.manual_seed(0)
    networks = file.Recipe(settings, data)
    generator, discriminator = networks.generator.train(), networks.discriminator.train()
    adam_g, adam_d = (
        torch.optim.Adam(network.parameters(), settings.learning_rate, betas=(settings.beta1, settings.beta2))
        for network in (generator, discriminator)
    )
    bce = nn.BCEWithLogitsLoss()
    yes, no = torch.ones(n), torch.zeros(n)

    def step() -> tuple[float, float]:
        real = images[torch.randint(len(images), (n,))]

        with torch.set_grad_enabled(samples == "reused"):
            generated = generator(torch.randn(n, settings.z_dim))
        loss_d = (bce(discriminator(real), yes) + bce(discriminator(generated.detach()), no)) / 2
        adam_d.zero_grad()
        loss_d.backward()
        adam_d.step()

        if samples == "fresh":
            generated = generator(torch.randn(n, settings.z_dim))
        loss_g = bce(discriminator(generated), yes)
        adam_g.zero_grad()
        loss_g.backward()
        adam_g.step()
        return loss_d.item(), loss_g.item()

    return step
