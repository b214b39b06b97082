"""`ganrt bench`: what it prints, what it writes, and what it says of two results."""

import json

import msgspec
import pytest

from ganrt.cli import main
from ganrt.latency import bench as rows
from ganrt.latency.results import Report, read

QUICK = ["--seconds", "0.1", "--backend", "onnxruntime", "--precision", "fp32"]


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A real result of digits on ONNX Runtime, two batch sizes."""
    import contextlib
    import io

    path, out = tmp_path_factory.mktemp("bench") / "old.json", io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["bench", "digits", "--batch", "1,3", *QUICK, "--json"]) == 0
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
    assert (raw["schema"], raw["version"]) == ("ganrt.bench", 1)
    assert raw["environment"]["processor"]["cores"] >= 1
    assert raw["settings"]["seconds"] == 0.1
    assert [row["batch"] for row in raw["rows"]] == [1, 3]
    report = read(result)
    for row in report.rows:
        assert row.state == "ok"
        assert row.ran[0].backend == "onnxruntime"
        assert len(row.samples_ms) == sum(row.blocks) > 10
        assert row.load_ms > 0
        assert row.first_load_ms > 0
        assert row.memory.peak >= row.memory.before_load > 0
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_every_engine_that_is_here_is_timed(tiny_bundle_path, capsys):
    words = ["--backend", "all", "--precision", "all", "--threads", "1", "--seconds", "0.02", "--json"]
    assert main(["bench", str(tiny_bundle_path), *words]) == 0  # BF16 may miss the bound, the bundle promises FP32
    report = msgspec.json.decode(capsys.readouterr().out, type=Report)
    asked = {(row.asked.backend, row.asked.precision, row.asked.threads) for row in report.rows}
    assert {("onnxruntime", "fp32", 1), ("openvino", "fp32", 1)} <= asked
    for row in report.rows:
        assert row.fault or {call.backend for call in row.ran} == {row.asked.backend}
        assert row.fault or {call.precision for call in row.ran} == {row.asked.precision}


def test_a_result_is_within_noise_of_itself(result, capsys):
    assert main(["bench", "--compare", str(result), str(result)]) == 0
    said = capsys.readouterr().out
    assert said.count("within noise") == 2
    assert "No regression beyond 5.0%." in said
    assert "bootstrap of the ratio of medians over blocks" in said


def test_a_regression_beyond_the_limit_exits_with_1(result, tmp_path, capsys):
    slow = slowed(result, tmp_path / "new.json", 3)
    assert main(["bench", "--compare", str(result), slow]) == 1
    said = capsys.readouterr().out
    assert said.count("slower") >= 2
    assert "Regression beyond 5.0%: batch 1, onnxruntime fp32; batch 3, onnxruntime fp32." in said
    assert main(["bench", "--compare", str(result), slow, "--limit", "300%", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["limit"] == 3
    assert found["changes"][0]["ratio"] == pytest.approx(3)
    assert main(["bench", "--compare", slow, str(result)]) == 0
    assert "faster" in capsys.readouterr().out


def test_a_failed_row_is_shown_as_failed_and_exits_with_1(tiny_bundle_path, capsys, monkeypatch):
    class Repeating(rows.Distinct):
        def look(self, outputs):
            super().look(outputs * 0)  # as if the engine gave one picture for ever

    monkeypatch.setattr(rows, "Distinct", Repeating)
    assert main(["bench", str(tiny_bundle_path), *QUICK]) == 1
    said = capsys.readouterr().out
    assert "FAILED: " in said
    assert "repeat earlier ones" in said
    assert "samples/s" in said


def test_ctrl_c_prints_what_there_is_and_says_so(capsys, monkeypatch):
    measure = rows.measure

    def stopped(call, plan, **options):
        def until(given):
            if given >= 3:
                raise KeyboardInterrupt
            return call(given)

        return measure(until, plan, **options)

    monkeypatch.setattr(rows, "measure", stopped)
    assert main(["bench", "digits", "--batch", "500,1", *QUICK, "--json"]) == 130
    printed = capsys.readouterr()
    report = msgspec.json.decode(printed.out, type=Report)
    assert report.interrupted
    assert [row.state for row in report.rows] == ["interrupted"]
    assert "what was measured until then is kept" in printed.err


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
    assert main(["bench", str(tiny_bundle_path), "--backend", "all", "--precision", "fp32", "--seconds", "0.02"]) == 0
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
