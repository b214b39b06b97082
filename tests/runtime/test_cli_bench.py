"""`ganrt bench`: what it prints, what it writes, and what it says of two results."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import msgspec
import pytest

from ganrt import Bundle
from ganrt.cli import bench_rows, main
from ganrt.cli.bench import new_report
from ganrt.cli.bench_rows import Row, fill
from ganrt.cli.terminal import show
from ganrt.environment import describe
from ganrt.latency.bench import summarize
from ganrt.latency.report import lines, table
from ganrt.latency.results import Asked, Process, Report, Settings, Timing, read

ENGINE = ["--backend", "onnxruntime", "--precision", "fp32", "--form", "plain", "--threads", "1"]
QUICK = ["--seconds", "0.1", "--processes", "2", *ENGINE]


@pytest.fixture(scope="module")
def result(tiny_bundle_path, tmp_path_factory):
    """A real result on ONNX Runtime: two batch sizes, five processes each."""
    folder, out = tmp_path_factory.mktemp("bench"), io.StringIO()
    words = ["--batch", "1,3", "--seconds", "0.2", "--processes", "5", *ENGINE, "--json"]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setenv("GANRT_CACHE_DIR", str(folder / "cache"))
        assert main(["bench", str(tiny_bundle_path), *words]) == 0
    (folder / "old.json").write_text(out.getvalue())
    return folder / "old.json"


@pytest.fixture(scope="module")
def quiet(result):
    """The same as from a machine where nothing else ran: what others do weakens a verdict."""
    report = read(result)
    for row in report.rows:
        row.noise.others = row.noise.steal = 0.0
        row.noise.reference_ms = [1.0] * len(row.noise.reference_ms)
        row.samples_ms = [1 + at % 7 / 100 for at in range(len(row.samples_ms))]
    path = result.with_name("quiet.json")
    path.write_bytes(msgspec.json.encode(report))
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
    for words in (
        "onnxruntime fp32 plain, 1 thread",
        "upper bounds at 99 % confidence",
        "p99.9",
        "samples/s",
        "cores of",
    ):
        assert words in said
    assert "not enough samples" in said


def test_json_holds_environment_versions_settings_and_raw_samples(result):
    raw = json.loads(result.read_text())
    assert (raw["schema"], raw["version"]) == ("ganrt.bench", 2)
    assert raw["environment"]["processor"]["cores"] >= 1
    assert (raw["settings"]["seconds"], raw["settings"]["processes"]) == (0.2, 5)
    assert [row["batch"] for row in raw["rows"]] == [1, 3]
    report = read(result)
    for row in report.rows:
        assert row.state == "ok"
        assert row.ran[0].backend == "onnxruntime"
        assert len(row.samples_ms) == sum(row.blocks) > 10
        assert len(row.processes) == 5
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


def test_a_regression_beyond_the_limit_exits_with_1(quiet, tmp_path, capsys):
    slow = slowed(quiet, tmp_path / "new.json", 9)
    assert main(["bench", "--compare", str(quiet), slow]) == 1
    said = capsys.readouterr().out
    assert said.count("slower") >= 2
    assert "batch 1, onnxruntime fp32 plain, 1 thread; batch 3, onnxruntime fp32 plain, 1 thread." in said
    assert main(["bench", "--compare", str(quiet), slow, "--limit", "900%", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["limit"] == 9
    assert found["changes"][0]["ratio"] == pytest.approx(9)
    assert main(["bench", "--compare", slow, str(quiet)]) == 0
    assert "faster" in capsys.readouterr().out


def test_a_result_of_another_machine_is_compared_with_a_warning(result, tmp_path, capsys):
    there = read(result)
    processor = msgspec.structs.replace(there.environment.processor, name="Another Processor", cores=64)
    there.environment = msgspec.structs.replace(there.environment, processor=processor)
    (tmp_path / "there.json").write_bytes(msgspec.json.encode(there))
    assert main(["bench", "--compare", str(result), str(tmp_path / "there.json")]) == 0
    said = capsys.readouterr().out
    assert "Warning: Two machines: " in said
    assert "Another Processor with 64 cores" in said
    assert "a difference says nothing about the build alone" in said


def test_quick_is_a_line_that_tells_latency_throughput_and_on_what(capsys):
    assert main(["bench", "digits", "--quick", "--batch", "2", *ENGINE]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    figures = r"median [\d.]+ ms.*; [\d,]+ a second"
    assert re.match(rf"digits, 2 a call: {figures} on .*onnxruntime fp32 plain, 1 thread; \d+ cores? of", printed)


@pytest.mark.parametrize(("enough", "timed"), [(0, 10), (20, 20), (21, 40), (41, 80), (99, 80)])
def test_pairs_are_timed_on_while_it_cannot_be_told(monkeypatch, enough, timed):
    def time(group, number, loaded, tell):
        for row in group:
            row.found.append(Timing(1, row.asked, "failed", fault="a test"))

    monkeypatch.setattr(bench_rows, "_time", time)
    report = new_report(Bundle.open("digits"), 1.0, 99.0, 0, 10)
    pair = Row(report, "digits", Asked(), 1), Row(report, "digits", Asked(), 1)
    fill([pair], undecided=lambda rows: len(rows[0].found) < enough)
    assert len(pair[0].found) == len(pair[1].found) == timed


def test_a_slower_generator_is_found_against_a_faster_one(capsys, tiny_bundle_path):
    words = ["bench", "digits", "--against", str(tiny_bundle_path), "--seconds", "0.3", "--processes", "7", *ENGINE]
    assert main([*words, "--json"]) == 1
    change = json.loads(capsys.readouterr().out)["changes"][0]
    assert (change["verdict"], change["regressed"], change["machine"]) == ("slower", True, None)
    assert change["new_ms"] > change["old_ms"]
    assert change["ratio"] > change["low"] > 1.1


def test_the_ganrt_of_another_python_is_the_old_one_and_the_same_is_no_regression(
    tmp_path, capsys, monkeypatch, tiny_bundle_path
):
    """Here the other is this one, behind a script that leaves a trace."""
    monkeypatch.setattr(bench_rows, "_LOOKS", (1,))  # for the test's sake: it need not be told
    python, trace = tmp_path / "python", tmp_path / "trace"
    python.write_text(f'#!/bin/sh\necho x >> {trace}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    words = ["--against-python", str(python), "--seconds", "0.3", "--processes", "7", "--limit", "200%"]
    assert main(["bench", str(tiny_bundle_path), *words, *ENGINE]) == 0
    assert trace.read_text().count("x") == 7
    said = capsys.readouterr().out
    assert "batch 1, onnxruntime fp32 plain, 1 thread" in said
    assert "side by side" in said
    assert "No regression beyond 200.0% found." in said


TRACED = """
import sys
from pathlib import Path
from ganrt.cli import bench_child, bench_rows, main
from ganrt.latency.child import Turns

take, taken = Turns.take, 0

def traced(self):
    global taken
    taken += 1
    if taken == 20:
        Path(sys.argv[1]).touch()
    take(self)

Turns.take = traced
bench_rows.COMMAND = (sys.executable, "-P", __file__, sys.argv[1])
sys.exit(main(sys.argv[2:]) if len(sys.argv) > 2 else bench_child.main())
"""


@pytest.mark.parametrize("json_", [True, False], ids=["as JSON", "as a table"])
def test_ctrl_c_prints_what_there_is_and_says_so(tiny_bundle_path, tmp_path, json_):
    (tmp_path / "traced.py").write_text(TRACED)
    words = ["bench", str(tiny_bundle_path), "--seconds", "600", *ENGINE, *(["--json"] if json_ else [])]
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "traced.py"), str(tmp_path / "begun"), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whoever started pytest
    ) as running:
        while not (tmp_path / "begun").exists():
            assert running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        out, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "what was measured until then is kept" in said
    if not json_:
        assert "interrupted, a part of what was asked for" in out
        assert "Interrupted: these are partial results." in out
        return
    report = msgspec.json.decode(out, type=Report)
    assert report.interrupted
    assert [row.state for row in report.rows] == ["interrupted"]
    assert len(report.rows[0].samples_ms) > 10


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
OFF = """
from ganrt.backends.onnxruntime import OnnxRuntimeSession
from ganrt.cli import bench_child
from ganrt.generator import Generator

load, run = Generator.load, OnnxRuntimeSession.run

def off(self, inputs, outputs):
    run(self, inputs, outputs)
    for array in outputs.values():
        array[:] = array[:, ::-1]  # upside down, and new in every call all the same

def loaded(*arguments, **options):
    OnnxRuntimeSession.run = run
    generator = load(*arguments, **options)
    OnnxRuntimeSession.run = off
    return generator

Generator.load = loaded
bench_child.main()
"""


@pytest.mark.parametrize(
    ("script", "sentence", "process"),
    [
        (BROKEN.format(then="options['start'] = 0"), "repeat earlier ones, though every call had new latents", 1),
        (BROKEN.format(then="os.abort() if called > 20 else None"), "was measured was ended by signal 6", 1),
        (OFF, "does not reproduce this bundle", 2),  # the last process is held to the references
    ],
    ids=["outputs repeat", "the engine dies", "outputs are off the references"],
)
def test_what_a_broken_engine_gave_is_failed_and_exits_with_1(
    tiny_bundle_path, tmp_path, capsys, monkeypatch, script, sentence, process
):
    (tmp_path / "broken.py").write_text(script)
    monkeypatch.setattr(bench_rows, "COMMAND", (sys.executable, "-P", str(tmp_path / "broken.py")))
    assert main(["bench", str(tiny_bundle_path), *QUICK]) == 1
    said = capsys.readouterr().out
    (row,) = re.findall(r"^ +1 .*$", said, re.MULTILINE)
    assert not re.search(r"\d\.\d", row)  # no figure
    assert re.search(rf"FAILED: .*{sentence}.*\(process {process} of 2\)", said)


def test_a_row_that_failed_is_failed_in_the_table_beside_one_that_did_not(capsys):
    good = Timing(1, Asked(), "ok", samples_ms=[1.0] * 12, blocks=[12], processes=[Process(12, 1, 1)])
    summarize(good)
    bad = Timing(8, Asked(), "failed", fault="It repeats itself.")
    report = Report("0", "", describe(), Settings("t", "d", 1.0, 99.0, 0), [good, bad])
    show(table(report), *lines(report))
    said = capsys.readouterr().out
    assert re.search(r"^ +8 +auto auto +FAILED *$", said, re.MULTILINE)
    assert "batch 8, auto auto: FAILED: It repeats itself." in said


LEVEL = """
import time

now = 0.0

def perf_counter():
    global now
    now += 1e-5
    return now

time.perf_counter = perf_counter  # a machine without neighbours
from ganrt.cli import bench_child
from ganrt.generator import Generator

sample = Generator.sample

def level(self, *arguments, **options):
    global now
    ends = now + 0.004
    made = sample(self, *arguments, **options)
    now = ends
    return made

Generator.sample = level
bench_child.main()
"""


@pytest.mark.parametrize(
    ("words", "stopped", "processes", "said"),
    [
        ([], "enough", 6, "; enough: p50 is known within 2 %, and 6 processes agree"),
        (["--whole"], "time", 7, ""),
    ],
    ids=["by itself", "--whole"],
)
def test_a_row_ends_once_enough_is_known_unless_it_may_not(
    tiny_bundle_path, tmp_path, capsys, monkeypatch, words, stopped, processes, said
):
    """Every call takes 4 ms, in every process, by a clock that knows no neighbours."""
    (tmp_path / "level.py").write_text(LEVEL)
    monkeypatch.setattr(bench_rows, "COMMAND", (sys.executable, "-P", str(tmp_path / "level.py")))
    words = ["--percentile", "50", "--seconds", "0.7", "--processes", "7", *ENGINE, *words]
    assert main(["bench", str(tiny_bundle_path), *words, "--json"]) == 0
    report = msgspec.json.decode(capsys.readouterr().out, type=Report)
    (row,) = report.rows
    assert (row.state, row.stopped, len(row.processes)) == ("ok", stopped, processes)
    assert row.checks.psnr_db > 40  # held to the references, though nobody knew which process would be the last
    assert report.settings.whole == (stopped == "time")
    assert said in "".join(lines(report))


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
        (["--against", "digits", "--processes", "6"], "Side by side needs at least --processes 7", 2),
        (["--against-python", "absent/python"], "There is no Python at absent/python", 2),
    ],
)
def test_what_cannot_be_is_one_sentence(tiny_bundle_path, capsys, words, sentence, code):
    assert main(["bench", str(tiny_bundle_path), *words]) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_a_backend_that_is_not_installed_says_how_to_get_it(tiny_bundle_path, capsys, monkeypatch):
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
        (["--compare", "{other}", "b"], "holds 'other.tool', not 'ganrt.bench'; give a file of ganrt bench --json."),
        (["--compare", "a", "b", "--limit", "five"], "--limit is 'five'; give a share such as 5% or 0.05"),
    ],
)
def test_a_command_given_wrong_is_one_sentence(tmp_path, capsys, words, sentence):
    (tmp_path / "other.json").write_text('{"schema": "other.tool", "version": 1}')
    assert main(["bench", *(word.format(other=tmp_path / "other.json") for word in words)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
