"""The training loop of an adversarial pair: losses, moving average, checkpoints that resume exactly.

Every random number of step t comes from (seed, t) alone, so a resumed run repeats an uninterrupted one.
"""

from __future__ import annotations

import copy
import csv
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError  # to catch it: weights_only reads no pickle that could run anything

import torch
from torch import Tensor, nn

from ganrt.errors import TrainingError

from .losses import relativistic_loss, zero_centred_penalty

__all__ = ["Settings", "train"]


@dataclass(frozen=True)
class Settings:
    """How to train; every field is written into the bundle's provenance."""

    steps: int = 10_000  # generator updates
    batch: int = 64  # images a step
    learning_rate: float = 4e-4  # Adam, both networks
    beta1: float = 0.0
    beta2: float = 0.99
    gamma: float = 1.0  # weight of R1 and R2
    penalty_every: int = 4  # steps between penalties; each weighs this much more
    ema_decay: float = 0.999  # of the generator, a step
    decay_last: float = 0.4  # share of the steps over which the rate falls to zero
    seed: int = 0


def train(
    generator: nn.Module,
    discriminator: nn.Module,
    images: Tensor,
    labels: Tensor,
    settings: Settings,
    folder: Path,
    *,
    checkpoint_every: int = 500,
    on_step: Callable[[int, float, float], None] = lambda step, loss_d, loss_g: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> nn.Module:
    """Trains both networks on `images` float32 [n, 1, h, w] in [-1, 1] and `labels` int64 [n].

    Returns the averaged generator, in eval mode, its batch-norm statistics re-estimated for the averaged weights.
    Continues from `folder`/checkpoint.pt when it is there. `should_stop` is asked after every step: on True the step is
    kept in the checkpoint and KeyboardInterrupt raised. Raises TrainingError when a loss stops being a number, or when
    the checkpoint is damaged or was made with other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    averaged = copy.deepcopy(generator).requires_grad_(False)
    optimizers = [
        torch.optim.Adam(network.parameters(), settings.learning_rate, betas=(settings.beta1, settings.beta2), eps=1e-8)
        for network in (generator, discriminator)
    ]
    first = _resume(folder / "checkpoint.pt", generator, discriminator, averaged, optimizers, settings)
    draws = torch.Generator()
    started = time.perf_counter()
    for step in range(first, settings.steps):
        _set_rate(optimizers, settings, step)
        draws.manual_seed(_seed_of(settings.seed, step))
        chosen = torch.randint(len(images), (settings.batch,), generator=draws)
        real, label = images[chosen], labels[chosen]
        z = torch.randn(settings.batch, int(generator.z_dim), generator=draws)  # type: ignore[arg-type]
        loss_d = _discriminator_step(generator, discriminator, optimizers[1], real, label, z, settings, step)
        z = torch.randn(settings.batch, int(generator.z_dim), generator=draws)  # type: ignore[arg-type]
        loss_g = _generator_step(generator, discriminator, optimizers[0], real, label, z)
        _average(averaged, generator, settings.ema_decay, step)
        if not math.isfinite(loss_d + loss_g):
            raise TrainingError(
                f"Training diverged at step {step}: losses {loss_d}, {loss_g}; try a lower learning rate."
            )
        on_step(step, loss_d, loss_g)
        stopping = should_stop()
        if stopping or (step + 1) % checkpoint_every == 0 or step + 1 == settings.steps:
            _save(folder / "checkpoint.pt", generator, discriminator, averaged, optimizers, settings, step + 1)
            _log(folder / "metrics.csv", step + 1, loss_d, loss_g, time.perf_counter() - started)
        if stopping:
            raise KeyboardInterrupt
    return _estimate_batch_norm(averaged, labels, settings)


def _seed_of(seed: int, step: int) -> int:
    """A seed for the draws of one step. 32 bits, because PyTorch's generator on the CPU ignores the others."""
    return (seed * 0x9E3779B1 + step) & 0xFFFFFFFF


def _discriminator_step(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    label: Tensor,
    z: Tensor,
    settings: Settings,
    step: int,
) -> float:
    penalised = step % settings.penalty_every == 0
    with torch.no_grad():
        generated = generator(z, label)
    real, generated = real.detach().requires_grad_(penalised), generated.requires_grad_(penalised)
    score_real, score_generated = discriminator(real, label), discriminator(generated, label)
    loss = relativistic_loss(score_real, score_generated)
    value = float(loss.detach())
    if penalised:
        penalty = zero_centred_penalty(real, score_real) + zero_centred_penalty(generated, score_generated)
        loss = loss + settings.gamma / 2 * settings.penalty_every * penalty
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value


def _generator_step(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    label: Tensor,
    z: Tensor,
) -> float:
    discriminator.requires_grad_(False)
    with torch.no_grad():
        score_real = discriminator(real, label)
    loss = relativistic_loss(discriminator(generator(z, label), label), score_real)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    discriminator.requires_grad_(True)
    return float(loss.detach())


def _average(averaged: nn.Module, generator: nn.Module, decay: float, step: int) -> None:
    decay = min(decay, (1 + step) / (10 + step))  # the first steps count for little
    with torch.no_grad():
        for mean, value in zip(averaged.parameters(), generator.parameters(), strict=True):
            mean.lerp_(value, 1 - decay)


def _estimate_batch_norm(network: nn.Module, labels: Tensor, settings: Settings, batches: int = 200) -> nn.Module:
    """Batch-norm statistics of the averaged weights; the running ones belong to other weights."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    draws = torch.Generator().manual_seed(settings.seed)
    network.train()
    with torch.no_grad():
        for _ in range(batches):
            label = labels[torch.randint(len(labels), (256,), generator=draws)]
            network(torch.randn(256, int(network.z_dim), generator=draws), label)  # type: ignore[arg-type]
    return network.eval()


def _set_rate(optimizers: list[torch.optim.Adam], settings: Settings, step: int) -> None:
    falling = (settings.steps - step) / max(1.0, settings.steps * settings.decay_last)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, falling)


def _save(
    path: Path,
    generator: nn.Module,
    discriminator: nn.Module,
    averaged: nn.Module,
    optimizers: list[torch.optim.Adam],
    settings: Settings,
    step: int,
) -> None:
    temporary = path.with_suffix(".tmp")
    state = {
        "generator": generator.state_dict(),
        "discriminator": discriminator.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "settings": asdict(settings),
        "step": step,
    }
    torch.save(state, temporary)
    os.replace(temporary, path)


def _resume(
    path: Path,
    generator: nn.Module,
    discriminator: nn.Module,
    averaged: nn.Module,
    optimizers: list[torch.optim.Adam],
    settings: Settings,
) -> int:
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True)
        made_with = state["settings"]
    except (UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as problem:
        raise TrainingError(f"The checkpoint {path} is damaged; delete it to start again.") from problem
    if made_with != asdict(settings):
        raise TrainingError(f"{path} was made with other settings ({made_with}); use another folder.")
    generator.load_state_dict(state["generator"])
    discriminator.load_state_dict(state["discriminator"])
    averaged.load_state_dict(state["averaged"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"])


def _log(path: Path, step: int, loss_d: float, loss_g: float, seconds: float) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "loss_d", "loss_g", "seconds"])
        writer.writerow([step, f"{loss_d:.5f}", f"{loss_g:.5f}", f"{seconds:.1f}"])
