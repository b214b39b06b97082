"""PyTorch itself: eager, channels last, torch.compile, or BF16 autocast; inference mode, every core."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ganrt.environment import usable_cores
from ganrt.spec import Image

from ..networks import build
from ._answer import drawing, keep, load


def make(n: int, inputs: str, answer: str, name: str, how: str) -> Callable[[], object]:
    torch.set_num_threads(usable_cores())
    made = build(name)
    module, spec = made.sample.module, made.sample.spec
    if how in ("channels_last", "bf16", "compile", "autotune"):
        module = module.to(memory_format=torch.channels_last)
    if how == "compile":
        module = torch.compile(module)
    if how == "autotune":
        module = torch.compile(module, mode="max-autotune")
    feeds = load(inputs)
    given, draw = [torch.from_numpy(array) for array in feeds.values()], drawing(feeds, spec)
    half = torch.autocast("cpu", torch.bfloat16, enabled=how == "bf16")

    def run() -> torch.Tensor:
        with torch.inference_mode(), half:
            found: torch.Tensor = module(*given)
            return found.float()

    keep(answer, run().contiguous().numpy())
    output = spec.output
    if not isinstance(output, Image):
        return lambda: (draw(), run())
    scale, low = 255 / (output.high - output.low), output.low

    def call() -> object:
        draw()
        with torch.inference_mode():
            shown = run().sub_(low).mul_(scale).round_().clamp_(0, 255).to(torch.uint8)
            return shown.permute(0, 2, 3, 1).contiguous().numpy()

    return call
