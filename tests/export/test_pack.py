"""A module becomes a bundle that this ganrt opens, trusts and runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ganrt import Bundle, Generator
from ganrt.errors import FidelityError, OutputError
from ganrt.latents import Draws
from ganrt.spec import Audio, Image, Label, Latent, Spec
from ganrt_export import pack as packing
from ganrt_export.fidelity import Fidelity
from ganrt_export.goldens import choose_goldens
from ganrt_export.pack import BOUNDS, pack
from ganrt_export.reference import evaluate, sample, to_pixels


@pytest.fixture(scope="module")
def bundle(exported, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return pack(
        tmp_path_factory.mktemp("bundle") / "small.ganrt",
        exported.module,
        exported.spec,
        name="small",
        family="cgan",
        license="CC0-1.0",
        quality={"accuracy": 0.5},
        provenance={"seed": 0},
        half_weights=True,
    )


def test_a_bundle_holds_the_graph_and_the_goldens_and_says_how_good_they_are(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert set(manifest.files) == {"generator.fp32.onnx", "goldens.npy"}
    assert manifest.graphs == {"fp32": "generator.fp32.onnx"}
    assert manifest.quality == {"accuracy": 0.5}
    assert manifest.license == "CC0-1.0"
    assert manifest.provenance["seed"] == 0
    assert set(manifest.provenance) >= {"ganrt", "torch"}
    assert manifest.fidelity["fp32"]["onnxruntime"]["psnr_db"] > 100
    assert manifest.goldens is not None
    assert manifest.goldens.bounds == BOUNDS
    bundle.verify()


def test_goldens_are_the_modules_own_output(bundle: Bundle, exported) -> None:
    goldens = bundle.manifest.goldens
    assert goldens is not None
    assert bundle.goldens is not None
    assert bundle.goldens.dtype == np.float32
    for golden, row in zip(goldens.samples, bundle.goldens, strict=True):
        draws = Draws.of(exported.spec, golden)
        np.testing.assert_array_equal(row, evaluate(exported.module, exported.spec, draws.feeds(0, 1))[0])


def test_goldens_cover_every_label_at_both_ends_of_truncation_with_a_seed_each(exported) -> None:
    goldens = choose_goldens(exported.spec)
    assert {(golden.label, golden.truncation) for golden in goldens} == {(c, t) for c in range(3) for t in (None, 0.3)}
    assert len({golden.seed for golden in goldens}) == len(goldens) == 6


def test_a_generator_without_labels_or_truncation_still_has_goldens() -> None:
    goldens = choose_goldens(Spec(inputs=(Latent(size=2),), output=Audio(length=4, sample_rate=8_000)))
    assert len(goldens) >= 2
    assert len({golden.seed for golden in goldens}) == len(goldens)
    assert {(golden.label, golden.truncation) for golden in goldens} == {(None, None)}


def test_of_a_thousand_classes_some_are_chosen_from_all_over() -> None:
    spec = Spec(inputs=(Latent(size=2), Label(classes=1_000)), output=Image(height=4, width=4, channels=3))
    labels = [golden.label for golden in choose_goldens(spec)]
    assert labels[0] == 0
    assert labels[-1] == 999
    assert len(labels) == len(set(labels)) == 32


def test_the_generator_of_the_runtime_draws_what_the_module_draws(bundle: Bundle, exported) -> None:
    with Generator.load(bundle.path, backend="onnxruntime", threads=1) as generator:
        images = generator.sample(20, seed=11)
        threes = generator.sample(4, seed=11, label="two", truncation=0.5)
    expected = to_pixels(sample(exported.module, Draws(exported.spec, 11, 0, 20)), exported.spec.output)
    assert np.abs(images.astype(int) - expected).max() <= 1
    draws = Draws(exported.spec, 11, 0, 4, label="two", truncation=0.5)
    assert np.abs(threes.astype(int) - to_pixels(sample(exported.module, draws), exported.spec.output)).max() <= 1


def test_a_graph_that_is_not_the_module_is_not_packed(
    exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = Fidelity("an engine", 256, 0.1, 30.0, 0.5, 0.9, 12)
    monkeypatch.setattr(packing, "fidelity", lambda *arguments: {"engine": off})
    monkeypatch.setattr(packing, "export_onnx", lambda *arguments, **options: exported.graph)
    with pytest.raises(FidelityError, match=r"an engine: its output is 30.0 dB"):
        pack(tmp_path / "off.ganrt", exported.module, exported.spec, name="off", family="cgan")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_an_output_error(exported, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(packing, "export_onnx", lambda *arguments, **options: exported.graph)
    with pytest.raises(OutputError, match="could not be written"):
        pack(tmp_path / "nowhere" / "x.ganrt", exported.module, exported.spec, name="x", family="cgan")
