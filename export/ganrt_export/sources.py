"""Where a generator comes from: a checkpoint file of a known family, or a function of the user's own."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from ganrt.errors import ArgumentError, CheckpointError
from ganrt.spec import Spec

from . import families
from .checkpoints import check_finite, fold_norms, read_state
from .families.base import load_exactly

__all__ = ["Source", "build_module", "load_checkpoint", "load_into"]


class Source(NamedTuple):
    """A network with its weights, what it takes and gives, its family, and what a user would want to know."""

    module: nn.Module
    spec: Spec
    family: str
    notes: tuple[str, ...]


def load_checkpoint(file: Path, *, key: str | None = None, family: str | None = None) -> Source:
    """The generator in a checkpoint file; its family is recognised by its keys unless it is given.

    Executes nothing. Raises CheckpointError when the file cannot be read or holds no generator of the family,
    ArgumentError when there is no such family.
    """
    if family is not None and family not in families.NAMES:
        raise ArgumentError(f"There is no family '{family}'; ganrt knows: {', '.join(families.NAMES)}.")
    if file.suffix.lower() == ".pkl" and family in (None, "stylegan2"):
        return _load_records(file, key)
    state, told = read_state(file, key)
    tensors = fold_norms(state)
    check_finite(tensors)
    family = family or families.recognise(tensors)
    loaded = families.load(family, tensors)
    return Source(loaded.module, loaded.spec, family, tuple(filter(None, (told, *loaded.notes))))


def build_module(what: str) -> tuple[nn.Module, Any]:
    """The module that `package.module:function` makes, and its example inputs where the function gives them too.

    This runs the user's own code, which is what it is for. Raises ArgumentError when there is no such module.
    """
    module_name, _, attribute = what.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as problem:
        raise ArgumentError(f"'{what}' is not to be found: {problem}. Write it as my_module:function.") from problem
    finally:
        sys.path.pop(0)
    made = found() if callable(found) and not isinstance(found, nn.Module) else found
    module, examples = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(module, nn.Module):
        raise ArgumentError(f"'{what}' gives a {type(module).__name__}, not a torch.nn.Module.")
    module.eval()
    return module, examples


def load_into(module: nn.Module, checkpoint: Path, key: str | None = None) -> None:
    """Puts a checkpoint's weights into the user's own module. Raises CheckpointError naming what does not match."""
    state, _ = read_state(checkpoint, key)
    check_finite(state)
    load_exactly(module, state, type(module).__name__, ignore=("num_batches_tracked",))


def _load_records(file: Path, key: str | None) -> Source:
    from .families.stylegan2 import load_nvlabs
    from .persistent_records import read_records

    records = read_records(file)
    chosen = key or next((name for name in ("G_ema", "G") if name in records), "")
    if chosen not in records:
        raise CheckpointError(f"{file} holds {', '.join(records) or 'no network'}; pick one with --key.")
    loaded = load_nvlabs(records[chosen].state_dict(), records[chosen].kwargs)
    return Source(loaded.module, loaded.spec, "stylegan2", (f"weights of '{chosen}'", *loaded.notes))
