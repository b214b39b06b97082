"""A trial of a recipe in seconds, on real data that are at hand: trained, stopped, resumed, exported, drawn from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from ganrt import Generator

from .datasets.at_hand import prepare
from .loop import Losses, train
from .recipe import Recipe, provenance
from .recipes import RecipeFile

__all__ = ["smoke"]

_SAMPLES = 8


def smoke(file: RecipeFile, folder: Path, output: Path, device: str, tell: Callable[[str], None]) -> None:
    """Goes the whole way of a recipe in `folder`, leaves the bundle at `output`, and tells of each stage.

    What a recipe does beside training and export, such as judging, takes minutes and is left out. Raises as each stage.
    """
    settings = file.Settings(**file.Recipe.smoke_settings)
    data = file.Recipe.data(prepare(file.Recipe.smoke_data, folder / "data"), settings)
    tell(f"read {len(data):,} samples ({file.Recipe.smoke_data})")
    seen: list[Losses] = []

    def run(stop_after: int) -> tuple[Recipe, torch.nn.Module]:
        torch.manual_seed(settings.seed)
        made: Recipe = file.Recipe(settings, data)
        generator = train(
            made,
            data,
            folder / "run",
            device=device,
            on_step=lambda step, losses: seen.append(losses),
            should_stop=lambda: len(seen) == stop_after,
        )
        return made, generator

    half = settings.steps // 2
    with suppress(KeyboardInterrupt):
        run(stop_after=half)
    tell(f"trained {len(seen)} of {settings.steps} steps and stopped: {_told(seen[-1])}")
    made, generator = run(stop_after=-1)
    tell(f"went on to step {len(seen)}: {_told(seen[-1])}")
    bundle = Recipe.export(made.cpu(), generator, output, provenance(made, data), lambda stage: None)
    right = {name: figures for name, figures in bundle.manifest.fidelity["fp32"].items() if "fault" not in figures}
    engines = (f"{figures['engine']} {figures['psnr_db']:.0f} dB" for figures in right.values())
    tell(f"exported {output}, {output.stat().st_size:,} bytes; against PyTorch: {', '.join(engines)}")
    # one way of running it, so that no time goes into measuring which of several is the fastest
    with Generator.load(output, backend=next(iter(right)), precision="fp32", form="plain") as loaded:
        if made.spec.signals:
            samples = loaded.run(made.fixed_inputs(_SAMPLES))[made.spec.output_ports()[0].name]
        else:
            samples = loaded.sample(_SAMPLES, seed=0)
    tell(f"drew {samples.dtype} {list(samples.shape)} with {loaded.backend}")


def _told(losses: Losses) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
