"""Checkpoints: whole or not there, and refused where they are another run's."""

from __future__ import annotations

import dataclasses
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from training_case import Recipe, Settings, pictures, run

from ganrt.errors import OutputError, TrainingError
from ganrt_export.training import checkpoint
from ganrt_export.training.loop import train


class Another(Recipe):
    """The same networks under another name."""


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    run(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "told"),
    [({"steps": 8}, "steps: 6 there, 8 here"), ({"learning_rate": 0.1}, "learning_rate: 0.0004 there, 0.1 here")],
)
def test_a_checkpoint_of_other_settings_is_refused_and_told_apart(
    finished: Path, change: dict[str, float], told: str
) -> None:
    with pytest.raises(TrainingError, match=rf"made with other settings \({told}\); use the same, or another folder"):
        run(finished, dataclasses.replace(Settings(), **change))  # type: ignore[arg-type]


def test_a_checkpoint_of_other_data_is_refused(finished: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"made with other data \(images: 18 there, 19 here, sha256: .*another folder"
    ):
        run(finished, data=pictures(19))


def test_a_checkpoint_of_another_recipe_is_refused(finished: Path) -> None:
    with pytest.raises(
        TrainingError, match="is of the recipe training-case, not of test-checkpoint; use another folder"
    ):
        train(Another(Settings(), pictures()), pictures(), finished)


@pytest.mark.parametrize("keep", [0, 10, 1_000, -1])
def test_a_checkpoint_that_was_cut_short_is_refused(finished: Path, keep: int) -> None:
    path = finished / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TrainingError, match=r"checkpoint.pt is damaged; delete it to start again"):
        run(finished)


def test_a_checkpoint_with_other_bytes_inside_is_refused(finished: Path) -> None:
    path = finished / "checkpoint.pt"
    data = path.read_bytes()
    at = data.index(b"settings")
    path.write_bytes(data[:at] + b"\x00" * 40 + data[at + 40 :])
    with pytest.raises(TrainingError, match="damaged"):
        run(finished)


@pytest.mark.parametrize("state", [{}, {"step": 3}, [1, 2], torch.zeros(3)], ids=["empty", "little", "list", "tensor"])
def test_another_file_of_pytorchs_is_refused(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="damaged"):
        run(tmp_path)


def test_a_checkpoint_of_networks_that_have_changed_since_is_refused(finished: Path) -> None:
    changed = Recipe(Settings(), pictures())
    changed.discriminator.layers[1] = torch.nn.Linear(16, 8, bias=False)
    with pytest.raises(TrainingError, match="is of other networks than training-case has now"):
        train(changed, pictures(), finished)


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file can grow beyond 20,000 bytes: what a full disk does to a write."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def large() -> Recipe:
    recipe = Recipe(Settings(), pictures())
    recipe.register_buffer("ballast", torch.zeros(30_000))
    return recipe


def test_a_full_disk_ends_in_one_sentence_and_keeps_the_last_good_checkpoint(tmp_path: Path, little_room: None) -> None:
    path = tmp_path / "checkpoint.pt"
    small = Recipe(Settings(), pictures())
    checkpoint.save(tmp_path, 3, small, small.generator, [], {})
    kept = path.read_bytes()
    with pytest.raises(
        OutputError,
        match=r"checkpoint.pt could not be written: File too large. Make room, or write to another disk. "
        "The last good checkpoint is kept; the same command goes on from it.",
    ):
        checkpoint.save(tmp_path, 4, large(), small.generator, [], {})
    assert path.read_bytes() == kept
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_disk_that_was_full_from_the_start_promises_no_checkpoint(tmp_path: Path, little_room: None) -> None:
    with pytest.raises(OutputError, match=r"Make room, or write to another disk.$"):
        checkpoint.save(tmp_path, 1, large(), torch.nn.Identity(), [], {})
    assert list(tmp_path.iterdir()) == []
