"""`ganrt train`: from two files of digits to a bundle, and every way in which it can be stopped or refused."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ganrt import Bundle
from ganrt.cli import main
from ganrt_export.families.cgan import Generator
from ganrt_export.training.datasets import LabelledImages
from ganrt_export.training.judge import Classifier
from ganrt_export.training.loop import Settings
from ganrt_export.training.recipes import cgan


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A folder with the four files, holding noise instead of digits."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    draws = np.random.default_rng(0)
    for prefix, count in (("train", 120), ("t10k", 60)):
        images = draws.integers(0, 256, (count, 28, 28), np.uint8)
        sizes = np.array(images.shape, ">u4").tobytes()
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + sizes[:4] + labels.tobytes())
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and judging that take no time; the export, the gate and the bundle are real."""

    def train_cgan(data: LabelledImages, settings: Settings, folder: Path, on_step, should_stop) -> Generator:
        torch.manual_seed(settings.seed)
        for step in range(settings.steps):
            on_step(step, 0.5, 0.6)
        return Generator().eval().requires_grad_(False)

    def assess(draw, classifier, training, held_out, names, per_class=12):
        return real_assess(draw, classifier, training, held_out, names, per_class)

    real_assess = cgan.assess
    monkeypatch.setattr(cgan, "train_cgan", train_cgan)
    monkeypatch.setattr(cgan, "assess", assess)
    monkeypatch.setattr("ganrt_export.training.judge.judge", lambda folder, data, on_step: Classifier().eval())


def train(*arguments: object) -> int:
    return main(["train", *map(str, arguments)])


def test_a_bundle_with_its_figures_comes_out(digits: Path, tmp_path: Path, quick: None, capsys) -> None:
    output = tmp_path / "mine.ganrt"
    assert train("cgan", "--data", digits, "-o", output, "--steps", 2, "--seed", 5, "--work-dir", tmp_path / "run") == 0
    manifest = Bundle.open(output).manifest
    assert (manifest.name, manifest.family, manifest.license) == ("mine", "cgan", "CC BY-SA 3.0")
    assert manifest.provenance["settings"]["steps"] == 2
    assert manifest.provenance["seed"] == 5
    assert manifest.spec.label is not None
    assert manifest.spec.label.names[7] == "seven"
    assert set(manifest.quality["classes"]) == set(cgan.CLASSES)
    assert manifest.goldens is not None
    assert len(manifest.goldens.samples) == 20
    assert output.stat().st_size < 1_000_000
    shown = capsys.readouterr().out
    for word in ("seven", "accuracy", "precision", "recall", "real digits", "dB from PyTorch", "ganrt sample"):
        assert word in shown


def test_the_help_teaches(capsys) -> None:
    assert train("--help") == 0
    shown = capsys.readouterr().out
    for word in ("cgan", "--data", "--steps", "--seed", "--work-dir", "Ctrl-C", "ganrt train cgan -o digits.ganrt"):
        assert word in shown


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["cgan", "-o", "digits.zip"], 2, "The bundle is one file that ends in .ganrt; digits.zip does not."),
        (["cgan", "-o", "nowhere/digits.ganrt"], 1, "nowhere does not exist; make it, or choose another place"),
        (["cgan", "--data", "nothing"], 1, "nothing does not exist, so there is no train-images-idx3-ubyte"),
        (["biggan"], 2, "'biggan' is not"),
        (["cgan", "--steps", "0"], 2, "Invalid value for '--steps'"),
        (["cgan", "--seed", "-1"], 2, "Invalid value for '--seed'"),
    ],
    ids=["no bundle", "no folder", "no data", "no recipe", "no steps", "negative seed"],
)
def test_what_cannot_work_is_refused_before_any_training(
    arguments: list[str], code: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(*arguments) == code
    shown = capsys.readouterr().err
    assert sentence in shown.replace("\n", " ")
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_keeps_a_checkpoint_and_says_how_to_go_on(digits: Path, tmp_path: Path) -> None:
    program = "import sys; from ganrt.cli import main; sys.exit(main(sys.argv[1:]))"
    run = tmp_path / "run"
    arguments = ["train", "cgan", "--data", str(digits), "-o", str(tmp_path / "x.ganrt"), "--work-dir", str(run)]
    slow_start = f"import os; os.environ['OMP_NUM_THREADS'] = '1'; {program}"
    child = subprocess.Popen([sys.executable, "-c", slow_start, *arguments], stderr=subprocess.PIPE, text=True)
    wait_for_training(run)
    child.send_signal(signal.SIGINT)
    _, shown = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"What was done is kept in {run}; run the same command again to go on." in shown.replace("\n", " ")
    assert "Traceback" not in shown
    steps = int((run / "metrics.csv").read_text().split()[-1].split(",")[0])
    assert 0 < steps < Settings().steps
    assert (run / "checkpoint.pt").exists()
    assert not (tmp_path / "x.ganrt").exists()


def wait_for_training(run: Path) -> None:
    """The folder is made just before the first step."""
    import time

    for _ in range(600):
        if run.exists():
            time.sleep(0.5)
            return
        time.sleep(0.1)
    pytest.fail("the training did not begin within a minute")


def test_the_command_loads_torch_only_when_it_runs() -> None:
    program = "import sys, ganrt_export.commands.train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_torch_one_sentence_says_what_to_install() -> None:
    program = (
        "import sys, importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'torch' else find(name, *rest)\n"
        "from ganrt.cli import main; sys.exit(main(['train', 'cgan']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'ganrt[export]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_whole_run_without_any_stand_in(digits: Path, tmp_path: Path) -> None:
    output = tmp_path / "whole.ganrt"
    assert train("cgan", "--data", digits, "-o", output, "--steps", 3, "--work-dir", tmp_path / "run") == 0
    first = output.read_bytes()
    assert train("cgan", "--data", digits, "-o", output, "--steps", 3, "--work-dir", tmp_path / "run") == 0
    assert output.read_bytes() == first
