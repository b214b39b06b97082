"""The training loop: exact resumption, an orderly stop, turns, averages, and what is refused."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from training_case import Recipe, Settings, pictures, run

from ganrt.errors import TrainingError
from ganrt_export.training import health
from ganrt_export.training.loop import Losses, train
from ganrt_export.training.recipe import Batch, Terms, Turn

SETTINGS = Settings()


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def losses_of(folder: Path) -> list[list[str]]:
    """The rows of metrics.csv without the seconds."""
    return [row.split(",")[:-1] for row in (folder / "metrics.csv").read_text().split()]


def stop_after(folder: Path, steps: int, settings: Settings = SETTINGS, **options: object) -> list[int]:
    """Runs until `steps` steps were done, and returns those that were."""
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run(
            folder,
            settings,
            on_step=lambda step, _: done.append(step),
            should_stop=lambda: len(done) == steps,
            **options,
        )
    return done


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({}, 1),
        ({}, 5),
        ({"replacement": True}, 3),
        ({"ema_decay": 0.0}, 3),
        ({"accumulate": 2}, 3),
        ({"discriminator_steps": 3}, 3),
    ],
    ids=["early", "late", "replacement", "no average", "accumulated", "three discriminator steps"],
)
def test_a_stopped_and_resumed_run_gives_the_bits_of_an_uninterrupted_one(
    tmp_path: Path, change: dict[str, object], steps: int
) -> None:
    settings = dataclasses.replace(SETTINGS, **change)  # type: ignore[arg-type]
    whole = run(tmp_path / "whole", settings)
    done = stop_after(tmp_path / "parts", steps, settings)
    torch.manual_seed(123)  # whatever was drawn between the two
    resumed = run(tmp_path / "parts", settings, on_step=lambda step, _: done.append(step))
    assert done == [0, 1, 2, 3, 4, 5]
    assert_same_weights(whole, resumed)
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    for name in ("generator", "discriminator"):
        one, other = ((tmp_path / part / f"{name}.safetensors").read_bytes() for part in ("whole", "parts"))
        assert one == other


def test_a_run_that_died_goes_on_from_its_last_checkpoint_to_the_same_bits(tmp_path: Path) -> None:
    class Died(Exception):
        pass

    def die(step: int, losses: Losses) -> None:
        if step == 4:
            raise Died

    whole = run(tmp_path / "whole")
    stop_after(tmp_path / "parts", 2)
    with pytest.raises(Died):
        run(tmp_path / "parts", on_step=die)  # metrics.csv is now ahead of the checkpoint
    done: list[int] = []
    resumed = run(tmp_path / "parts", on_step=lambda step, _: done.append(step))
    assert done == [2, 3, 4, 5]
    assert_same_weights(whole, resumed)
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")


def test_grids_of_samples_change_nothing_about_the_training(tmp_path: Path) -> None:
    assert_same_weights(run(tmp_path / "1", samples_every=1), run(tmp_path / "6", samples_every=6))
    assert len(list((tmp_path / "1" / "samples").iterdir())) == 6


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    whole = run(tmp_path)
    again = run(tmp_path, on_step=lambda step, _: pytest.fail("no step was left"))
    assert_same_weights(whole, again)


def test_another_seed_is_another_generator(tmp_path: Path) -> None:
    one, other = (
        run(tmp_path / str(seed), dataclasses.replace(SETTINGS, seed=seed)).state_dict()["linear.weight"]
        for seed in (0, 1)
    )
    assert not torch.equal(one, other)


def test_accumulated_parts_give_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    class Mean(Recipe):
        """A loss without random numbers or batch norm: the mean of the batch, times a weight."""

        def turns(self) -> tuple[Turn, ...]:
            return (Turn(self.discriminator, self.loss),)

        def loss(self, batch: Batch, step: int) -> Terms:
            real, label = batch
            return {"loss": self.discriminator.eval()(real, label).square().mean()}

    def weights(parts: int) -> torch.Tensor:
        torch.manual_seed(0)
        made = Mean(dataclasses.replace(SETTINGS, accumulate=parts), pictures())
        train(made, pictures(), tmp_path / str(parts))
        return made.discriminator.layers[1].weight.detach()

    torch.testing.assert_close(weights(2), weights(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights(4), weights(1), rtol=1e-5, atol=1e-6)


def test_only_the_networks_of_a_turn_are_moved_and_at_the_turns_own_rate(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, steps=1, decay_last=0.0)
    torch.manual_seed(0)
    before, after = Recipe(settings, pictures()), Recipe(settings, pictures())
    after.load_state_dict(before.state_dict())
    train(after, pictures(), tmp_path)
    # Adam's first step moves every weight that has a gradient by the learning rate, however small the gradient
    for name, rate in (("discriminator", 1.0), ("generator", 0.5)):
        networks = (getattr(recipe, name).parameters() for recipe in (before, after))
        moved = max(float((b - a).detach().abs().max()) for a, b in zip(*networks, strict=True))
        assert moved == pytest.approx(settings.learning_rate * rate, rel=1e-3)


def test_each_of_several_discriminator_steps_sees_a_batch_of_its_own(tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    class Watched(Recipe):
        def discriminator_loss(self, batch: Batch, step: int) -> Terms:
            seen.append(batch[0].detach().clone())
            return super().discriminator_loss(batch, step)

    settings = dataclasses.replace(SETTINGS, steps=1, discriminator_steps=3)
    torch.manual_seed(0)
    train(Watched(settings, pictures()), pictures(), tmp_path)
    assert [len(batch) for batch in seen] == [4, 4, 4]
    assert len(torch.cat(seen).unique(dim=0)) == 12


def test_the_rate_is_flat_and_then_falls_to_zero(tmp_path: Path) -> None:
    rates: list[float] = []

    class Watched(Recipe):
        def generator_loss(self, batch: Batch, step: int) -> Terms:
            rates.append(optimizers[-1].param_groups[0]["lr"])
            return super().generator_loss(batch, step)

    optimizers: list[torch.optim.Adam] = []
    original = torch.optim.Adam.__init__

    def remember(self: torch.optim.Adam, *arguments: object, **options: object) -> None:
        original(self, *arguments, **options)  # type: ignore[arg-type]
        optimizers.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.Adam, "__init__", remember)
        torch.manual_seed(0)
        train(Watched(dataclasses.replace(SETTINGS, learning_rate=0.2), pictures()), pictures(), tmp_path)
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.1 * 2 / 3, 0.1 / 3])


def test_the_weights_of_every_network_are_left_beside_the_checkpoint(tmp_path: Path) -> None:
    generator = run(tmp_path)
    kept = safetensors.torch.load_file(tmp_path / "generator.safetensors")
    assert kept.keys() == generator.state_dict().keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in generator.state_dict().items())
    assert "layers.1.weight" in safetensors.torch.load_file(tmp_path / "discriminator.safetensors")


@pytest.mark.parametrize("ema_decay", [0.0, 0.999])
def test_the_result_is_in_eval_mode_with_batch_norm_statistics_of_its_own_weights(
    tmp_path: Path, ema_decay: float
) -> None:
    network = run(tmp_path, dataclasses.replace(SETTINGS, ema_decay=ema_decay, norm_batches=40))
    assert not network.training
    z, label = torch.randn(4_000, 2, generator=torch.Generator().manual_seed(9)), torch.arange(4_000) % 3
    with torch.no_grad():
        flat = network.linear(torch.cat([z, network.embedding(label)], dim=1))  # type: ignore[operator]
    torch.testing.assert_close(network.norm.running_mean, flat.mean()[None], atol=0.05, rtol=0)  # type: ignore[union-attr]
    torch.testing.assert_close(network.norm.running_var, flat.var()[None], atol=0.05, rtol=0.1)  # type: ignore[union-attr]


def test_a_loss_that_is_no_number_ends_the_training_with_one_sentence_and_is_not_kept(tmp_path: Path) -> None:
    stop_after(tmp_path, 2)
    kept = (tmp_path / "checkpoint.pt").read_bytes()

    class Broken(Recipe):
        def generator_loss(self, batch: Batch, step: int) -> Terms:
            return {"loss_g": super().generator_loss(batch, step)["loss_g"] * (math.nan if step == 4 else 1)}

    Broken.__module__ = Recipe.__module__
    torch.manual_seed(0)
    with pytest.raises(TrainingError, match=r"diverged at step 4: .*loss_g nan; try a lower learning rate"):
        train(Broken(SETTINGS, pictures()), pictures(), tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept


def test_an_infinite_rate_diverges_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"diverged at step \d: .*lower learning rate \(--lr\)"):
        run(tmp_path, dataclasses.replace(SETTINGS, learning_rate=1e38))


def test_a_dead_discriminator_ends_the_training_with_one_sentence(tmp_path: Path) -> None:
    class Dead(Recipe):
        def discriminator_loss(self, batch: Batch, step: int) -> Terms:
            return {name: term * 0 for name, term in super().discriminator_loss(batch, step).items()}

    settings = dataclasses.replace(SETTINGS, steps=1_000)
    torch.manual_seed(0)
    with pytest.raises(
        TrainingError, match=r"The discriminator is dead: it has had no gradient from step 0 to 150; try"
    ):
        train(Dead(settings, pictures()), pictures(), tmp_path, samples_every=1_000)


def test_a_generator_that_makes_one_thing_only_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_EARLY", 5)  # steps, in place of hundreds

    class Collapsed(Recipe):
        def exportable(self, generator: nn.Module) -> nn.Module:
            class Same(nn.Module):
                def forward(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
                    return generator(z * 0, label * 0)

            return Same()

    told: list[str] = []
    torch.manual_seed(0)
    train(Collapsed(SETTINGS, pictures(64)), pictures(64), tmp_path, samples_every=1, warn=told.append)
    assert len(told) == 1
    assert "After 5 steps the samples are nearly alike: 0.0% of the variety of the data (mode collapse)" in told[0]
    assert "more data" in told[0]


def precisions(folder: Path, device: str) -> set[torch.dtype]:
    """What a layer gives in while it is trained."""
    seen: set[torch.dtype] = set()

    class Watched(Recipe):
        def generator_loss(self, batch: Batch, step: int) -> Terms:
            seen.add(self.discriminator.layers[1](batch[0].flatten(1)).dtype)
            return super().generator_loss(batch, step)

    torch.manual_seed(0)
    train(Watched(SETTINGS, pictures()), pictures(), folder, device=device)
    return seen


def test_a_processor_always_computes_in_fp32(tmp_path: Path) -> None:
    assert precisions(tmp_path, "cpu") == {torch.float32}


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@gpu
@pytest.mark.gpu
def test_a_gpu_computes_in_bf16(tmp_path: Path) -> None:
    assert precisions(tmp_path, "cuda") == {torch.bfloat16}


@gpu
@pytest.mark.gpu
def test_a_resumed_run_on_a_gpu_gives_the_bits_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", device="cuda")
    stop_after(tmp_path / "parts", 3, device="cuda")
    assert_same_weights(whole, run(tmp_path / "parts", device="cuda"))
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
