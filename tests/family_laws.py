"""What every family of networks keeps to; a test of a family brings the network and the checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ganrt.errors import CheckpointError
from ganrt.latents import Draws
from ganrt.spec import Image, Spec
from ganrt_export import families
from ganrt_export.families.base import Loaded
from ganrt_export.reference import evaluate, to_pixels
from ganrt_export.to_onnx import export_onnx

BATCHES = (1, 2, 3, 8)
ROUNDING = 1e-5  # of outputs in -1 .. 1


def fill(network: nn.Module, seed: int = 0, gain: float = 2.0) -> nn.Module:
    """Random weights and statistics, nothing 0 or 1 by its initialisation; a `gain` of 2 keeps the size of a signal."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in network.state_dict(keep_vars=True).items():
            if key.endswith("num_batches_tracked"):
                continue
            if key.endswith("var") or (value.ndim == 1 and key.endswith("weight")):
                value.copy_(torch.rand(value.shape, generator=draws) + 0.5)
            else:
                size = gain / math.sqrt(value[0].numel()) if value.ndim > 1 else 0.5
                value.copy_(size * torch.randn(value.shape, generator=draws))
    return network.eval()


def inputs(spec: Spec, count: int, seed: int = 3) -> dict[str, NDArray]:
    """Inputs by name; a signal is normal, 13 long where it may be any length."""
    if not spec.signals:
        return Draws(spec, seed, 0, count).feeds(0, count)
    draws = np.random.default_rng(seed)
    return {
        port.name: draws.normal(size=(count, *(size or 13 for size in port.shape[1:]))).astype(np.float32)
        for port in spec.input_ports()
    }


def run(network: nn.Module, spec: Spec, feeds: Mapping[str, NDArray]) -> NDArray[np.float32]:
    return evaluate(network, spec, feeds)


def assert_loads(name: str, built: nn.Module) -> Loaded:
    """The weights of `built` are recognised as `name`'s and give the same network, to the bit."""
    state = built.state_dict()
    assert families.recognise(state) == name
    loaded = families.load(name, state)
    assert not loaded.module.training
    assert not any(weight.requires_grad for weight in loaded.module.parameters())
    own = loaded.module.state_dict()
    assert list(own) == list(state)
    assert all(torch.equal(own[key], state[key]) for key in own)
    feeds = inputs(loaded.spec, 3)
    np.testing.assert_array_equal(run(loaded.module, loaded.spec, feeds), run(built, loaded.spec, feeds))
    assert all(note.endswith(".") and "\n" not in note for note in loaded.notes)
    return loaded


def assert_agrees(name: str, reference: nn.Module, atol: float = ROUNDING) -> Loaded:
    """An independent network with the same keys computes the same function of the same inputs, which is no constant."""
    state = reference.state_dict()
    assert families.recognise(state) == name
    loaded = families.load(name, state)
    feeds = inputs(loaded.spec, 4)
    expected = run(reference, loaded.spec, feeds)
    found = run(loaded.module, loaded.spec, feeds)
    sizes = [4, *(size or found.shape[axis + 1] for axis, size in enumerate(loaded.spec.output_ports()[-1].shape[1:]))]
    assert list(found.shape) == sizes
    assert expected.std(axis=0).max() > 0.01
    assert expected[0].std() > 0.01
    assert np.abs(expected).mean() < 0.97  # not all of it in the flat ends of tanh
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
    return loaded


def assert_exports(loaded: Loaded, lengths: tuple[int, ...] = ()) -> None:
    """torch.export takes the network with any batch, and with any length of a signal that is named in `lengths`."""
    module, spec = loaded.module, loaded.spec
    free: dict[int, object] = {0: torch.export.Dim.DYNAMIC}
    if lengths:
        free[2] = torch.export.Dim.DYNAMIC
    example = tuple(torch.from_numpy(array) for array in inputs(spec, 2).values())
    program = torch.export.export(module, example, dynamic_shapes=tuple(dict(free) for _ in example))
    for count in BATCHES:
        for length in lengths or (None,):
            feeds = {key: value[..., :length] for key, value in inputs(spec, count).items()}
            with torch.inference_mode():
                found = program.module()(*(torch.from_numpy(array.copy()) for array in feeds.values()))
            np.testing.assert_allclose(found.numpy(), run(module, spec, feeds), rtol=0, atol=ROUNDING)


def assert_same_in_onnx(loaded: Loaded) -> None:
    """ONNX Runtime gives what PyTorch gives, pixels included, at every batch."""
    module, spec = loaded.module, loaded.spec
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = export_onnx(module, spec)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    for count in BATCHES:
        feeds = inputs(spec, count, seed=count)
        *pixels, raw = session.run(None, feeds)
        np.testing.assert_allclose(raw, run(module, spec, feeds), rtol=0, atol=ROUNDING)
        if isinstance(spec.output, Image):
            np.testing.assert_array_equal(pixels[0], to_pixels(raw, spec.output))


def assert_refused(name: str, state: Mapping[str, Tensor], words: str) -> None:
    """`load` ends in one sentence with these words, whether or not the family recognises the checkpoint."""
    with pytest.raises(CheckpointError, match=words) as refusal:
        families.load(name, state)
    message = str(refusal.value)
    assert message.endswith(".")
    assert "\n" not in message


def assert_not_recognised(state: Mapping[str, Tensor], words: str = "is no generator that ganrt knows") -> None:
    with pytest.raises(CheckpointError, match=words):
        families.recognise(state)


def assert_refuses_damage(name: str, state: Mapping[str, Tensor]) -> None:
    """Each key left out, each shape changed, and a key too many, ends in one sentence."""
    for key in state:
        if key.endswith("num_batches_tracked"):
            continue
        lacking = {other: value for other, value in state.items() if other != key}
        longer = {**state, key: torch.cat([state[key].reshape(state[key].shape or 1)] * 2)}
        for damaged in (lacking, longer):
            try:
                other = families.load(name, damaged).spec
            except CheckpointError:
                assert_refused(name, damaged, "is not a")
            else:  # the size of an input, which nothing else in the checkpoint says
                assert other.inputs != families.load(name, state).spec.inputs
        assert_refused(name, {**state, key: state[key][None]}, "is not a")
    assert_refused(name, {**state, "extra.weight": torch.zeros(3)}, "extra.weight")
    assert_refused(name, {}, "is not a")
