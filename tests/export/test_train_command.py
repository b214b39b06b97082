"""`ganrt train`: from data to a bundle, and every way in which it can be stopped or refused."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ganrt import Bundle, Generator
from ganrt.cli import main
from ganrt_export.training import recipes
from ganrt_export.training.datasets.at_hand import prepare
from ganrt_export.training.judge import Classifier
from ganrt_export.training.recipe import Settings
from ganrt_export.training.recipes import cgan

PROGRAM = "import sys; from ganrt.cli import main; sys.exit(main(sys.argv[1:]))"


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

    def train(recipe, data, folder, *, on_step, **options) -> nn.Module:  # type: ignore[no-untyped-def]
        for step in range(recipe.settings.steps):
            on_step(step, {"loss_d": 0.5, "loss_g": 0.6})
        return recipe.generator.eval().requires_grad_(False)

    def assess(draw, classifier, training, held_out, names):  # type: ignore[no-untyped-def]
        return real_assess(draw, classifier, training, held_out, names, per_class=12)

    real_assess = cgan.assess
    monkeypatch.setattr("ganrt_export.training.loop.train", train)
    monkeypatch.setattr(cgan, "assess", assess)
    monkeypatch.setattr(cgan, "judge", lambda folder, data, on_step: Classifier().eval())


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
    assert all(entry.size < 800_000 for entry in manifest.files.values())  # weights in half the bytes
    shown = capsys.readouterr().out
    for word in ("seven", "accuracy", "precision", "recall", "real digits", "dB from PyTorch", "ganrt sample"):
        assert word in shown


def test_options_reach_the_settings_and_the_rest_are_the_recipes_own(digits: Path, tmp_path: Path, quick: None) -> None:
    options = ("--steps", 3, "--batch", 20, "--accumulate", 2, "--lr", 0.01, "--seed", 7, "--device", "cpu")
    assert train("gan", "--data", digits, "-o", tmp_path / "x.ganrt", *options) == 0
    provenance = Bundle.open(tmp_path / "x.ganrt").manifest.provenance
    given = {"steps": 3, "batch": 20, "accumulate": 2, "learning_rate": 0.01, "seed": 7}
    defaults = recipes.find("gan").Settings(**given)
    assert provenance["settings"] == {**vars(defaults), **given}
    assert provenance["recipe"] == "gan"
    assert provenance["data"]["images"] == 120


def test_the_whole_way_leaves_what_there_is_to_see_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    source = prepare("digits", tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert train("gan", "--data", source, "--steps", 3, "--batch", 8) == 0
    first = Bundle.open("gan.ganrt").graph()
    names = {file.name for file in Path("runs/gan").iterdir() if not file.name.startswith("events")}
    assert names == {
        "checkpoint.pt",
        "discriminator.safetensors",
        "generator.safetensors",
        "metrics.csv",
        "progress.png",
        "samples",
        "samples.gif",
    }
    assert [row.split(",")[0] for row in Path("runs/gan/metrics.csv").read_text().split()] == ["step", "1", "2", "3"]
    with Generator.load("gan.ganrt", precision="fp32") as generator:
        samples = generator.sample(64, seed=0)
    with Image.open("runs/gan/samples/000003.png") as picture:
        grid = np.asarray(picture)[::2, ::2]  # twice as large, to be seen
    assert (grid[:28, :28] == samples[0, ..., 0]).mean() > 0.99  # what was shown is what the bundle draws
    assert train("gan", "--data", source, "--steps", 3, "--batch", 8) == 0  # nothing is left to train
    assert Bundle.open("gan.ganrt").graph() == first
    assert "See it: ganrt sample gan.ganrt" in capsys.readouterr().out


def test_the_help_teaches_and_lists_every_recipe_with_a_line(capsys) -> None:
    assert train("--help") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for word in ("--data", "--steps", "--seed", "--work-dir", "--smoke", "Ctrl-C", "ganrt train cgan -o digits.ganrt"):
        assert word in shown
    for name, line in recipes.summaries().items():
        assert f"{name} {line}" in shown


def pictures(folder: Path, sides: list[int], names: str = "{}.png") -> Path:
    for number, side in enumerate(sides):
        file = folder / names.format(number)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)).save(file)
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["cgan", "-o", "digits.zip"], 2, "The bundle is one file that ends in .ganrt; digits.zip does not."),
        (["cgan", "-o", "nowhere/digits.ganrt"], 1, "nowhere does not exist; make it, or choose another place"),
        (["cgan", "--data", "nothing"], 1, "nothing does not exist, so there is no train-images-idx3-ubyte"),
        (["biggan"], 2, "'biggan' is not a recipe; there are cgan, "),
        (["cgan", "--steps", "0"], 2, "Invalid value for '--steps'"),
        (["cgan", "--steps", "-5"], 2, "Invalid value for '--steps': Input should be greater than or equal to 1."),
        (["cgan", "--seed", "-1"], 2, "Invalid value for '--seed'"),
        (["cgan", "--batch", "10", "--accumulate", "4"], 2, "A batch of 10 cannot be computed in 4 equal parts."),
        (["cgan", "--lr", "-1"], 2, "The learning rate is -1.0; it must be above 0."),
        (["cgan", "--device", "tpu"], 2, "'tpu' is not a device; choose auto, cpu or cuda."),
        (
            ["dcgan-mnist", "--set", "depth=3"],
            2,
            "'depth'; it has accumulate, batch, beta1, beta2, decay_last, ema_decay,",
        ),
        (["dcgan-mnist", "--set", "width=wide"], 2, "--set width=wide: width must be a whole number."),
        (["infogan", "--set", "width=1"], 2, "width is 1; it must be at least 2."),
        (
            ["stylegan2", "--data", "empty", "--set", "channel_base=1"],
            2,
            "channel_base is 1; it must be at least the size",
        ),
        (["gan", "--size", "32"], 2, "gan makes samples of one size only; leave out --size."),
        (["gan", "--smoke", "--steps", "9"], 2, "--smoke brings its own data and settings"),
        (["dcgan-faces"], 2, "This recipe has no data of its own; say where yours are with --data PATH."),
        (["dcgan-faces", "--data", "empty", "--size", "48"], 2, "The size is 48; this recipe makes squares of"),
        (["dcgan-mnist", "--data", "empty"], 1, "empty holds no pictures; looked for .bmp"),
        (["dcgan-mnist", "--data", "one"], 1, "one has too few usable pictures to learn from, 1 of 1."),
        (["dcgan-faces", "--data", "small", "--size", "64"], 1, "0 of 3; skipped 3 smaller than 64 x 64 (0.png,"),
        (["medical", "--data", "small"], 1, "3 in no class's folder (0.png, 1.png, 2.png)"),
        (["dcgan-mnist", "--data", "words.txt"], 1, "words.txt holds no pictures; give a folder of them"),
    ],
    ids=[
        "no bundle",
        "no folder",
        "no data",
        "no recipe",
        "no steps",
        "negative steps",
        "negative seed",
        "unequal parts",
        "negative rate",
        "no device",
        "no setting",
        "no number",
        "too narrow",
        "too narrow for the size",
        "a size where there is one only",
        "smoke with settings",
        "data to be named",
        "size no power of two",
        "empty folder",
        "one picture",
        "pictures too small",
        "labels missing",
        "no pictures at all",
    ],
)
def test_what_cannot_work_is_refused_before_any_training(
    arguments: list[str], code: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    (tmp_path / "empty").mkdir()
    pictures(tmp_path / "one", [40])
    pictures(tmp_path / "small", [40, 40, 40])
    (tmp_path / "words.txt").write_text("words")
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert train(*arguments) == code
    shown = capsys.readouterr().err
    assert sentence in shown.replace("\n", " ")
    assert "Traceback" not in shown
    assert sorted(tmp_path.iterdir()) == before


def test_what_was_skipped_among_good_pictures_is_told_and_the_rest_is_trained_on(
    tmp_path: Path, quick: None, capsys
) -> None:
    source = pictures(tmp_path / "mixed", [40, 30, 28, 12])
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    assert train("gan", "--data", source, "--steps", 1, "-o", tmp_path / "x.ganrt") == 0
    told = capsys.readouterr().err
    assert "Skipped 1 smaller than 28 x 28 (3.png); 1 damaged (broken.jpg)." in told.replace("\n", " ")
    assert Bundle.open(tmp_path / "x.ganrt").manifest.provenance["data"]["images"] == 3


def test_the_checkpoint_of_another_recipe_is_refused(tmp_path: Path, capsys) -> None:
    source = prepare("digits", tmp_path / "digits")
    torch.save({"format": 1, "recipe": "vae", "settings": {}, "data": {}}, tmp_path / "checkpoint.pt")
    options = ("--data", source, "--work-dir", tmp_path, "-o", tmp_path / "x.ganrt")
    assert train("gan", *options) == 1
    assert "checkpoint.pt is of the recipe vae, not of gan; use another folder." in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="limits and signals are POSIX's")
def test_a_full_disk_ends_in_one_sentence(digits: Path, tmp_path: Path) -> None:
    full = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
    )
    arguments = ["train", "gan", "--data", digits, "--steps", 2, "--batch", 4, "--work-dir", tmp_path / "run"]
    done = subprocess.run(
        [sys.executable, "-c", full + PROGRAM, *map(str, arguments), "-o", str(tmp_path / "x.ganrt")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "checkpoint.pt could not be written: File too large. Make room, or write to another disk." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    assert not [file for file in (tmp_path / "run").iterdir() if file.suffix == ".tmp"]


def test_ctrl_c_keeps_a_checkpoint_and_says_how_to_go_on(digits: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ["train", "cgan", "--data", str(digits), "-o", str(tmp_path / "x.ganrt"), "--work-dir", str(run)]
    slow_start = f"import os; os.environ['OMP_NUM_THREADS'] = '1'; {PROGRAM}"
    child = subprocess.Popen([sys.executable, "-c", slow_start, *arguments], stderr=subprocess.PIPE, text=True)
    wait_for_training(run)
    child.send_signal(signal.SIGINT)
    _, shown = child.communicate(timeout=120)
    assert child.returncode == 130
    assert f"What was done is kept in {run}; run the same command again to go on." in shown.replace("\n", " ")
    assert "Traceback" not in shown
    steps = int((run / "metrics.csv").read_text().split()[-1].split(",")[0])
    assert 0 < steps < Settings().steps
    assert (run / "checkpoint.pt").exists()
    assert not (tmp_path / "x.ganrt").exists()


def wait_for_training(run: Path) -> None:
    """The table is made just before the first step."""
    for _ in range(1_200):
        if (run / "metrics.csv").exists():
            time.sleep(0.5)
            return
        time.sleep(0.1)
    pytest.fail("the training did not begin within two minutes")


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
    def whole() -> tuple[bytes, object, object]:
        options = ("--steps", 3, "--set", "norm_batches=2", "--work-dir", tmp_path / "run")
        assert train("cgan", "--data", digits, "-o", tmp_path / "whole.ganrt", *options) == 0
        bundle = Bundle.open(tmp_path / "whole.ganrt")
        return bundle.graph(), bundle.manifest.quality, bundle.manifest.goldens

    assert whole() == whole()
