"""What a family of networks is: a file with NAME, `detect` and `load`.

    NAME                what `ganrt export NAME` calls it
    detect(state)       are these the keys and ranks of this family's generator? Looks at no value.
    load(state)         the network in eval mode with these weights, sizes read off shapes; CheckpointError otherwise

Why no base class: a family brings a network of its own and shares nothing with the others but these verbs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from torch import Tensor, nn

from ganrt.errors import CheckpointError, legible
from ganrt.spec import Spec

__all__ = ["Loaded", "State", "load_exactly"]

State: TypeAlias = Mapping[str, Tensor]


class Loaded(NamedTuple):
    """`module` in eval mode takes `spec.input_ports()` in order; `notes` say what a user would want to know."""

    module: nn.Module
    spec: Spec
    notes: tuple[str, ...] = ()


def load_exactly(module: nn.Module, state: State, family: str, *, ignore: tuple[str, ...] = ()) -> nn.Module:
    """`module` with the weights of `state`, in eval mode and without gradients.

    `ignore`: endings of keys that may be missing or extra, such as "num_batches_tracked".
    Raises CheckpointError naming the first keys that are missing, extra or of another shape.
    """
    own = module.state_dict()
    missing = sorted(key for key in own if key not in state and not key.endswith(ignore or ("\0",)))
    extra = sorted(key for key in state if key not in own and not key.endswith(ignore or ("\0",)))
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    if missing or extra:
        kind, keys = ("lacks", missing) if missing else ("has, beside what the network knows,", extra)
        listing = legible(", ".join(keys[:4])) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
        raise CheckpointError(f"The checkpoint is not a {family} generator: it {kind} {listing}.")
    if shapes:
        key = shapes[0]
        raise CheckpointError(
            f"The checkpoint is not a {family} generator of consistent sizes: '{legible(key)}' is "
            f"{list(state[key].shape)}, the rest of it asks for {list(own[key].shape)}."
        )
    module.load_state_dict({key: state[key] for key in own if key in state}, strict=False)
    return module.eval().requires_grad_(False)
