"""`ganrt export`, as its user types it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from ganrt import Bundle, Generator
from ganrt.cli import main
from ganrt.spec import Audio, Code, Image, Label, Latent, Signal, Truncation

MINE = """
import torch
from torch import nn

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(12 + 4, 48)
        self.label = nn.Embedding(3, 4)
    def forward(self, z, y):
        return torch.tanh(self.layer(torch.cat([z, self.label(y)], 1))).view(-1, 3, 4, 4)

def build():
    return Mine()

def with_example():
    return Mine(), {"z": torch.randn(2, 12), "y": torch.tensor([0, 2])}

def wrong():
    return 3
"""


class Dcgan(nn.Module):
    """The tutorial's network, small."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.main = nn.Sequential(
            nn.ConvTranspose2d(10, 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 4, 4, 2, 1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(True),
            nn.ConvTranspose2d(4, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"mine_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(MINE)
    (tmp_path / "module_name").write_text(name)


def mine() -> str:
    return Path("module_name").read_text()


def test_a_checkpoint_is_recognised_exported_and_drawn(capfd: pytest.CaptureFixture[str]) -> None:
    torch.save({"epoch": 3, "netG_state_dict": Dcgan().state_dict()}, "weights.pt")
    assert main(["export", "weights.pt", "-o", "faces.ganrt", "--license", "MIT", "--preview", "faces.png"]) == 0
    printed = capfd.readouterr().out
    assert "ONNX Runtime" in printed
    assert "netG_state_dict" in printed
    bundle = Bundle.open("faces.ganrt")
    assert (bundle.manifest.family, bundle.manifest.license) == ("dcgan", "MIT")
    with Generator.load("faces.ganrt") as generator:
        assert generator.sample(2).shape == (2, 16, 16, 3)
    assert Path("faces.png").read_bytes().startswith(b"\x89PNG")


def test_a_module_of_ones_own_with_weights_and_words(capfd: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(1)
    state = {"layer.weight": torch.randn(48, 16), "layer.bias": torch.randn(48), "label.weight": torch.randn(3, 4)}
    torch.save(state, "g.pt")
    command = ["export", f"{mine()}:build", "-c", "g.pt", "--latent", "normal:12", "--label", "cat,dog,owl"]
    assert main([*command, "--truncation", "0.5:2", "-o", "mine.ganrt"]) == 0, capfd.readouterr().err
    spec = Bundle.open("mine.ganrt").manifest.spec
    assert spec.inputs == (
        Latent(size=12),
        Label(classes=3, names=("cat", "dog", "owl")),
        Truncation(minimum=0.5, maximum=2.0),
    )
    assert spec.output == Image(height=4, width=4, channels=3)
    assert main(["sample", "mine.ganrt", "-n", "4", "--label", "owl", "-o", "owls.png"]) == 0


def test_a_function_may_bring_its_example(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", f"{mine()}:with_example", "-o", "mine.ganrt"]) == 0, capfd.readouterr().err
    z, y = Bundle.open("mine.ganrt").manifest.spec.inputs
    assert isinstance(z, Signal)
    assert y == Label(classes=3, name="y")
    assert main(["info", "mine.ganrt"]) == 0
    assert "outputs = mine.run({'z': z, 'y': y})" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["nothing.pt"], "nothing.pt", 1),
        (["dcgan"], "Which weights? Give them: ganrt export dcgan --checkpoint FILE", 2),
        (["gan2000", "-c", "weights.pt"], "There is no family 'gan2000'", 2),
        (["no_such_module:build"], "is not to be found: No module named 'no_such_module'", 2),
        (["MINE:nothing"], "is not to be found", 2),
        (["MINE:wrong"], "gives a int, not a torch.nn.Module", 2),
        (["MINE:build"], "does not say what it takes: give --latent", 2),
        (["MINE:build", "--latent", "gauss:12"], "The latent 'gauss:12' is not KIND:SIZE", 2),
        (["MINE:build", "--latent", "normal:x"], "'x' in 'normal:x' is not a whole number above 0", 2),
        (["MINE:build", "--latent", "normal:12", "-o", "x.onnx"], "ends in .ganrt; x.onnx does not", 2),
        (["weights.pt", "--latent", "normal:12"], "A family knows what it takes", 2),
        (["weights.pt", "--noise", "loud"], "--noise is 'loud'; it is refuse, freeze or input", 2),
        (["discriminator.pt"], "discriminator", 1),
        (["weights.pt", "-o", "no/x.ganrt"], "does not exist; make it", 1),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(
    capfd: pytest.CaptureFixture[str], arguments: list[str], sentence: str, code: int
) -> None:
    torch.save({"netG_state_dict": Dcgan().state_dict()}, "weights.pt")
    torch.save({"netD_state_dict": {"main.0.weight": torch.zeros(4, 3, 4, 4)}}, "discriminator.pt")
    before = sorted(Path().iterdir())
    assert main(["export", *(word.replace("MINE", mine()) for word in arguments)]) == code
    printed = capfd.readouterr()
    assert printed.err.startswith("Error: ")
    assert printed.err.count("\n") == 1
    assert sentence in printed.err
    assert [path for path in sorted(Path().iterdir()) if path.name != "__pycache__"] == before


@pytest.mark.parametrize(
    ("texts", "part"),
    [
        (("read_latent", "noise=uniform:100"), Latent(size=100, name="noise", distribution="uniform")),
        (("read_label", "y=classes:10:one_hot"), Label(classes=10, name="y", encoding="one_hot")),
        (("read_code", "tilt=continuous:2:-2:2"), Code(size=2, name="tilt", kind="continuous", low=-2, high=2)),
        (("read_signal", "mel:80xANY"), Signal(name="mel", kind="mel", shape=(80, None))),
    ],
)
def test_short_texts_are_parts_of_a_spec(texts: tuple[str, str], part: object) -> None:
    from ganrt_export import describe

    assert getattr(describe, texts[0])(texts[1]) == part


def test_the_output_is_read_off_what_the_module_gave() -> None:
    from ganrt_export.describe import read_output

    sound, also = read_output("audio:16000", [torch.zeros(2, 1, 64), torch.zeros(2, 3)], ())
    assert sound == Audio(length=64, sample_rate=16000)
    assert also[0].shape == (3,)
