"""`ganrt build`, as its user types it; every failure is one sentence and leaves the old bundle serving."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import engine_bundles
import pytest
import tiny
import typer
from onnx import helper

from ganrt import Bundle, Generator
from ganrt.bundle import write_bundle
from ganrt.cli import main
from ganrt.cli.failure import report
from ganrt_export.commands.build import command

pytest.importorskip("tensorrt_rtx")

RUN = """
import sys, typer
from ganrt.cli import _stop_cleans_up
from ganrt.cli.failure import report
from ganrt_export.commands.build import command
app = typer.Typer(add_completion=False)
app.command()(command)
try:
    with _stop_cleans_up():
        sys.exit(app(args=sys.argv[1:], prog_name="ganrt build", standalone_mode=False) or 0)
except BaseException as problem:
    sys.exit(report(problem, False))
"""


def build(*words: object) -> int:
    """The command as `ganrt` runs a plug-in; returns the exit code."""
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    app.command()(command)
    try:
        code = app(args=[str(word) for word in words], prog_name="ganrt build", standalone_mode=False)
    except BaseException as problem:  # noqa: BLE001  what main does
        return report(problem, debug=False)
    return code if isinstance(code, int) else 0


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_bundle("tiny.ganrt", *tiny.make("conditional"))


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path().iterdir()) if path.is_file()}


def test_a_bundle_gets_its_engines_in_place_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert build("tiny.ganrt", "--capability", "8.6,12.0", "--profile", "1:1:1", "--profile", "1:16:64") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert "tensorrt-rtx-fp32-sm86-sm120: " in out
    assert "1 and 1 to 64 (best at 16) samples a call" in out
    assert "tiny.ganrt was replaced: " in out
    assert "Built, not run" in out
    assert list(contents()) == ["tiny.ganrt"]
    bundle = Bundle.open("tiny.ganrt")
    bundle.verify()
    (engine,) = bundle.manifest.engines.values()
    assert [profile.batch for profile in engine.profiles] == [(1, 1, 1), (1, 16, 64)]
    with Generator.load("tiny.ganrt", backend="onnxruntime") as generator:
        assert generator.sample(2).shape == (2, 6, 5, 1)


def test_info_lists_them_and_marks_those_of_another_graph(capfd: pytest.CaptureFixture[str]) -> None:
    assert build("tiny.ganrt", "--capability", "8.9", "--profile", "1:4:8", "-o", "new.ganrt") == 0
    capfd.readouterr()
    assert main(["info", "new.ganrt"]) == 0
    text = " ".join(capfd.readouterr().out.split())
    assert "Engines tensorrt-rtx-fp32-sm89 for compute capability 8.9: tensorrt-rtx" in text
    assert "batch 1 to 8, best at 4" in text
    assert "ANOTHER graph" not in text
    bundle = Bundle.open("new.ganrt")
    files = {member: bundle.read(member) for member in bundle.manifest.files}
    model = tiny.model(bundle.manifest.spec)
    model.producer_name = "another"
    write_bundle("stale.ganrt", bundle.manifest, files | {tiny.GRAPH: model.SerializeToString()})
    assert main(["info", "stale.ganrt"]) == 0
    assert "of ANOTHER graph than this bundle's: build it again" in " ".join(capfd.readouterr().out.split())


def test_another_file_leaves_the_bundle_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = contents()
    assert build("tiny.ganrt", "--capability", "8.6", "-o", "new.ganrt") == 0
    assert "new.ganrt: " in capfd.readouterr().out
    assert contents()["tiny.ganrt"] == before["tiny.ganrt"]
    assert list(contents()) == ["new.ganrt", "tiny.ganrt"]


def test_a_link_still_leads_to_the_bundle_that_was_replaced() -> None:
    Path("link.ganrt").symlink_to("tiny.ganrt")
    assert build("link.ganrt", "--capability", "8.6") == 0
    assert Path("link.ganrt").is_symlink()
    assert list(Bundle.open("tiny.ganrt").manifest.engines) == ["tensorrt-rtx-fp32-sm86"]


def test_the_bundled_generator_and_a_folder_are_sources_with_an_output() -> None:
    write_bundle("folder", *tiny.make("uniform"))
    for source in ("digits", "folder"):
        assert build(source, "--capability", "8.6", "--profile", "1:2:4", "-o", f"{source}-rtx.ganrt") == 0
        assert len(Bundle.open(f"{source}-rtx.ganrt").manifest.engines) == 1


def test_a_second_build_says_what_it_replaced(capfd: pytest.CaptureFixture[str]) -> None:
    assert build("tiny.ganrt", "--capability", "8.6") == 0
    assert build("tiny.ganrt", "--capability", "8.6,8.9") == 0
    assert "left out: tensorrt-rtx-fp32-sm86\n" in capfd.readouterr().out


def test_a_graph_of_any_size_is_built_for_the_sizes_given() -> None:
    write_bundle("up.ganrt", *engine_bundles.upscaler())
    size = "height=16:32:64,width=32"
    assert build("up.ganrt", "--capability", "8.6", "--profile", "1:1:2", "--size", size) == 0
    (engine,) = Bundle.open("up.ganrt").manifest.engines.values()
    assert engine.profiles[0].sizes == {"photo_2": (16, 32, 64), "photo_3": (32, 32, 32)}


def fft() -> None:
    """LaMa's operation, as a graph that keeps it would hold it."""
    nodes = [
        helper.make_node("Unsqueeze", ["z", "last"], ["column"], name="column"),
        helper.make_node("DFT", ["column", "", "axis"], ["spectrum"], name="rfft"),
        helper.make_node("ReduceSum", ["spectrum", "axis"], ["table"], name="table", keepdims=0),
    ]
    import numpy as np

    write_bundle("fft.ganrt", *engine_bundles.graph_bundle(nodes, {"last": np.array([2]), "axis": np.array(1)}))


@pytest.mark.parametrize(
    ("arguments", "sentence", "code"),
    [
        (["fft.ganrt", "--capability", "8.6"], "TensorRT-RTX has no such operation: the DFT 'rfft'", 1),
        (["tiny.ganrt", "--capability", "7.5"], "leave 7.5 out of --capability", 1),
        (["tiny.ganrt", "--capability", "9.9"], "no engine for the compute capability '9.9'", 2),
        (["tiny.ganrt"], "Name their compute capabilities, e.g. --capability 8.6,8.9,12.0", 2),
        (["tiny.ganrt", "--capability", "8.6", "--precision", "fp16"], "tiny.ganrt has no fp16 graph", 1),
        (["tiny.ganrt", "--capability", "8.6", "--precision", "fp32,int4"], "not in 'int4'", 2),
        (["tiny.ganrt", "--capability", "8.6", "--profile", "1:64"], "'1:64' is not LEAST:BEST:MOST", 2),
        (["tiny.ganrt", "--capability", "8.6", "--profile", "8:4:1"], "8:4:1 is no range for the batch", 2),
        (["tiny.ganrt", "--capability", "8.6", "--size", "height=5"], "no open size 'height'", 2),
        (["tiny.ganrt", "--capability", "8.6", "--size", "256"], "'256' is not NAME=LEAST:BEST:MOST", 2),
        (["tiny.ganrt", "--capability", "8.6", "--engine", "openvino"], "There is no engine 'openvino'", 2),
        (["tiny.ganrt", "--capability", "8.6", "-o", "new.onnx"], "ends in .ganrt; new.onnx does not", 2),
        (["tiny.ganrt", "--capability", "8.6", "-o", "no/new.ganrt"], "does not exist; make it", 1),
        (["digits", "--capability", "8.6"], "'digits' ships with ganrt and stays as it is", 2),
        (["folder", "--capability", "8.6"], "folder is no .ganrt file to replace", 2),
        (["nothing.ganrt", "--capability", "8.6"], "There is no file, folder or bundled generator", 1),
    ],
)
def test_what_cannot_be_built_is_one_sentence_and_changes_nothing(
    capfd: pytest.CaptureFixture[str], arguments: list[str], sentence: str, code: int
) -> None:
    fft()
    write_bundle("folder", *tiny.make("uniform"))
    before, names = contents(), sorted(Path().iterdir())
    assert build(*arguments) == code
    printed = capfd.readouterr()
    assert printed.err.startswith("Error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert sentence in printed.err
    assert contents() == before
    assert sorted(Path().iterdir()) == names


def test_a_full_disk_is_one_sentence_and_the_old_bundle_still_serves() -> None:
    before = contents()
    done = subprocess.run(
        [sys.executable, "-c", RUN, "tiny.ganrt", "--capability", "8.6"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.endswith("tiny.ganrt could not be written: File too large.\n")
    assert contents() == before
    with Generator.load("tiny.ganrt", backend="onnxruntime") as generator:
        assert len(generator.sample(1)) == 1


SLOWLY = RUN.replace(
    "app = typer",
    """import time
from ganrt_export.tensorrt_builder import Phases
step = Phases.step
def slow(self, name, number):
    step(self, name, number)
    print("step", flush=True)
    time.sleep(0.05)
Phases.step = slow
app = typer""",
)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_in_the_middle_leaves_nothing_half_written(times: int) -> None:
    before = contents()
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, "tiny.ganrt", "--capability", "8.6"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "step\n"
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    out, err = process.communicate(timeout=60)
    assert out.count("step") < 10  # of about 110
    assert (process.returncode, err) == (130, "Interrupted; nothing half-written was left.\n")
    assert contents() == before


def test_help_teaches(capfd: pytest.CaptureFixture[str]) -> None:
    assert build("--help") == 0
    text = " ".join(capfd.readouterr().out.replace("│", " ").split())
    for word in ("ganrt build faces.ganrt --capability 8.6,8.9,12.0", "8.9 RTX 40", "LEAST:BEST:MOST", "whole or not"):
        assert word in text
