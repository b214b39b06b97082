"""The registry: one family for a checkpoint, or a sentence that says why not."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

import pytest
import torch
from family_laws import assert_exports, assert_loads, assert_refuses_damage, assert_same_in_onnx, fill
from torch import nn

from ganrt.errors import ArgumentError, CheckpointError, MissingExtra
from ganrt_export import families
from ganrt_export.families import cgan, hifigan
from ganrt_export.families.cgan import Generator


def dcgan() -> dict[str, torch.Tensor]:
    layers = [nn.ConvTranspose2d(5, 4, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 3, 4, 2, 1)]
    return {f"main.{key}": value for key, value in nn.Sequential(*layers).state_dict().items()}


@pytest.mark.parametrize("name", [name for name in families.NAMES if find_spec(f"ganrt_export.families.{name}")])
def test_every_family_has_the_same_verbs_and_its_files_name(name: str) -> None:
    family = importlib.import_module(f"ganrt_export.families.{name}")
    assert name == family.NAME
    assert not family.detect({})
    assert not family.detect({"weight": torch.zeros(3), "other": torch.zeros(())})
    with pytest.raises((CheckpointError, MissingExtra)):
        families.load(name, {})


def test_a_checkpoint_of_no_family_is_told_what_was_looked_for() -> None:
    for state in ({}, {"layer1.0.conv1.weight": torch.zeros(2, 2, 3, 3), "fc.weight": torch.zeros(2, 2)}):
        with pytest.raises(CheckpointError, match="is no generator that ganrt knows") as refusal:
            families.recognise(state)
        message = str(refusal.value)
        assert (next(iter(state), "nothing")) in message
        assert "dcgan: main.0.weight, main.1.running_mean, main.3.weight" in message
        assert "wavegan: one matrix, then kernels of 25 by any name" in message


def test_a_checkpoint_of_two_families_is_told_which() -> None:
    network = {key: torch.zeros((1,) * rank) for key, rank in hifigan.LAYOUTS[0].items()}
    with pytest.raises(CheckpointError, match="several families: hifigan, dcgan; say which"):
        families.recognise({**dcgan(), **network})


def test_a_name_that_is_none_is_told_the_names() -> None:
    with pytest.raises(ArgumentError, match=r"no family 'vae'; there are .*dcgan"):
        families.load("vae", {})
    with pytest.raises(ArgumentError, match="no family 'base'"):
        families.load("base", {})


def test_hostile_keys_stay_on_one_line() -> None:
    with pytest.raises(CheckpointError) as refusal:
        families.recognise({"a\nb\x1b[31m" + "x" * 10_000: torch.zeros(1)})
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 2_500


def test_detecting_looks_at_no_value() -> None:
    state = {key: value.to("meta") for key, value in dcgan().items()}
    assert families.recognise(state) == "dcgan"


def small_cgan(width: int = 8) -> nn.Module:
    return fill(Generator(z_dim=6, classes=3, embedding_dim=4, width=width))


def test_the_digits_family_loads_its_own_checkpoints() -> None:
    loaded = assert_loads("cgan", small_cgan())
    assert loaded.spec == cgan.spec(Generator(6, 3, 4, 8))
    assert_exports(loaded)
    assert_same_in_onnx(loaded)


def test_a_damaged_checkpoint_of_the_digits_family_is_refused() -> None:
    assert_refuses_damage("cgan", small_cgan().state_dict())
