"""The training loop: updates in turn, a moving average, checkpoints that resume exactly.

Every random number of step t comes from (seed, t) alone (`feed`), so a resumed run repeats an uninterrupted one.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ganrt.media.atomic import make_folder
from ganrt_export.reference import evaluate

from . import checkpoint
from .average import average, settled
from .feed import feed
from .health import Collapse, Gradients, check_finite
from .preview import pictures
from .recipe import Batch, Data, Recipe, Settings, Terms, Turn
from .record import Record

__all__ = ["Losses", "train"]

Losses = dict[str, float]
_SHOWN, _COLUMNS, _MOST_COLUMNS = 64, 8, 16  # samples in a grid, its usual columns, and the classes that get their own
_NORM_BATCHES = 4  # for the batch norm of a grid
_GRIDS = 100  # at most about so many in a run


def train(
    recipe: Recipe,
    data: Data,
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    checkpoint_seconds: float = 300.0,
    samples_every: int | None = None,
    on_step: Callable[[int, Losses], None] = lambda step, losses: None,
    should_stop: Callable[[], bool] = lambda: False,
    warn: Callable[[str], None] = lambda sentence: None,
) -> nn.Module:
    """Trains `recipe` on `data` and returns its averaged generator, settled, in eval mode on the CPU.

    Continues from `folder`/checkpoint.pt when it is there, and writes it every `checkpoint_seconds` and at the end, and
    then the weights of each network as NAME.safetensors.
    `samples_every`: steps between grids of samples; by default an epoch, or more where epochs are short. `on_step`
    hears of each step, counted from 0. `should_stop` is asked after every step: on True the step is kept in the
    checkpoint and KeyboardInterrupt raised. `warn` hears what the user should know.
    Raises TrainingError when a loss stops being a number, when a network is dead, and when the checkpoint is damaged or
    another run's; OutputError when the folder cannot be written.
    """
    settings = recipe.settings
    make_folder(folder)
    recipe.to(device).train()
    averaged = copy.deepcopy(recipe.generator).requires_grad_(False) if settings.ema_decay else recipe.generator
    turns = recipe.turns()
    optimizers = [torch.optim.Adam(turn.parameters(), betas=(settings.beta1, settings.beta2)) for turn in turns]
    first = checkpoint.restore(folder, recipe, averaged, optimizers, data.facts)
    parts = max(turn.times for turn in turns)
    samples_every = samples_every or max(1, len(data) // (settings.batch * parts), settings.steps // _GRIDS)
    gradients, collapse = Gradients(), Collapse(warn)
    kept = time.perf_counter()
    with Record(folder, first) as record:
        for step, batches in feed(data, settings, parts, first):
            batches = [tuple(tensor.to(device, non_blocking=True) for tensor in batch) for batch in batches]
            terms = take_turns(turns, optimizers, batches, step, settings, gradients)
            if settings.ema_decay:
                average(averaged, recipe.generator, settings.ema_decay, step)
            losses = dict(zip(terms, torch.stack(list(terms.values())).tolist(), strict=True))
            check_finite(step, losses)
            record.losses(step, losses)
            on_step(step, losses)
            done, last, stopping = step + 1, step + 1 == settings.steps, should_stop()
            if done % samples_every == 0 or last:
                _show(recipe, averaged, data, record, collapse, done)
            if stopping or last or time.perf_counter() - kept >= checkpoint_seconds:
                checkpoint.save(folder, done, recipe, averaged, optimizers, data.facts)
                record.flush()
                kept = time.perf_counter()
            if stopping:
                raise KeyboardInterrupt
        record.summary()
    generator = settled(averaged, recipe, settings.norm_batches).cpu()
    for name, network in {**dict(recipe.named_children()), "generator": generator}.items():
        checkpoint.save_weights(folder / f"{name}.safetensors", network)
    recipe.cpu().figures(generator, folder)
    return generator


def take_turns(
    turns: Sequence[Turn],
    optimizers: Sequence[torch.optim.Adam],
    batches: Sequence[Batch],
    step: int,
    settings: Settings,
    gradients: Gradients,
) -> Terms:
    """One step: every turn's updates in order. Returns the terms of their losses, of a turn's last update."""
    terms: Terms = {}
    for turn, optimizer in zip(turns, optimizers, strict=True):
        set_rate(optimizer, settings, step, turn.rate)
        for other in optimizers:
            _require_gradients(other, False)
        _require_gradients(optimizer, True)
        for batch in batches[-turn.times :]:
            terms |= update(turn, optimizer, batch, step, settings.accumulate)
        gradients.look(step, turn)
    return terms


def update(turn: Turn, optimizer: torch.optim.Adam, batch: Batch, step: int, accumulate: int) -> Terms:
    """One step of `optimizer` down the gradient of the sum of the loss's terms; returns the terms."""
    optimizer.zero_grad(set_to_none=True)
    parts = zip(*(tensor.chunk(accumulate) for tensor in batch), strict=True)
    every = [_backward(turn, part, step, accumulate) for part in parts]
    optimizer.step()
    return {name: torch.stack([terms[name] for terms in every]).mean() for name in every[0]}


def _backward(turn: Turn, batch: Batch, step: int, accumulate: int) -> Terms:
    with _mixed_precision(batch[0].device):
        terms = turn.loss(batch, step)
    loss = sum(terms.values(), start=torch.zeros((), device=batch[0].device))
    (loss / accumulate).backward()  # type: ignore[no-untyped-call]
    return {name: term.detach().float() for name, term in terms.items()}


def set_rate(optimizer: torch.optim.Adam, settings: Settings, step: int, rate: float) -> None:
    """The learning rate of one step: flat, then falling to zero over the last `decay_last` of the steps."""
    falling = (settings.steps - step) / max(1.0, settings.steps * settings.decay_last)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * min(1.0, falling) * rate


def _require_gradients(optimizer: torch.optim.Adam, required: bool) -> None:
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.requires_grad_(required)


def _mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """BF16 where a GPU computes in it, which needs no loss scaling; FP32 anywhere else.

    Without autocast's cache: a weight that it first meets under no_grad would have no gradient afterwards.
    """
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16, cache_enabled=False)
    return nullcontext()


def _show(recipe: Recipe, averaged: nn.Module, data: Data, record: Record, collapse: Collapse, done: int) -> None:
    """Keeps a grid of samples, and looks how varied they are."""
    network = recipe.exportable(settled(averaged, recipe, min(_NORM_BATCHES, recipe.settings.norm_batches)).cpu())
    raw = evaluate(network, recipe.spec, recipe.fixed_inputs(_SHOWN))
    looked, label = pictures(raw, recipe.spec.output), recipe.spec.label
    if looked is not None:
        repeated = label is not None and label.classes <= _MOST_COLUMNS
        record.samples(done, looked, label.classes * max(1, _COLUMNS // label.classes) if label and repeated else None)
    real, *_ = data[np.linspace(0, len(data) - 1, len(raw)).astype(int).tolist()]
    collapse.look(done, raw, real.numpy())
