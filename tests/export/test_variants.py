"""Other graphs of the same generator in its bundle: forms that load and agree, precisions within their gates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganrt import ArgumentError, Bundle, Generator
from ganrt.manifest import Bound
from ganrt.spec import Image, Latent, Signal, Spec
from ganrt_export import export_generator
from ganrt_export.report import write_report

SPEC = Spec(inputs=(Latent(size=8),), output=Image(height=16, width=16, channels=3))


class Upsampling(nn.Module):
    """Linear, batch norm, then nearest upsampling and convolution twice: every kind of rewrite has something to do."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(8, 16 * 16), nn.Unflatten(1, (16, 4, 4)), nn.BatchNorm2d(16), nn.ReLU())
        self.layers = nn.Sequential(
            *(nn.Upsample(scale_factor=2), nn.Conv2d(16, 8, 3, padding=1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2)),
            *(nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh()),
        )

    def forward(self, z: Tensor) -> Tensor:
        pixels: Tensor = self.layers(self.first(z))
        return pixels


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("variants") / "up.ganrt"
    return export_generator(Upsampling().eval(), path, SPEC, precisions=("fp16",))


def test_every_form_draws_what_the_plain_graph_draws(bundle: Bundle) -> None:
    assert bundle.manifest.forms
    with Generator.load(bundle.path, form="plain", precision="fp32", backend="onnxruntime") as plain:
        expected = plain.sample(9, output="float")
    for name in bundle.manifest.forms:
        with Generator.load(bundle.path, form=name, precision="fp32", backend="onnxruntime") as generator:
            assert generator.way.startswith(f"onnxruntime {name}")
            np.testing.assert_allclose(generator.sample(9, output="float"), expected, atol=1e-5)


def test_a_form_computes_less_and_the_bundle_says_how_much(bundle: Bundle) -> None:
    counted = bundle.manifest.provenance["operations"]
    assert set(counted) == {"fp32", *bundle.manifest.forms}
    (form,) = bundle.manifest.forms
    assert counted[form]["multiply_adds"] < 0.7 * counted["fp32"]["multiply_adds"]


def test_half_precision_is_within_its_gate(bundle: Bundle) -> None:
    figures = bundle.manifest.fidelity["fp16"]
    assert all(one["psnr_db"] >= 50 for one in figures.values())
    plain, half = (bundle.manifest.files[bundle.manifest.graphs[one]].size for one in ("fp32", "fp16"))
    assert half < 0.8 * plain
    with Generator.load(bundle.path, precision="fp16") as low, Generator.load(bundle.path, precision="fp32") as full:
        steps = np.abs(low.sample(64).astype(int) - full.sample(64).astype(int))
    assert (steps <= 1).mean() > 0.995


def test_nothing_is_added_when_nothing_is_asked_for(tmp_path: Path) -> None:
    plain = export_generator(Upsampling().eval(), tmp_path / "x.ganrt", SPEC, optimize="off")
    assert set(plain.manifest.files) == {"generator.fp32.onnx", "goldens.npy"}
    assert "operations" not in plain.manifest.provenance


def test_a_graph_of_any_size_has_forms_that_take_any_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 3, padding=1)).eval()
    spec = Spec(
        inputs=(Signal(name="photo", kind="image", shape=(3, None, None)),),
        output=Image(height=None, width=None, channels=3, low=0.0, high=1.0),
    )
    made = export_generator(module, tmp_path / "x.ganrt", spec)
    assert made.manifest.forms
    picture = torch.rand(2, 3, 7, 11)
    for name in made.manifest.forms:
        with Generator.load(made.path, form=name, precision="fp32") as generator:
            found = generator.run([picture.numpy()])["image_float"]
        np.testing.assert_allclose(found, module(picture).detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"precisions": ("fp8",)}, "There is no lower precision 'fp8'; ganrt makes: fp16, int8."),
        ({"optimize": "fast"}, "optimize is 'fast'; it is measure, count or off."),
        ({"int8_gate_db": 50.0}, "int8 is not among the precisions; ask for it too."),
        ({"precisions": ("int8",), "int8_gate_db": 3.0}, "The gate of int8 is 3 dB; it is from 20 to 90."),
        ({"precisions": ("int8",), "int8_gate_db": float("nan")}, "The gate of int8 is nan dB; it is from 20 to 90."),
    ],
)
def test_what_there_is_not_is_one_sentence_and_no_file(tmp_path: Path, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        export_generator(Upsampling().eval(), tmp_path / "x.ganrt", SPEC, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_int8_within_the_default_gate_is_measured_unasked(tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="NNCF is not installed: pip install 'ganrt[int8]'")
    torch.manual_seed(0)
    kinds = {"precisions": ("int8",), "int8_gate_db": 50.0}
    made = export_generator(Upsampling().eval(), tmp_path / "x.ganrt", SPEC, **kinds)  # type: ignore[arg-type]
    bound = made.manifest.goldens.bounds["int8"] if made.manifest.goldens else None
    assert bound == Bound(psnr_db=50.0, within_one=0.995)
    assert made.manifest.automatic == ("int8",)
    told: list[str] = []
    with Generator.load(made.path, progress=told.append) as free, Generator.load(made.path, precision="fp32") as exact:
        assert any(line.startswith("measuring ") and " int8 " in line for line in told)
        steps = np.abs(free.sample(64).astype(int) - exact.sample(64).astype(int))
    assert (steps <= 1).mean() >= 0.995


def test_the_page_holds_the_samples_and_every_figure(bundle: Bundle, tmp_path: Path) -> None:
    told: list[str] = []
    write_report(bundle, tmp_path / "page.html", told.append)
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64,") >= 1 + 2 * 2  # the reference, two precisions and their differences
    for text in ("PyTorch", "fp16", "onnxruntime", "multiply-adds", *bundle.manifest.forms):
        assert text in page
    assert "http" not in page  # it needs nothing from elsewhere
    assert any("measuring" in line for line in told)
