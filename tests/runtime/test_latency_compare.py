"""Faster, slower, within noise: on times made up with a known truth, and with the noise of a shared machine."""

import msgspec
import numpy as np
import pytest

from ganrt.environment import Package, describe
from ganrt.errors import ArgumentError
from ganrt.latency.compare import SIDE_BY_SIDE, compare, judge
from ganrt.latency.noise import Noise
from ganrt.latency.results import SCHEMA, Asked, EngineCall, Process, Report, Settings, Timing, json_schema, read

TRIES = 20
RAN = EngineCall(1, 1, "onnxruntime", "ONNX Runtime 1.32", "CPU", "fp32", "plain", 2)


def run(random, *, slow=1.0, machine=1.0, processes=10, blocks=6, calls=25, batch=1):
    """A run on a shared machine: processes at levels of their own, skewed calls, bursts, a machine that has its day."""
    level = machine * np.exp(random.normal(0, 0.008, (processes, 1)) + random.normal(0, 0.004, (processes, blocks)))
    times = 2.0 * slow * level[..., None] * (1 + random.gamma(1.5, 0.03, (processes, blocks, calls)))
    times = np.where(random.random(times.shape) < 0.01, times * 4, times)
    reference = 0.5 * level * (1 + random.gamma(1, 0.01, level.shape))
    return Timing(
        batch,
        Asked(),
        "ok",
        [RAN],
        samples_ms=times.ravel().tolist(),
        blocks=[calls] * (blocks * processes),
        processes=[Process(blocks * calls, blocks, blocks)] * processes,
        noise=Noise(reference.ravel().tolist(), 0.01, 0.0, 2),
    )


def report(*rows, **changes):
    settings = Settings("digits", "d" * 64, 5.0, 99.0, 0)
    made = Report("0.1.0", "2026-01-01T00:00:00+00:00", describe(), settings, list(rows))
    return msgspec.structs.replace(made, **changes)


def verdicts(seed, **new):
    random = np.random.default_rng(seed)
    return [judge(run(random), run(random, **new)).verdict for _ in range(TRIES)]


@pytest.mark.parametrize("seed", range(5))
def test_two_runs_of_one_build_are_within_noise_in_19_of_20(seed):
    assert verdicts(seed).count("within noise") >= 19


@pytest.mark.parametrize("seed", range(5))
def test_a_slowdown_of_5_percent_is_found_in_19_of_20(seed):
    assert verdicts(seed, slow=1.05).count("slower") >= 19


@pytest.mark.parametrize("seed", range(3))
def test_a_gain_of_5_percent_is_found_in_19_of_20(seed):
    assert verdicts(seed, slow=0.95).count("faster") >= 19


@pytest.mark.parametrize("machine", [0.9, 1.1])
def test_a_machine_that_changed_speed_is_not_blamed_on_the_build(machine):
    assert verdicts(7, machine=machine).count("within noise") >= 19
    change = judge(run(np.random.default_rng(1)), run(np.random.default_rng(2), machine=machine))
    assert change.machine == pytest.approx(machine, rel=0.02)
    assert change.equal == pytest.approx(1.0, abs=0.03)


def test_runs_beside_other_programs_are_not_compared_with_quiet_ones():
    random = np.random.default_rng(1)
    quiet, crowded = run(random), run(random, slow=1.8)
    quiet.noise.others, crowded.noise.others = 0.02, 0.99
    change = judge(quiet, crowded)
    assert change.verdict == "cannot tell"
    assert "others took 1% of the machine in the old result and 50% in the new one" in change.note


def test_what_is_far_slower_is_found_on_a_crowded_machine_as_well():
    random = np.random.default_rng(1)
    old, new = run(random), run(random, slow=9)
    old.noise.others = new.noise.others = 0.99
    assert judge(old, new).verdict == "slower"


def test_the_verdict_is_the_same_each_time():
    old, new = run(np.random.default_rng(1)), run(np.random.default_rng(2), slow=1.04)
    assert judge(old, new) == judge(old, new)


def test_few_processes_give_no_verdict():
    random = np.random.default_rng(1)
    change = judge(run(random, processes=4), run(random, processes=4, slow=2))
    assert change.verdict == "cannot tell"
    assert "4 processes are too few, 5 are needed" in change.note


@pytest.mark.parametrize(("slow", "verdict"), [(1.0, "within noise"), (1.05, "slower"), (0.95, "faster")])
def test_side_by_side_the_pairs_tell(slow, verdict):
    random = np.random.default_rng(3)
    assert judge(run(random), run(random, slow=slow), SIDE_BY_SIDE).verdict == verdict


@pytest.mark.parametrize(("slow", "limit", "regressed"), [(1.2, 0.05, True), (1.2, 0.5, False), (1.0, 0.05, False)])
def test_a_regression_is_slower_by_more_than_the_limit(slow, limit, regressed):
    random = np.random.default_rng(1)
    found = compare(report(run(random)), report(run(random, slow=slow)), limit=limit)
    assert found.regressed is regressed
    assert found.changes[0].verdict == ("slower" if slow > 1 else "within noise")


def test_a_row_that_fails_now_is_a_regression_and_never_fast():
    random = np.random.default_rng(1)
    failed = Timing(1, Asked(), "failed", fault="It repeats itself.")
    found = compare(report(run(random)), report(failed))
    assert found.regressed
    assert (found.changes[0].verdict, found.changes[0].note) == ("failed", "It repeats itself.")
    assert not compare(report(failed), report(failed)).regressed
    assert compare(report(failed), report(run(random))).changes[0].verdict == "cannot tell"


def test_rows_are_matched_by_what_was_asked_for():
    random = np.random.default_rng(1)
    found = compare(report(run(random), run(random, batch=8)), report(run(random, batch=8), run(random, batch=64)))
    assert [change.row for change in found.changes] == ["batch 8, auto auto"]
    assert "Only in the old result: batch 1, auto auto." in found.warnings
    assert "Only in the new result: batch 64, auto auto." in found.warnings
    with pytest.raises(ArgumentError, match="no row in common"):
        compare(report(run(random)), report(run(random, batch=2)))


def test_another_engine_than_before_is_said():
    random = np.random.default_rng(1)
    old, new = run(random), run(random)
    new.ran = [msgspec.structs.replace(RAN, engine="OpenVINO 2026", precision="bf16")]
    note = compare(report(old), report(new)).changes[0].note
    assert "ran ONNX Runtime 1.32 fp32 plain, 2 threads, now OpenVINO 2026 bf16 plain, 2 threads" in note


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"streams": 2}, "now ONNX Runtime 1.32 fp32 plain, 2 threads in 2 streams"),
        ({"size": 4, "count": 2}, "now 2 x 4 ONNX Runtime 1.32 fp32 plain, 2 threads"),
    ],
)
def test_other_streams_or_other_pieces_than_before_are_said(changes, said):
    random = np.random.default_rng(1)
    old, new = run(random), run(random)
    new.ran = [msgspec.structs.replace(RAN, **changes)]
    assert said in compare(report(old), report(new)).changes[0].note


def test_another_machine_other_versions_and_another_bundle_are_warned_of():
    random = np.random.default_rng(1)
    row, here = run(random), describe()
    there = msgspec.structs.replace(
        here,
        processor=msgspec.structs.replace(here.processor, name="Another"),
        packages=(Package("numpy", "9.9"),),
    )
    settings = Settings("faces", "e" * 64, 5.0, 99.0, 0)
    found = " ".join(compare(report(row), report(row, environment=there, settings=settings)).warnings)
    assert "Two machines" in found
    assert "numpy" in found
    assert "-> 9.9" in found
    assert "'digits' and 'faces' have different contents" in found


def test_a_noisy_or_interrupted_run_is_warned_of():
    row = run(np.random.default_rng(1))
    noisy = msgspec.structs.replace(row, noise=msgspec.structs.replace(row.noise, warnings=["Others are busy."]))
    found = compare(report(row), report(noisy, interrupted=True)).warnings
    assert "The machine was not quiet in the new run: Others are busy." in found
    assert "The new run was interrupted; its rows are a part." in found


def test_a_report_is_read_as_it_was_written(tmp_path):
    written = report(run(np.random.default_rng(1)))
    (tmp_path / "r.json").write_bytes(msgspec.json.encode(written))
    assert read(tmp_path / "r.json") == written


def test_a_report_of_version_1_is_read_and_says_that_it_is_one_process(tmp_path):
    """Written before a row was shared out among processes."""
    written = msgspec.to_builtins(report(run(np.random.default_rng(1), processes=1)))
    written["version"] = 1
    del written["rows"][0]["processes"], written["settings"]["processes"]
    (tmp_path / "r.json").write_bytes(msgspec.json.encode(written))
    old = read(tmp_path / "r.json")
    assert len(old.rows[0].processes) == 1
    change = compare(old, report(run(np.random.default_rng(2)))).changes[0]
    assert change.verdict == "cannot tell"
    assert "1 process is too few, 5 are needed; measure it again" in change.note
    assert change.ratio == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("loses", ["samples_ms", "blocks", "processes"])
def test_a_report_whose_calls_do_not_add_up_is_damaged(tmp_path, loses):
    written = msgspec.to_builtins(report(run(np.random.default_rng(1))))
    written["rows"][0][loses].pop()
    (tmp_path / "r.json").write_bytes(msgspec.json.encode(written))
    with pytest.raises(ArgumentError, match="is damaged: a row has lost calls"):
        read(tmp_path / "r.json")


def test_the_schema_names_every_field_of_a_report():
    schema = json_schema()
    assert set(schema["$defs"]["Report"]["properties"]) == set(Report.__struct_fields__)
    assert set(schema["$defs"]["Timing"]["properties"]) == set(Timing.__struct_fields__)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("not json", "is no benchmark result"),
        ("[]", "is no benchmark result"),
        ('{"a": 1}', "is no benchmark result"),
        ('{"schema": "other.tool", "version": 1}', "holds 'other.tool', not 'ganrt.bench'"),
        ('{"schema": "ganrt.bench", "version": 99}', "is of version 99, this ganrt reads up to 2"),
        ('{"schema": "ganrt.bench", "version": 1, "rows": 3}', "but is damaged"),
    ],
)
def test_a_file_that_is_none_says_what_it_is_instead(tmp_path, text, sentence):
    assert SCHEMA == "ganrt.bench"
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ArgumentError, match=sentence):
        read(tmp_path / "r.json")
    with pytest.raises(ArgumentError, match=r"absent\.json cannot be read"):
        read(tmp_path / "absent.json")
