"""WaveGAN: phase shuffle, the critic's terms, and a bundle that writes sound files."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recipe_laws import (
    assert_bfloat16_gives_nearly_the_same_losses,
    assert_gradients_reach_every_weight,
    assert_resumes_exactly,
    losses_of,
)
from safetensors.torch import load_file

from ganrt import Generator
from ganrt.bundle import Bundle
from ganrt.cli import main
from ganrt.errors import ArgumentError
from ganrt_export import families
from ganrt_export.commands.train import _agreement
from ganrt_export.training.datasets.at_hand import prepare
from ganrt_export.training.loop import train
from ganrt_export.training.losses import Wasserstein
from ganrt_export.training.recipe import Data, provenance
from ganrt_export.training.recipes.wavegan import LENGTHS, Critic, Recipe, Settings, band_levels, phase_shuffle

SETTINGS = Settings(steps=4, batch=4, length=1_024, sample_rate=8_000, width=4, critic_steps=2)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return Recipe.data(prepare("sounds", tmp_path_factory.mktemp("data") / "sounds"), SETTINGS)


class Trained(NamedTuple):
    module: torch.nn.Module
    folder: Path
    bundle: Bundle


@pytest.fixture(scope="module")
def trained(sounds: Data, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("run")
    recipe = make(sounds)
    module = train(recipe, sounds, folder)
    bundle = recipe.export(module, folder / "sounds.ganrt", provenance(recipe, sounds), lambda stage: None)
    return Trained(module, folder, bundle)


def make(data: Data) -> Recipe:
    torch.manual_seed(0)
    return Recipe(SETTINGS, data)


@given(most=st.integers(1, 4), length=st.integers(6, 40), seed=st.integers(0, 2**16))
def test_phase_shuffle_moves_all_channels_alike_and_reflects_what_is_missing(most: int, length: int, seed: int) -> None:
    features = torch.arange(2.0 * 3 * length).reshape(2, 3, length)
    torch.manual_seed(seed)
    moved = phase_shuffle(features, most)
    line = np.pad(np.arange(length), most, mode="reflect")
    ways = [features[:, :, line[start : start + length]] for start in range(2 * most + 1)]
    assert sum(torch.equal(moved, way) for way in ways) == 1


def test_every_shift_is_drawn_and_none_when_there_is_no_shuffle() -> None:
    features = torch.randn(1, 1, 32)
    assert len({tuple(phase_shuffle(features, 2).flatten().tolist()) for _ in range(100)}) == 5
    assert phase_shuffle(features, 0) is features


def test_shuffle_is_between_the_layers_and_not_before_them() -> None:
    torch.manual_seed(0)
    still, shuffled = Critic(1_024, 4, shuffle=0), Critic(1_024, 4, shuffle=2)
    shuffled.load_state_dict(still.state_dict())
    sound = torch.randn(2, 1, 1_024)
    with torch.no_grad():
        assert len({round(still(sound)[0].item(), 6) for _ in range(20)}) == 1
        assert len({round(shuffled(sound)[0].item(), 6) for _ in range(400)}) == 25  # three layers, five shifts twice


def test_the_critics_terms_are_the_papers(sounds: Data) -> None:
    recipe = make(sounds)
    recipe.critic._shuffle = 0  # its draws would differ between the calls
    critic, generator = (losses_of(recipe, turn, sounds) for turn in recipe.turns())
    torch.manual_seed(1)
    (real,), fake = sounds[list(range(4))], recipe.generator(*recipe.inputs(4)).detach()
    share = torch.rand(4, 1, 1)
    between = (real + share * (fake - real)).requires_grad_()
    (slope,) = torch.autograd.grad(recipe.critic(between).sum(), between)
    lengths = slope.square().sum(dim=(1, 2)).sqrt()
    with torch.no_grad():
        told = {"critic": recipe.critic(fake).mean() - recipe.critic(real).mean()}
        assert generator == pytest.approx({"generator": Wasserstein.generator(recipe.critic(fake)).item()}, rel=1e-4)
    told["penalty"] = 10 * (lengths - 1).square().mean()
    assert critic == pytest.approx({name: term.item() for name, term in told.items()}, rel=1e-4, abs=1e-6)


def test_the_critic_moves_as_often_as_asked_before_the_generator_does() -> None:
    assert Settings().critic_steps == 5
    critic, generator = make([(torch.zeros(1, 1, 1_024),)] * 2).turns()  # type: ignore[arg-type]
    assert (critic.times, generator.times) == (2, 1)


def test_each_turn_moves_all_of_its_network(sounds: Data) -> None:
    shift = "critic.score.bias"  # the same for real and generated sounds, whose difference is the loss
    assert_gradients_reach_every_weight(make(sounds), sounds, idle=[shift])


def test_losses_are_nearly_the_same_in_bfloat16(sounds: Data) -> None:
    assert_bfloat16_gives_nearly_the_same_losses(make(sounds), sounds)


def test_a_stopped_run_resumes_to_the_same_bits(sounds: Data, tmp_path: Path) -> None:
    assert_resumes_exactly(lambda: make(sounds), sounds, tmp_path)


@pytest.mark.parametrize("length", LENGTHS[:3])
def test_a_sound_is_sixteen_steps_made_four_times_longer_by_each_layer(length: int) -> None:
    settings = Settings(length=length, width=2)
    recipe = Recipe(settings, [(torch.zeros(1, 1, length),)] * 2)  # type: ignore[arg-type]
    sound = recipe.generator(*recipe.inputs(2))
    assert sound.shape == (2, 1, length)
    assert recipe.critic(sound).shape == (2,)


def test_a_length_that_the_layers_cannot_make_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"length is 5,000; this recipe makes sounds of 256, 1,024, 4,096"):
        Settings(length=5_000)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("length=5000", "The length is 5,000; this recipe makes sounds of"),
        ("lengths=4096", "wavegan has no setting 'lengths'; it has accumulate, batch,"),
        ("width=a lot", "--set width=a lot: width must be a whole number."),
        ("penalty", "--set penalty: penalty must be a number."),
    ],
)
def test_a_setting_that_cannot_be_is_refused_on_the_command_line(
    setting: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "wavegan", "--data", str(tmp_path), "-o", f"{tmp_path}/x.ganrt", "--set", setting]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_band_levels_are_those_of_the_signal() -> None:
    time = np.arange(4_096)
    tone = np.sin(2 * np.pi * 0.25 * time + np.arange(3)[:, None])[:, None].astype(np.float32)  # a quarter of the rate
    levels = band_levels(tone)
    assert set(np.argsort(levels)[-2:]) == {7, 8}  # it lies on the edge of two bands of sixteen
    noise = np.random.default_rng(0).normal(0, 0.1, (8, 1, 4_096)).astype(np.float32)
    np.testing.assert_allclose(band_levels(noise), -20, atol=0.6)  # its power, 0.01, in every band


def test_the_bundle_compares_level_and_spectrum_with_real_sounds(trained: Trained) -> None:
    quality = trained.bundle.manifest.quality
    assert quality["samples"] == 256
    assert -60 < quality["real_level_dbfs"] < 0
    assert quality["spectrum_error_db"] > quality["real_spectrum_error_db"] >= 0  # after four steps it is noise


def test_the_bundle_writes_the_modules_sounds_as_wav_files(trained: Trained, tmp_path: Path) -> None:
    assert main(["sample", str(trained.bundle.path), "-n", "3", "-o", f"{tmp_path}/sounds/"]) == 0
    with Generator.load(trained.bundle.path, precision="fp32") as generator:
        drawn = generator.sample(3)
    files = sorted((tmp_path / "sounds").glob("*.wav"))
    assert len(files) == 3
    for file, sound in zip(files, drawn, strict=True):
        with wave.open(str(file)) as stored:
            assert (stored.getframerate(), stored.getnframes()) == (8_000, 1_024)
            pcm = np.frombuffer(stored.readframes(1_024), "<i2") / 32768
        np.testing.assert_allclose(pcm, sound[0], atol=2 / 32768)


def test_the_command_trains_on_an_npz_and_tells_of_engines_without_pixels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(-9_000, 9_000, (8, 256)).astype(np.int16)
    np.savez(tmp_path / "sounds.npz", sounds=noise)
    settings = ["length=256", "width=2", "critic_steps=1", "sample_rate=8000"]
    words = ["train", "wavegan", "--data", f"{tmp_path}/sounds.npz", "--steps", "2", "--batch", "2"]
    words += ["--work-dir", f"{tmp_path}/run", "-o", f"{tmp_path}/x.ganrt", *(f"--set={one}" for one in settings)]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "dB from PyTorch\n" in told
    assert "pixels" not in told
    assert Bundle.open(tmp_path / "x.ganrt").manifest.spec.output.sample_rate == 8_000


def test_an_engine_that_may_not_serve_is_told_of_with_its_reason() -> None:
    told = _agreement({"engine": "MNN 3.6.1", "psnr_db": 0.0, "fault": "An output is 0.00045 off."})
    assert told == "MNN 3.6.1 will not serve it. An output is 0.00045 off."


def test_its_weights_are_read_as_a_wavegan_checkpoint(trained: Trained) -> None:
    loaded = families.load("wavegan", load_file(trained.folder / "generator.safetensors"))
    z = torch.rand(2, 100) * 2 - 1
    torch.testing.assert_close(loaded.module(z), trained.module(z))
