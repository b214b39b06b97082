"""A style-based generator as two graphs: what each half gives, and the whole."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganrt import ArgumentError, Bundle, Generator
from ganrt.spec import Image, Label, Latent, Spec, Truncation
from ganrt_export import export_generator

SPEC = Spec(
    inputs=(
        Latent(size=6),
        Truncation(minimum=0, maximum=1.5, default=1, how="graph", name="psi"),
        Label(classes=3, encoding="one_hot"),
    ),
    output=Image(height=4, width=4, channels=3),
)


class Styles(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(9, 5)

    def forward(self, z: Tensor, psi: Tensor, label: Tensor) -> Tensor:
        return (psi * self.layer(torch.cat([z, label], 1)))[:, None].repeat(1, 2, 1)


class Synthesis(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.coarse, self.fine = nn.Linear(5, 48), nn.Linear(5, 48)

    def forward(self, w: Tensor) -> Tensor:
        return torch.tanh(self.coarse(w[:, 0]) + self.fine(w[:, 1])).reshape(-1, 3, 4, 4)


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.styles, self.synthesis = Styles(), Synthesis()

    def forward(self, z: Tensor, psi: Tensor, label: Tensor) -> Tensor:
        return self.synthesis(self.styles(z, psi, label))

    def halves(self) -> tuple[nn.Module, nn.Module]:
        return self.styles, self.synthesis


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export_generator(Whole().eval(), tmp_path_factory.mktemp("styles") / "whole.ganrt", SPEC)


@pytest.fixture(params=["onnxruntime", "openvino"])
def generator(bundle: Bundle, request: pytest.FixtureRequest) -> Iterator[Generator]:
    with Generator.load(bundle.path, backend=request.param, precision="fp32") as loaded:
        yield loaded


def test_the_bundle_holds_a_mapping_and_a_synthesis(bundle: Bundle) -> None:
    assert set(bundle.manifest.files) >= {"mapping.fp32.onnx", "synthesis.fp32.onnx", "goldens.npy"}
    bundle.verify()


def test_both_halves_together_are_the_whole(generator: Generator) -> None:
    w = generator.styles(70, seed=3, label=1, truncation=0.7)
    assert w.shape == (70, 2, 5)
    drawn = generator.sample(70, seed=3, label=1, truncation=0.7, output="float")
    np.testing.assert_allclose(generator.synthesize(w, output="float"), drawn, atol=1e-5)
    assert generator.synthesize(w).dtype == np.uint8


def test_styles_can_be_mixed(generator: Generator) -> None:
    first, second = generator.styles(2, seed=1), generator.styles(2, seed=2)
    mixed = generator.synthesize(np.concatenate([first[:, :1], second[:, 1:]], axis=1), output="float")
    module = Whole().eval()
    with torch.no_grad():
        wanted = module.synthesis(torch.from_numpy(np.concatenate([first[:, :1], second[:, 1:]], axis=1)))
    np.testing.assert_allclose(mixed, wanted.numpy(), atol=1e-5)


def test_run_takes_the_whole_generators_inputs(generator: Generator) -> None:
    outputs = generator.run({"z": np.zeros((3, 6)), "psi": np.ones((3, 1)), "label": np.eye(3)})
    assert outputs["image"].shape == (3, 4, 4, 3)


def test_a_w_that_does_not_fit_and_a_generator_without_mapping_say_so(generator: Generator) -> None:
    with pytest.raises(ArgumentError, match="does not fit this generator; styles"):
        generator.synthesize(np.zeros((2, 2, 7), np.float32))
    with pytest.raises(ArgumentError, match=r"give \[n, layers, size\]"):
        generator.synthesize(np.zeros((2, 5), np.float32))
    with (
        Generator.load("digits", backend="onnxruntime") as digits,
        pytest.raises(ArgumentError, match="has no mapping"),
    ):
        digits.styles(1)
