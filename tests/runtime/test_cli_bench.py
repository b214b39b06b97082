"""`ganrt bench`: what it prints, what it writes, and what it says of two results."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from ganrt.cli import bench_rows, main
from ganrt.latency.results import Report, read

ENGINE = ["--backend", "onnxruntime", "--precision", "fp32", "--form", "plain"]
QUICK = ["--seconds", "0.1", "--processes", "2", *ENGINE]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A real result of digits on ONNX Runtime, two batch sizes."""
    import contextlib
    import io

    path, out = tmp_path_factory.mktemp("bench") / "old.json", io.StringIO()
    with contextlib.redirect_stdout(out):
        assert (
            main(["bench", "digits", "--batch", "1,3", "--seconds", "0.2", "--processes", "6", *ENGINE, "--json"]) == 0
        )
    path.write_text(out.getvalue())
    return path


def slowed(result, path, factor):
    report = read(result)
    for row in report.rows:
        row.samples_ms = [factor * one for one in row.samples_ms]
    path.write_bytes(msgspec.json.encode(report))
    return str(path)


def test_the_table_says_what_ran_and_how_sure_it_is(capsys):
    assert main(["bench", "digits", *QUICK]) == 0
    said = capsys.readouterr().out
    for words in ("onnxruntime fp32 plain", "upper bounds at 99 % confidence", "p99.9", "samples/s", "cores of"):
        assert words in said
    assert "not enough samples" in said


def test_json_holds_environment_versions_settings_and_raw_samples(result):
    raw = json.loads(result.read_text())
    assert (raw["schema"], raw["version"]) == ("ganrt.bench", 2)
    assert raw["environment"]["processor"]["cores"] >= 1
    assert (raw["settings"]["seconds"], raw["settings"]["processes"]) == (0.2, 6)
    assert [row["batch"] for row in raw["rows"]] == [1, 3]
    report = read(result)
    for row in report.rows:
        assert row.state == "ok"
        assert row.ran[0].backend == "onnxruntime"
        assert len(row.samples_ms) == sum(row.blocks) > 10
        assert len(row.processes) == 6
        assert all(one.load_ms > 0 for one in row.processes)
        assert row.load_ms > 0
        assert row.first_load_ms > 0
        assert row.memory.peak >= row.memory.before_load > 0
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_every_engine_that_is_here_is_timed(tiny_bundle_path, capsys):
    words = [
        "--backend",
        "all",
        "--precision",
        "all",
        "--threads",
        "1",
        "--seconds",
        "0.02",
        "--processes",
        "1",
        "--json",
    ]
    assert main(["bench", str(tiny_bundle_path), *words]) == 0  # BF16 may miss the bound, the bundle promises FP32
    report = msgspec.json.decode(capsys.readouterr().out, type=Report)
    asked = {(row.asked.backend, row.asked.precision, row.asked.threads) for row in report.rows}
    assert {("onnxruntime", "fp32", 1), ("openvino", "fp32", 1)} <= asked
    for row in report.rows:
        assert row.fault or {call.backend for call in row.ran} == {row.asked.backend}
        assert row.fault or {call.precision for call in row.ran} == {row.asked.precision}


def test_a_result_is_no_regression_from_itself(result, capsys):
    assert main(["bench", "--compare", str(result), str(result), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "two results"
    assert [change["ratio"] for change in found["changes"]] == [pytest.approx(1), pytest.approx(1)]
    assert not any(change["regressed"] for change in found["changes"])


def test_a_regression_beyond_the_limit_exits_with_1(result, tmp_path, capsys):
    slow = slowed(result, tmp_path / "new.json", 9)
    assert main(["bench", "--compare", str(result), slow]) == 1
    said = capsys.readouterr().out
    assert said.count("slower") >= 2
    assert "batch 1, onnxruntime fp32; batch 3, onnxruntime fp32." in said
    assert main(["bench", "--compare", str(result), slow, "--limit", "900%", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["limit"] == 9
    assert found["changes"][0]["ratio"] == pytest.approx(9)
    assert main(["bench", "--compare", slow, str(result)]) == 0
    assert "faster" in capsys.readouterr().out


def test_quick_is_a_line_that_tells_latency_throughput_and_on_what(capsys):
    assert main(["bench", "digits", "--quick", "--batch", "2", *ENGINE]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert re.match(
        r"digits, 2 a call: median [\d.]+ ms.*; [\d,]+ a second on onnxruntime fp32 plain, \d+ thr", printed
    )


def test_a_generator_against_itself_is_no_regression(tiny_bundle_path, capsys):
    words = ["bench", str(tiny_bundle_path), "--against", str(tiny_bundle_path), "--seconds", "0.3", "--processes", "6"]
    assert main([*words, *ENGINE, "--limit", "200%"]) == 0
    said = capsys.readouterr().out
    assert "batch 1, onnxruntime fp32" in said
    assert "side by side" in said
    assert "No regression beyond 200.0% found." in said


def test_a_slower_generator_is_found_against_a_faster_one(capsys, tiny_bundle_path):
    words = ["bench", "digits", "--against", str(tiny_bundle_path), "--seconds", "0.3", "--processes", "6", *ENGINE]
    assert main([*words, "--json"]) == 1
    change = json.loads(capsys.readouterr().out)["changes"][0]
    assert (change["verdict"], change["regressed"], change["machine"]) == ("slower", True, None)
    assert change["new_ms"] > change["old_ms"]
    assert change["ratio"] > change["low"] > 1.1


def test_the_ganrt_of_another_python_is_the_old_one(tmp_path, capsys, tiny_bundle_path):
    """Here the other is this one, behind a script that leaves a trace."""
    python, trace = tmp_path / "python", tmp_path / "trace"
    python.write_text(f'#!/bin/sh\necho x >> {trace}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    words = ["--against-python", str(python), "--seconds", "0.12", "--processes", "6", "--limit", "500%"]
    assert main(["bench", str(tiny_bundle_path), *words, *ENGINE]) == 0
    assert trace.read_text().count("x") == 6
    assert "batch 1, onnxruntime fp32" in capsys.readouterr().out


def test_ctrl_c_prints_what_there_is_and_says_so():
    words = ["bench", "digits", "--seconds", "60", *ENGINE, "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "ganrt", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whoever started pytest
    ) as running:
        time.sleep(8)
        os.killpg(running.pid, signal.SIGINT)
        out, said = running.communicate(timeout=60)
    assert running.returncode == 130
    report = msgspec.json.decode(out, type=Report)
    assert report.interrupted
    assert [row.state for row in report.rows] == ["interrupted"]
    assert "what was measured until then is kept" in said


BROKEN = """
import os, sys
from ganrt.cli import bench_child
from ganrt.generator import Generator

sample, called = Generator.sample, 0

def broken(self, *arguments, **options):
    global called
    called += 1
    {then}
    return sample(self, *arguments, **options)

Generator.sample = broken
bench_child.main()
"""


@pytest.mark.parametrize(
    ("then", "sentence"),
    [
        ("options['start'] = 0", "repeat earlier ones, though every call had new latents"),
        ("os.abort() if called > 20 else None", "The process that was measured was ended by signal 6"),
    ],
)
def test_what_a_broken_engine_gave_is_failed_and_exits_with_1(tmp_path, capsys, monkeypatch, then, sentence):
    (tmp_path / "broken.py").write_text(BROKEN.format(then=then))
    monkeypatch.setattr(bench_rows, "COMMAND", (sys.executable, "-P", str(tmp_path / "broken.py")))
    assert main(["bench", "digits", *QUICK]) == 1
    said = capsys.readouterr().out
    assert "FAILED: " in said
    assert sentence in said
    assert "(process 1 of 2)" in said


@pytest.mark.parametrize(
    ("words", "sentence", "code"),
    [
        (["--precision", "int8"], "holds no int8 graph; it has: fp32", 2),
        (["--precision", "fp4"], "There is no precision 'fp4'", 2),
        (["--backend", "cuda"], "There is no backend 'cuda'", 2),
        (["--backend", "onnxruntime", "--precision", "bf16"], "does not compute in bf16 on this processor", 1),
        (["--form", "phases"], "has no form 'phases'; it has: plain", 2),
        (["--batch", "1,x"], "--batch has 'x'; give whole numbers", 2),
        (["--batch", "1,,2"], "has a comma too many", 2),
        (["--batch", "0"], "give whole numbers from 1", 2),
        (["--threads", "100000"], "thread", 2),
        (["--seconds", "0"], "seconds is 0.0; give a number above 0", 2),
        (["--percentile", "100"], "percentile is 100.0; give", 2),
        (["--processes", "0"], "processes is 0; give a whole number from 1 to 100", 2),
        (["--against", "absent.ganrt"], "no file, folder or bundled generator 'absent.ganrt'", 1),
        (["--against", "digits", "--processes", "5"], "Side by side needs at least --processes 6", 2),
        (["--against-python", "absent/python"], "There is no Python at absent/python", 2),
    ],
)
def test_what_cannot_be_is_one_sentence(tiny_bundle_path, capsys, words, sentence, code):
    assert main(["bench", str(tiny_bundle_path), *words]) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_a_backend_that_is_not_installed_says_how_to_get_it(tiny_bundle_path, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "MNN", None)
    assert main(["bench", str(tiny_bundle_path), "--backend", "mnn"]) == 1
    assert "Install it: pip install 'ganrt[mnn]'" in capsys.readouterr().err
    assert main(["bench", str(tiny_bundle_path), "--backend", "all", "--precision", "fp32", "--quick"]) == 0
    assert "mnn was not timed: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Name what to time"),
        (["digits", "--compare", "a", "b"], "Give either a generator to time, or two results"),
        (["--compare", "absent.json", "b"], "absent.json cannot be read"),
        (["--compare", "a", "b", "--limit", "five"], "--limit is 'five'; give a share such as 5% or 0.05"),
    ],
)
def test_a_command_given_wrong_is_one_sentence(capsys, words, sentence):
    assert main(["bench", *words]) == 2
    assert sentence in capsys.readouterr().err
