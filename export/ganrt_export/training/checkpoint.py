"""Checkpoints: all that a run needs to go on, in one file that is whole or not there.

No state of a random generator is in it: every draw is a function of the seed and the step (`feed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError  # to catch it: weights_only reads no pickle that could run anything
from typing import Any

import safetensors.torch
import torch
from torch import nn

from ganrt.errors import OutputError, TrainingError, legible
from ganrt.media.atomic import Replacement, write_bytes

from .recipe import Recipe

__all__ = ["NAME", "restore", "save", "save_weights"]

NAME = "checkpoint.pt"
_FORMAT = 1


def save(
    folder: Path, step: int, recipe: Recipe, averaged: nn.Module, optimizers: Sequence[torch.optim.Adam], facts: Any
) -> None:
    """Writes `folder`/checkpoint.pt after `step` steps. Raises OutputError; the checkpoint before it is then kept."""
    state = {
        **_made_by(recipe, facts),
        "step": step,
        "networks": recipe.state_dict(),
        "averaged": averaged.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    path = folder / NAME
    kept = "The last good checkpoint is kept; the same command goes on from it." if path.exists() else ""
    try:
        with Replacement(path) as file:
            torch.save(state, file)  # type: ignore[arg-type]  # it only writes
    except (OutputError, RuntimeError) as problem:
        cause = problem if isinstance(problem, OutputError) else problem.__context__  # PyTorch's writer covers it
        if not isinstance(cause, OutputError):
            raise
        raise OutputError(f"{cause} {kept}".strip()) from problem


def restore(
    folder: Path, recipe: Recipe, averaged: nn.Module, optimizers: Sequence[torch.optim.Adam], facts: Any
) -> int:
    """Puts back what `save` wrote, if there is something, and returns the steps that were done.

    Raises TrainingError when the checkpoint is damaged or is of another recipe, other settings or other data.
    """
    path = folder / NAME
    if not path.exists():
        return 0
    here = _made_by(recipe, facts)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__}")
        there = {key: state[key] for key in here}
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as problem:
        raise TrainingError(f"The checkpoint {path} is damaged; delete it to start again.") from problem
    _check(path, there, here)
    try:
        recipe.load_state_dict(state["networks"])
        averaged.load_state_dict(state["averaged"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    except (RuntimeError, ValueError, KeyError) as problem:
        raise TrainingError(
            f"{path} is of other networks than {recipe.name} has now; use another folder, or delete it."
        ) from problem
    return int(state["step"])


def save_weights(path: Path, network: nn.Module) -> None:
    """Writes the weights and buffers of `network` as safetensors. Raises OutputError."""
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    write_bytes(path, safetensors.torch.save(state))


def _made_by(recipe: Recipe, facts: Any) -> dict[str, Any]:
    return {"format": _FORMAT, "recipe": recipe.name, "settings": asdict(recipe.settings), "data": facts}


def _check(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Raises TrainingError where a checkpoint came from something else than would go on with it."""
    if there["format"] != here["format"]:
        raise TrainingError(f"{path} was written by another version of ganrt; use another folder, or delete it.")
    if there["recipe"] != here["recipe"]:
        raise TrainingError(
            f"{path} is of the recipe {legible(there['recipe'])}, not of {here['recipe']}; use another folder."
        )
    for what in ("settings", "data"):
        if there[what] != here[what]:
            raise TrainingError(
                f"{path} was made with other {what} ({_difference(there[what], here[what])}); "
                f"use the same, or another folder."
            )


def _difference(there: Any, here: Any) -> str:
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    return legible(", ".join(f"{name}: {there.get(name)} there, {here.get(name)} here" for name in names))
