"""`ganrt evaluate`, as its user types it: what it prints and writes, and every failure as one sentence."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tiny
import typer
from albums import NAMES, bars, write_album, write_idx
from PIL import Image

from ganrt.bundle import write_bundle
from ganrt.cli.failure import report
from ganrt_export.commands.evaluate import command
from ganrt_export.evaluation.results import Evaluation, read

FAST = ("--features", "random", "--backend", "onnxruntime", "-n", "60")


def evaluate(*words: object) -> int:
    """The command as `ganrt` runs a plug-in; returns the exit code."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command()(command)
    try:
        code = app(args=[str(word) for word in words], prog_name="ganrt evaluate", standalone_mode=False)
    except BaseException as problem:  # noqa: BLE001  what main does
        return report(problem, debug=False)
    return code if isinstance(code, int) else 0


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set, a class-conditional generator and one of sounds in the working directory."""
    monkeypatch.chdir(tmp_path)
    write_idx(Path("data"), *bars(120, 0))
    write_idx(Path("data"), *bars(80, 1), part="t10k")
    images, labels = bars(3_000, 2)
    by_class = np.stack([images[labels == label][:900] for label in range(3)])[..., None]
    write_album(Path("album.ganrt"), by_class, NAMES)
    write_bundle("sound.ganrt", *tiny.make("audio"))


def result(capfd: pytest.CaptureFixture[str], *words: object) -> Evaluation:
    assert evaluate(*words, "--json") == 0
    return msgspec.json.decode(capfd.readouterr().out, type=Evaluation)


def text_of(printed: str) -> str:
    return " ".join(re.sub("[│┃━┏┓┡┩└┘─┴┬┼├┤╇┳]", " ", printed).split())


def test_it_prints_every_score_with_its_error_beside_real_pictures(capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate("album.ganrt", "--data", "data", *FAST) == 0
    out, err = capfd.readouterr()
    assert err == ""
    text = text_of(out)
    assert "album: 60 samples of seed 0, classes as in the data, against 80 held-out pictures of data" in text
    for score in (
        "Fréchet distance",
        "without its bias",
        "kernel distance",
        "precision",
        "recall",
        "density",
        "coverage",
    ):
        assert re.search(rf"{score} -?[\d.]+( ± [\d.]+)? -?[\d.]+", text), score
    assert "Features: random, a network of random weights" in text
    for finding in ("clusters 2 of 2 hit", "repetition", "memorising samples are"):
        assert finding in text
    assert "note: 60 pictures are too few for the covariance of 272 features" in text


def test_json_holds_all_of_it_and_nothing_else_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate("album.ganrt", "--data", "data", *FAST, "--json") == 0
    out, err = capfd.readouterr()
    assert err == ""
    raw: dict[str, Any] = json.loads(out)
    assert raw["features"]["name"] == "random"
    assert set(raw["quality"]["frechet_distance"]) == {"value", "error"}
    assert raw["real"]["facts"]["held_out"]["images"] == 80
    assert msgspec.to_builtins(msgspec.convert(raw, Evaluation)) == msgspec.to_builtins(
        msgspec.json.decode(out, type=Evaluation)
    )


def test_a_classifier_tells_the_classes(capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate("album.ganrt", "--data", "data", "--epochs", "25", *FAST[2:], "--features", "train") == 0
    text = text_of(capfd.readouterr().out)
    assert "class share of samples of held-out ones taken for it" in text
    assert re.search(r"classes \d of 3 hit; taken for the class asked for: [\d.]+ %", text)


def test_the_page_and_the_figure_are_written_whole(capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate("album.ganrt", "--data", "data", *FAST, "--html", "page.html", "--png", "figure.png") == 0
    assert "page.html was written." in capfd.readouterr().out
    page = Path("page.html").read_text()
    assert "default-src 'none'" in page
    assert page.count("data:image/png;base64,") == 1
    assert "Fréchet distance" in page
    assert "<script" not in page
    with Image.open("figure.png") as figure:
        assert figure.mode == "RGB"
        assert figure.width > 600
    assert not list(Path().glob("*.tmp"))


def test_a_hostile_name_cannot_become_part_of_the_page(capfd: pytest.CaptureFixture[str]) -> None:
    Path("data").rename("<script>alert(1)<")
    assert evaluate("album.ganrt", "--data", "<script>alert(1)<", *FAST, "--html", "page.html") == 0
    page = Path("page.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_two_results_are_compared_with_their_noise(capfd: pytest.CaptureFixture[str]) -> None:
    images, labels = bars(3_000, 2)
    write_album(Path("worse.ganrt"), (images[labels == 0][:50, ..., None] // 2 + 60).astype(np.uint8))
    for name in ("album", "worse"):
        Path(f"{name}.json").write_bytes(msgspec.json.encode(result(capfd, f"{name}.ganrt", "--data", "data", *FAST)))
    assert evaluate("--compare", "album.json", "worse.json") == 0
    text = text_of(capfd.readouterr().out)
    assert "score album, 60 worse, 60" in text
    assert re.search(r"kernel distance \S+ ± \S+ \S+ ± \S+ worse", text)
    assert evaluate("--compare", "album.json", "album.json", "--json") == 0
    verdicts = {change["score"]: change["verdict"] for change in json.loads(capfd.readouterr().out)}
    assert set(verdicts.values()) == {"within noise"}


def test_scores_that_depend_on_the_number_of_samples_are_not_compared_across_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for n in (60, 70):
        found = result(capfd, "album.ganrt", "--data", "data", *FAST[:-1], n)
        Path(f"{n}.json").write_bytes(msgspec.json.encode(found))
    assert evaluate("--compare", "60.json", "70.json", "--json") == 0
    verdicts = {change["score"]: change["verdict"] for change in json.loads(capfd.readouterr().out)}
    assert verdicts["frechet_distance"] == verdicts["recall"] == "of another number of samples"
    assert verdicts["kernel_distance"] == verdicts["frechet_unbiased"] == "within noise"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"features": {"digest": "0" * 64}},
            "These were measured in different features ('random' 217e0fec; 'random' 00000000)",
        ),
        ({"real": {"held_out": 79}}, "These were measured by different data"),
        ({"real": {"reference": "training"}}, "against different parts of the data (held-out; training)"),
    ],
)
def test_results_of_other_features_or_data_are_refused(
    capfd: pytest.CaptureFixture[str], change: dict[str, dict[str, Any]], sentence: str
) -> None:
    found = result(capfd, "album.ganrt", "--data", "data", *FAST)
    Path("old.json").write_bytes(msgspec.json.encode(found))
    raw = msgspec.to_builtins(found)
    for part, values in change.items():
        raw[part].update(values)
    Path("new.json").write_bytes(msgspec.json.encode(raw))
    assert evaluate("--compare", "old.json", "new.json") == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert sentence in err


def test_a_result_is_read_back_as_it_was_written(capfd: pytest.CaptureFixture[str]) -> None:
    found = result(capfd, "album.ganrt", "--data", "data", *FAST)
    Path("found.json").write_bytes(msgspec.json.encode(found))
    assert read(Path("found.json")) == found


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        ([], "Say what to judge, and by what: ganrt evaluate faces.ganrt --data FOLDER", 2),
        (["album.ganrt"], "Say what to judge, and by what", 2),
        (["album.ganrt", "--compare", "a", "b"], "Give either a generator to judge, or two results", 2),
        (["lost.ganrt", "--data", "data"], "There is no file, folder or bundled generator", 1),
        (
            ["sound.ganrt", "--data", "data"],
            "'tiny-audio' makes audio; ganrt evaluate judges generators of pictures",
            2,
        ),
        (["album.ganrt", "--data", "lost"], "lost does not exist; give a folder of pictures", 1),
        (["album.ganrt", "--data", "small.npz"], "smaller than 12 x 12", 1),
        (["album.ganrt", "--data", "plain.npz", "--features", "train"], "--features train needs the class", 2),
        (["album.ganrt", "--data", "plain.npz", "--labels", "data"], "these have none. Draw every class alike", 2),
        (["album.ganrt", "--data", "data", "--features", "lost.onnx"], "There are no features 'lost.onnx'", 2),
        (["album.ganrt", "--data", "data", "--features", "digits.onnx"], "is not an ONNX model", 1),
        (["album.ganrt", "--data", "data", "--feature-range", "1"], "'1' is not LOW:HIGH, such as -1:1", 2),
        (["album.ganrt", "--data", "data", "--html", "page.png"], "page.png does not end in .html or .htm", 2),
        (["album.ganrt", "--data", "data", "--png", "lost/a.png"], "does not exist; make it, or choose another", 1),
        (["album.ganrt", "--data", "data", "--labels", "odd"], "--labels is 'odd'; choose auto or data or uniform", 2),
        (["album.ganrt", "--data", "data", "-n", "3"], "3 samples are too few to judge", 2),
        (["--compare", "lost.json", "lost.json"], "lost.json cannot be read: No such file or directory", 2),
        (["--compare", "digits.onnx", "digits.onnx"], "holds no result of ganrt evaluate --json", 2),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_writes_nothing(
    capfd: pytest.CaptureFixture[str], arguments: list[str], sentence: str, code: int
) -> None:
    np.savez("small.npz", images=np.zeros((60, 6, 6), np.uint8))
    np.savez("plain.npz", images=bars(60, 0)[0])
    Path("digits.onnx").write_text("no graph")
    before = sorted(Path().rglob("*"))
    assert evaluate(*arguments) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert sorted(Path().rglob("*")) == before


def test_ganrt_knows_the_command_and_its_help_teaches() -> None:
    done = subprocess.run([sys.executable, "-m", "ganrt", "evaluate", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = text_of(done.stdout)
    for words in (
        "ganrt evaluate digits --data mnist --html digits.html",
        "those of FID",
        "--compare old.json new.json",
    ):
        assert words in text
