"""The training loop: exact resumption, an orderly stop, and refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ganrt.errors import TrainingError
from ganrt_export.training.loop import Settings, train

SETTINGS = Settings(steps=6, batch=4, penalty_every=2)


class TinyGenerator(nn.Module):
    """4 x 4 pictures from two numbers and a label, with a batch norm, whose statistics must survive a resumption."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim = 2
        self.embedding = nn.Embedding(3, 2)
        self.linear = nn.Linear(4, 16)
        self.norm = nn.BatchNorm2d(1)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        flat = self.linear(torch.cat([z, self.embedding(label)], dim=1))
        return torch.tanh(self.norm(flat.view(-1, 1, 4, 4)))


class TinyDiscriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 3)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        return self.linear(image.flatten(1)).gather(1, label[:, None]).squeeze(1)


def run(folder: Path, settings: Settings = SETTINGS, **options: object) -> nn.Module:
    torch.manual_seed(0)
    images, labels = torch.rand(12, 1, 4, 4) * 2 - 1, torch.arange(12) % 3
    return train(TinyGenerator(), TinyDiscriminator(), images, labels, settings, folder, **options)  # type: ignore[arg-type]


def assert_same_weights(one: nn.Module, other: nn.Module) -> None:
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_stopped_and_resumed_run_gives_the_bits_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", on_step=lambda step, d, g: done.append(step), should_stop=lambda: len(done) == 3)
    resumed = run(tmp_path / "parts", on_step=lambda step, d, g: done.append(step))
    assert done == [0, 1, 2, 3, 4, 5]
    assert_same_weights(whole, resumed)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    whole = run(tmp_path)
    again = run(tmp_path, on_step=lambda step, d, g: pytest.fail("no step was left"))
    assert_same_weights(whole, again)


def test_another_seed_is_another_generator(tmp_path: Path) -> None:
    one = run(tmp_path / "0").state_dict()["linear.weight"]
    other = run(tmp_path / "1", dataclasses.replace(SETTINGS, seed=1)).state_dict()["linear.weight"]
    assert not torch.equal(one, other)


def test_the_result_is_in_eval_mode_with_batch_norm_statistics_of_its_own_weights(tmp_path: Path) -> None:
    network = run(tmp_path)
    assert not network.training
    z, label = torch.randn(4_000, 2, generator=torch.Generator().manual_seed(9)), torch.arange(4_000) % 3
    with torch.no_grad():
        flat = network.linear(torch.cat([z, network.embedding(label)], dim=1))  # type: ignore[operator]
    torch.testing.assert_close(network.norm.running_mean, flat.mean()[None], atol=0.05, rtol=0)  # type: ignore[union-attr]


def test_checkpoints_and_metrics_are_written_as_it_goes(tmp_path: Path) -> None:
    run(tmp_path, checkpoint_every=2)
    lines = (tmp_path / "metrics.csv").read_text().split()
    assert lines[0] == "step,loss_d,loss_g,seconds"
    assert [line.split(",")[0] for line in lines[1:]] == ["2", "4", "6"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint.pt", "metrics.csv"]


def test_a_loss_that_is_no_number_ends_the_training_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"diverged at step \d: .*lower learning rate"):
        run(tmp_path, dataclasses.replace(SETTINGS, learning_rate=float("inf")))


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(TrainingError, match=r"made with other settings .*use another folder"):
        run(tmp_path, dataclasses.replace(SETTINGS, steps=8))


@pytest.mark.parametrize("keep", [0, 10, 1_000])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, keep: int) -> None:
    run(tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TrainingError, match=r"checkpoint.pt is damaged; delete it to start again"):
        run(tmp_path)


def test_a_checkpoint_with_other_bytes_inside_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "checkpoint.pt"
    data = path.read_bytes()
    at = data.index(b"settings")
    path.write_bytes(data[:at] + b"\x00" * 40 + data[at + 40 :])
    with pytest.raises(TrainingError, match="damaged"):
        run(tmp_path)
