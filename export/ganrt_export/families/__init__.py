"""The families of networks that `ganrt export` can read, one file each, of the shape that `base` describes.

A file is imported when it is asked for, so that what one family needs is no condition for the others.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

from ganrt.errors import ArgumentError, CheckpointError, legible

if TYPE_CHECKING:
    from .base import Loaded, State

__all__ = ["NAMES", "load", "recognise"]

# The most particular keys first: what a message lists, and what a reader looks through.
NAMES = (
    "stylegan2",
    "restoration",
    "hifigan",
    "resnet_gan",
    "wavegan",
    "infogan",
    "cgan",
    "cdcgan",
    "dcgan",
    "mlp_gan",
)


class Family(Protocol):
    NAME: str

    def detect(self, state: State) -> bool: ...
    def load(self, state: State) -> Loaded: ...


def recognise(state: State) -> str:
    """The name of the only family whose generator has these keys.

    Raises CheckpointError when there is none, saying what was looked for, or more than one, saying which.
    """
    families = {name: _family(name) for name in NAMES if _there(name)}
    found = [name for name, family in families.items() if family.detect(state)]
    if len(found) == 1:
        return found[0]
    keys = legible(", ".join(list(state)[:4]) or "nothing")
    if found:
        raise CheckpointError(
            f"The checkpoint ({keys}, ...) could be a generator of several families: {', '.join(found)}; say which."
        )
    looked_for = "; ".join(f"{name}: {_known_by(family)}" for name, family in families.items())
    raise CheckpointError(
        f"The checkpoint ({keys}, ...) is no generator that ganrt knows; a discriminator, or a training checkpoint "
        f"with the generator inside, is none. Looked for {looked_for}."
    )


def load(name: str, state: State) -> Loaded:
    """The generator of family `name` with the weights of `state`, its spec, and notes on what was taken for granted.

    Raises ArgumentError when there is no such family, CheckpointError when the weights are not its generator's.
    """
    if name not in NAMES or not _there(name):
        raise ArgumentError(f"There is no family '{legible(name, 60)}'; there are {', '.join(filter(_there, NAMES))}.")
    return _family(name).load(state)


def _there(name: str) -> bool:
    return find_spec(f"{__name__}.{name}") is not None


def _family(name: str) -> Family:
    return cast("Family", import_module(f"{__name__}.{name}"))


def _known_by(family: Family) -> str:
    """A family's own words, or the first keys of each of its layouts."""
    words: str = getattr(family, "KNOWN_BY", "")
    layouts = list(dict.fromkeys(tuple(layout)[:3] for layout in getattr(family, "LAYOUTS", ())))
    return words or " or ".join(", ".join(keys) for keys in layouts[:2]) or "keys of its own"
