"""A module made ready: a copy, its norms of weights folded, its batch norms of one sample."""

from __future__ import annotations

import threading
import warnings

import onnx
import pytest
import torch
from substitute_case import assert_near, exported, numbers, run
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm, weight_norm

from ganrt_export.substitutes.modules import PerSampleNorm, prepare


def old_weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and in every vocoder
        return weight_norm(layer)


NORMS = {
    "weight norm, old": old_weight_norm,
    "weight norm": parametrizations.weight_norm,
    "spectral norm, old": spectral_norm,
    "spectral norm": parametrizations.spectral_norm,
}


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_of_weights_becomes_a_weight_of_the_same_numbers(name: str) -> None:
    module = nn.Sequential(NORMS[name](nn.Conv1d(3, 4, 3)), nn.ReLU(), NORMS[name](nn.ConvTranspose1d(4, 2, 3)))
    x = numbers(2, 3, 9)
    for _ in range(3):
        module(x)  # power iterations; what it keeps then has a history
    module.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    ready, notes = prepare(module)
    assert notes == ()
    assert_near(ready(x).detach(), module(x).detach())
    assert sorted(dict(ready.named_parameters())) == ["0.bias", "0.weight", "2.bias", "2.weight"]
    assert not any("parametrizations" in key or key.endswith(("_g", "_u", "_orig")) for key in ready.state_dict())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    graph = exported(ready, (x,), inside=lambda *_: torch.no_grad())
    assert [node.op_type for node in onnx.load_from_string(graph).graph.node] == ["Conv", "Relu", "ConvTranspose"]
    assert_near(run(graph, (numbers(5, 3, 9),))[0], module(numbers(5, 3, 9)).detach(), 1e-4)


def test_a_spectral_norm_in_train_mode_is_left_to_change() -> None:
    module = nn.Sequential(spectral_norm(nn.Linear(3, 4)), parametrizations.spectral_norm(nn.Linear(4, 2))).train()
    ready, _ = prepare(module)
    assert "0.weight_orig" in ready.state_dict()
    assert any("parametrizations" in key for key in ready.state_dict())


def test_a_hook_that_nobody_knows_stays() -> None:
    layer = nn.Linear(3, 4)
    scaled = layer.weight.detach().clone() * 3
    del layer.weight
    layer.register_parameter("weight_orig", nn.Parameter(scaled))
    layer.register_forward_pre_hook(lambda part, _: setattr(part, "weight", part.weight_orig / 3))
    x = numbers(2, 3)
    expected = layer(x).detach()
    ready, notes = prepare(layer.eval())
    assert notes == ()
    assert_near(ready(x).detach(), expected)


class Forced(nn.Module):
    """pix2pix: batch statistics in whatever mode, and an eval that returns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.line, self.volume = nn.BatchNorm1d(4), nn.BatchNorm3d(4, affine=False)

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d | nn.BatchNorm3d):
                part.training = True

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        z = self.line(y.flatten(2))
        volume: Tensor = self.volume(z[..., None, None])
        return volume


def test_a_batch_norm_of_its_batch_is_one_of_each_sample() -> None:
    module = Forced()
    with torch.no_grad():
        for part in (module.body[1], module.line):
            part.weight.uniform_(0.5, 2)
            part.bias.normal_()
    module.eval()
    ready, notes = prepare(module)
    assert len(notes) == 1
    assert "body.1, line, volume" in notes[0]
    assert isinstance(module.body[1], nn.BatchNorm2d)
    x = numbers(3, 3, 6, 7)
    with torch.no_grad():
        alone = torch.cat([module(row[None]) for row in x])
        assert_near(ready(x), alone)
        graph = exported(ready, (numbers(2, 3, 6, 7),), inside=lambda *_: torch.no_grad())
        assert_near(run(graph, (x,))[0], alone)


def test_a_batch_norm_without_running_statistics_and_a_synchronised_one_too() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.SyncBatchNorm(3, track_running_stats=False))
    ready, notes = prepare(module.eval())
    assert notes
    assert all(isinstance(part, PerSampleNorm) for part in ready)
    x = numbers(1, 3, 4, 5)
    assert_near(ready(x).detach(), module(x).detach())


def test_a_batch_norm_of_running_statistics_stays() -> None:
    ready, notes = prepare(nn.Sequential(nn.BatchNorm2d(3)).eval())
    assert notes == ()
    assert isinstance(ready[0], nn.BatchNorm2d)


def test_a_norm_used_twice_is_replaced_at_both_places() -> None:
    norm = nn.BatchNorm2d(3, track_running_stats=False)
    ready, _ = prepare(nn.ModuleDict({"first": norm, "second": norm}).eval())
    assert all(isinstance(part, PerSampleNorm) for part in ready.values())


class Cluttered(nn.Module):
    """Holds results with a history, in containers too, and things that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3, track_running_stats=False)
        self.last = self.linear.weight * 2
        self.history = [{"kept": (self.last + 1,)}]
        self.lock = threading.Lock()
        self.numbers = (index for index in range(3))

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            y: Tensor = self.norm(self.linear(x)) @ self.last
            return y


def test_a_module_that_cannot_simply_be_copied_is_copied() -> None:
    module = Cluttered().eval()
    ready, notes = prepare(module)
    assert notes
    assert ready is not module
    assert ready.linear.weight is not module.linear.weight
    assert not ready.last.requires_grad
    assert ready.lock is module.lock
    assert isinstance(module.norm, nn.BatchNorm1d)
    x = numbers(1, 3, 3)
    assert_near(ready(x).detach(), module(x).detach())
