"""MLPerf's scenarios by its own load generator, on real engines: figures, verdicts, and what can go wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganrt import (
    ArgumentError,
    BackendError,
    BundleNotFound,
    FidelityError,
    Generator,
    MissingExtra,
    OutputError,
)
from ganrt.cli import main
from ganrt.cli.scenario_process import Load, ScenarioProcess
from ganrt.latency import loadgen, systems
from ganrt.latency.scenario_report import ScenarioReport
from ganrt.latency.scenarios import Outcome, Scenario
from ganrt.latency.slo import Search, search
from ganrt.manifest import Bound
from ganrt.serving import BatchServer

QUICK = ["--duration", "200ms"]


@pytest.fixture(scope="module")
def generator(tiny_bundles, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANRT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        with Generator.load(tiny_bundles["conditional"], backend="onnxruntime", precision="fp32", threads=1) as made:
            yield made


def as_seen(generator, **changes):
    """The generator as LoadGen sees it, with a part replaced by one that misbehaves."""
    whole = systems.Tested(
        generator.spec,
        generator.sample,
        lambda calls: np.concatenate([generator.sample(1, seed=call.seed, start=call.start) for call in calls]),
        generator.serve_batches,
        16,
        lambda n: None,
        lambda n: [],
        Bound(psnr_db=60.0),
        True,
    )
    return whole._replace(**changes)


@pytest.mark.parametrize(
    ("name", "options", "counted", "samples"),
    [
        ("single-stream", {}, 90.0, 1),
        ("multi-stream", {}, 99.0, 8),
        ("offline", {}, None, 0),
        ("server", {"target_qps": 1500, "budget": 50.0, "percentile": 95.0}, 95.0, 1),
    ],
)
def test_a_scenario_runs_to_a_verdict_and_leaves_nothing_behind(
    generator, tmp_path, monkeypatch, name, options, counted, samples
):
    monkeypatch.chdir(tmp_path)
    made = generator.load_test(name, seconds=0.2, **options)
    assert (made.state, made.valid, made.reason, made.fault) == ("ok", True, "", "")
    assert not made.compliant
    assert made.verdict == "valid, not compliant (0.2 s; MLPerf asks for 600)"
    assert made.percentile == counted
    assert made.loadgen
    assert made.samples_a_second > 0
    assert made.checked >= 8
    assert {call.backend for call in made.ran} == {"onnxruntime"}
    together = sum(call.size * call.count for call in made.ran)
    assert together == {"single-stream": 1, "multi-stream": 8, "offline": 64}.get(name, together)
    assert list(tmp_path.iterdir()) == []
    if samples:
        assert made.samples == made.queries * samples
        assert made.queries >= made.scenario.least
        values = list(made.percentiles_ms.values())
        assert values == sorted(values)
        assert made.least_ms <= values[0] <= values[-1] <= made.most_ms
        assert made.latency_ms == made.percentiles_ms[f"{counted:g}"]
    else:
        assert made.queries == 1
        assert made.percentiles_ms == {}
    if name.endswith("stream"):
        assert made.latency_ms <= made.bound_ms <= made.most_ms


def test_its_logs_are_kept_where_they_are_wanted_one_folder_a_run(generator, tmp_path):
    for number in (1, 2):
        made = generator.load_test("offline", seconds=0.1, logs=tmp_path / "logs")
        assert made.logs == str(tmp_path / "logs" / f"offline-{number}")
    assert (tmp_path / "logs" / "offline-2" / "mlperf_log_summary.txt").read_text().count("Result is : VALID") == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="The folder for LoadGen's logs cannot be made in"):
        generator.load_test("offline", seconds=0.1, logs=tmp_path / "file")


def test_a_compliant_run_has_the_durations_counts_and_seeds_of_the_rules():
    lg = loadgen.require()
    for name, least in (("single-stream", 64), ("multi-stream", 662), ("server", 662), ("offline", 24576)):
        scenario = Scenario(name, 600.0, 10.0 if name == "server" else None, compliant=True)
        made = loadgen._settings(lg, scenario, 0.001, 0)
        assert (made.min_duration_ms, made.min_query_count) == (600_000, least)
        assert made.multi_stream_samples_per_query == 8
        assert made.single_stream_target_latency_percentile == pytest.approx(0.9)
        assert made.multi_stream_target_latency_percentile == pytest.approx(0.99)
        assert made.qsl_rng_seed > 0
        assert made.schedule_rng_seed > 0


def test_more_requests_than_can_be_answered_are_invalid_and_the_run_is_given_up(generator):
    slow = as_seen(
        generator,
        serve=lambda **options: BatchServer(
            generator.spec,
            lambda feeds, n: (time.sleep(0.02), generator.run(feeds)["image"])[1],
            max_batch=2,
            max_delay=0.0,
            max_queue=options["max_queue"],
        ),
    )
    made = systems.run(slow, Scenario("server", 3.0, 2000.0, 10.0))
    assert (made.state, made.valid) == ("ok", False)
    assert made.reason == "2,000 requests a second are more than it answers; the run was given up"
    assert made.latency_ms > 10
    assert made.over_budget > 0
    assert made.batch == pytest.approx(2, abs=0.2)


def test_a_budget_that_is_missed_is_invalid_and_says_by_how_much(generator):
    made = generator.load_test("server", seconds=0.2, target_qps=1000, budget=1e-6)
    assert not made.valid
    assert made.reason == f"p99 was {made.latency_ms:.3g} ms, and the budget is 0.001 ms"
    assert made.over_budget == made.queries


def stuck(generator):
    """A server of an engine that gives what it gave before."""
    return lambda **options: BatchServer(
        generator.spec, lambda feeds, n: generator.sample(n), max_batch=1, max_delay=0.0, max_queue=options["max_queue"]
    )


def unfaithful(n):
    raise FidelityError("The engine does not reproduce this bundle.")


@pytest.mark.parametrize(
    ("name", "part", "sentence"),
    [
        ("multi-stream", lambda g: {"together": lambda calls: g.sample(len(calls))}, "is not what sample() gives: "),
        ("offline", lambda g: {"together": lambda calls: g.sample(len(calls))}, "is not what sample() gives: "),
        ("server", lambda g: {"serve": stuck(g)}, "of different samples are all the same"),
        ("single-stream", lambda g: {"sample": lambda n, **_: g.sample(n)}, "of different samples are all the same"),
        ("single-stream", lambda g: {"hold": unfaithful}, "The engine does not reproduce this bundle."),
    ],
)
def test_a_fast_wrong_answer_fails(generator, name, part, sentence):
    scenario = Scenario(name, 0.1, 1000.0 if name == "server" else None, 5000.0)
    made = systems.run(as_seen(generator, **part(generator)), scenario)
    assert (made.state, made.verdict, made.valid, made.compliant) == ("failed", "failed", False, False)
    assert sentence in made.fault


@pytest.mark.parametrize("name", ["single-stream", "multi-stream", "offline", "server"])
def test_an_engine_that_breaks_down_fails_the_run_and_not_the_process(generator, name):
    record = systems.Record()

    def compute(n):
        if record.samples:
            raise BackendError("The engine broke.")
        return generator.sample(n)

    def serve(**options):
        return BatchServer(
            generator.spec, lambda feeds, n: compute(n), max_batch=1, max_delay=0.0, max_queue=options["max_queue"]
        )

    whole = as_seen(
        generator, sample=lambda n, **_: compute(n), together=lambda calls: compute(len(calls)), serve=serve
    )
    scenario = Scenario(name, 0.2, 1000.0 if name == "server" else None)
    made = systems.run(whole, scenario, record=record)
    assert (made.state, made.fault) == ("failed", "The engine broke.")


def test_without_loadgen_one_sentence_says_how_to_get_it(generator, tiny_bundle_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mlperf_loadgen", None)
    with pytest.raises(MissingExtra, match=r"Install it: pip install 'ganrt\[bench\]'"):
        generator.load_test("offline")
    assert main(["bench", str(tiny_bundle_path), "--scenario", "offline"]) == 1
    said = capsys.readouterr().err
    assert "MLPerf's LoadGen cannot be loaded" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "LoadGen left no log in"),
        ("", "holds no result"),
        (':::MLLOG {"key": "result_validity"', "holds no result"),
        ('garbage\n:::MLLOG [1]\n:::MLLOG {"key": 1}', "holds no result"),
    ],
)
def test_a_log_that_is_missing_or_damaged_is_one_sentence(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "mlperf_log_detail.txt").write_text(text)
    with pytest.raises(BackendError, match=sentence):
        loadgen.read(tmp_path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"name": "burst"}, "There is no scenario 'burst'; there are: single-stream, multi-stream, server, offline"),
        ({"name": "offline", "seconds": 0}, "seconds is 0; give a number above 0"),
        ({"name": "offline", "seconds": float("nan")}, "seconds is nan"),
        ({"name": "offline", "target_qps": 3.0}, "Only the server scenario has a rate"),
        ({"name": "offline", "seconds": 5.0, "compliant": True}, "takes at least 600 s, not 5"),
        ({"name": "server"}, "No rate is given; the server scenario takes requests a second"),
        ({"name": "server", "target_qps": -1.0}, "The rate is -1;"),
        ({"name": "server", "target_qps": 1.0, "budget_ms": 0.0}, "The latency budget is 0 ms; it must be above 0"),
        ({"name": "server", "target_qps": 1.0, "percentile": 98.0}, "LoadGen reports 50, 90, 95, 97, 99, 99.9"),
    ],
)
def test_a_scenario_that_cannot_be_is_one_sentence(options, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        Scenario(**options)


def test_a_generator_of_signals_is_refused(generator):
    class Signals:
        signals = (1,)

    with pytest.raises(ArgumentError, match="takes a signal; the scenarios are for those that draw from latents"):
        systems.run(as_seen(generator, spec=Signals()), Scenario("offline"))


def queue(limit, capacity, hiccup=None):
    """Runs of a server whose p99 leaves a budget of 10 ms at `limit` requests a second."""

    def run(qps):
        late = qps > limit or qps == hiccup
        latency = 12.0 + qps / capacity if late else 3.0
        return Outcome(
            Scenario("server", 1.0, qps, 10.0), "ok", valid=not late, percentile=99.0, latency_ms=latency, least_ms=1.0
        )

    return run


@given(capacity=st.floats(1, 1e5), share=st.floats(0.06, 1.05))
def test_the_search_finds_the_highest_rate_within_three_percent(capacity, share):
    found, said = Search(10.0, 99.0, capacity), []
    search(found, queue(share * capacity, capacity), said.append)
    assert found.best_qps <= share * capacity <= found.best_qps * 1.07
    assert found.best.valid
    assert found.best.scenario.target_qps == found.best_qps
    assert len(said) == len(found.runs) <= 14
    assert "is kept up to" in str(found)


def test_a_budget_that_cannot_be_kept_says_the_best_that_can():
    found, said = Search(10.0, 99.0, 1000.0), []
    search(found, queue(0.0, 1000.0), said.append)
    assert found.best_qps is None
    assert found.best.scenario.target_qps == pytest.approx(50)
    assert str(found) == (
        "p99 within 10 ms cannot be kept here; the best was at 50 requests a second, where p99 was 12.1 ms."
    )
    assert said[0] == "700 requests a second: p99 12.7 ms, not within 10 ms"


def test_a_budget_below_every_single_latency_is_given_up_once_the_best_that_can_be_is_known():
    found = Search(0.5, 99.0, 1000.0)
    search(found, queue(0.0, 1000.0), lambda _: None)
    assert [run.scenario.target_qps for run in found.runs] == [pytest.approx(700), pytest.approx(50)]
    assert "cannot be kept here; the best was at 50 requests a second, where p99 was 12.1 ms" in str(found)


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_a_search_ends_with_a_run_that_failed_or_was_interrupted_and_keeps_what_it_knows(state):
    run, runs = queue(800.0, 1000.0), []

    def ending(qps):
        runs.append(run(qps))
        if len(runs) == 3:
            runs[-1].state = state
        return runs[-1]

    found = Search(10.0, 99.0, 1000.0)
    search(found, ending, lambda _: None)
    assert len(found.runs) == 3
    assert found.best_qps == pytest.approx(700)
    assert found.interrupted == (state == "interrupted")
    assert ("so far" in str(found)) == (state == "interrupted")


def test_what_an_interrupted_run_knows_is_by_its_own_clock():
    record = systems.Record()
    assert systems.so_far(Scenario("single-stream"), record).queries == 0
    for index in range(200):
        record.answer(time.perf_counter() - 0.01, [index], np.zeros((1, 2), np.uint8))
    made = systems.so_far(Scenario("single-stream"), record)
    assert (made.state, made.verdict, made.queries, made.samples) == ("interrupted", "interrupted", 200, 200)
    assert made.latency_ms >= 10
    assert made.bound_ms >= made.latency_ms
    assert systems.so_far(Scenario("offline"), record).percentiles_ms == {}


def test_the_command_prints_what_it_writes_as_json(tiny_bundle_path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", str(tiny_bundle_path), "--scenario", "single-stream", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "valid, not compliant (0.2 s; MLPerf asks for 600)" in said
    assert "p90" in said
    assert "are what sample() gives" in said
    words = ["--scenario", "server", "--target-qps", "500", "--slo", "2s", "--percentile", "95", "--logs", "logs"]
    assert main(["bench", str(tiny_bundle_path), *words, *QUICK, "--json", "--max-batch", "8"]) == 0
    printed = capsys.readouterr().out
    report = msgspec.json.decode(printed, type=ScenarioReport)
    assert (json.loads(printed)["schema"], report.version) == ("ganrt.scenario", 1)
    assert report.outcome.valid
    assert report.outcome.scenario == Scenario("server", 0.2, 500.0, 2000.0, 95.0, max_batch=8)
    assert report.outcome.logs == str(tmp_path / "logs" / "server-1")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_a_search_from_the_command_line_finds_a_rate_and_tells_each_run(tiny_bundle_path, capsys, monkeypatch):
    words = ["--slo", "50ms", "--percentile", "90", *QUICK, "--json"]
    assert main(["bench", str(tiny_bundle_path), *words]) == 0
    printed = capsys.readouterr()
    report = msgspec.json.decode(printed.out, type=ScenarioReport)
    assert report.search.best_qps > 0
    assert report.outcome == report.search.best
    assert printed.err.count(" requests a second: p90 ") == len(report.search.runs)
    assert main(["bench", str(tiny_bundle_path), "--slo", "1us", "--percentile", "90", *QUICK]) == 1
    assert "p90 within 0.001 ms cannot be kept here; the best was at" in capsys.readouterr().out


def test_a_server_is_held_to_the_references_at_its_smallest_and_its_largest_batch(generator):
    held = []
    scenario = Scenario("server", 0.1, 1000.0, 5000.0, 95.0, max_batch=8)
    assert systems.run(as_seen(generator, hold=held.append), scenario).state == "ok"
    assert held == [1, 8]


def test_an_invalid_run_exits_with_1(tiny_bundle_path, capsys):
    words = ["--target-qps", "500", "--slo", "1us", *QUICK]
    assert main(["bench", str(tiny_bundle_path), *words]) == 1
    assert "INVALID, not compliant" in capsys.readouterr().out


def test_ctrl_c_ends_it_at_once_with_what_there_is(tiny_bundle_path, tmp_path):
    words = ["--scenario", "server", "--target-qps", "200", "--duration", "10m", "--json", "--logs", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "ganrt", "bench", str(tiny_bundle_path), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    log = tmp_path / "server-1" / "mlperf_log_detail.txt"
    while not (log.exists() and log.stat().st_size):
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "Interrupted; what was measured until then is kept, and labelled."
    report = msgspec.json.decode(out, type=ScenarioReport)
    assert report.interrupted
    assert report.outcome.state == "interrupted"
    assert not report.outcome.valid
    assert report.outcome.queries > 20
    assert report.outcome.latency_ms > 0


def test_a_process_that_dies_is_one_sentence(tiny_bundle_path):
    with ScenarioProcess(Load(str(tiny_bundle_path), "onnxruntime", "fp32", "auto", 1, ""), lambda _: None) as process:
        assert process.loaded.startswith("onnxruntime, ONNX Runtime")
        process._process.kill()
        with pytest.raises(BackendError, match=r"The process that ran LoadGen ended by itself \(code -9\)"):
            process.run(Scenario("offline", 0.1))


def test_what_the_load_refuses_there_is_raised_here():
    with (
        pytest.raises(BundleNotFound),
        ScenarioProcess(Load("absent", "auto", "auto", "auto", None, ""), lambda _: None),
    ):
        pass


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--scenario", "burst"], "There is no scenario 'burst'"),
        (["--scenario", "server"], "needs a rate, as in --target-qps 300, or a latency budget, as in --slo 20ms"),
        (["--scenario", "server", "--target-qps", "-3"], "The rate is -3;"),
        (["--slo", "0"], "--slo is '0'; a latency budget must be above 0, such as 20ms"),
        (["--slo", "0.0ms"], "--slo is '0.0ms'; a latency budget must be above 0"),
        (["--slo", "soon"], "--slo is 'soon'; give a time such as 20ms"),
        (["--slo", "20ms", "--max-delay", "-1ms"], "--max-delay is '-1ms'; give a time"),
        (["--slo", "20ms", "--max-batch", "0"], "--max-batch is 0; give a number of samples from 1"),
        (["--slo", "20ms", "--percentile", "98"], "LoadGen reports 50"),
        (["--scenario", "offline", "--slo", "20ms"], "--slo is for --scenario server"),
        (["--scenario", "offline", "--max-batch", "8"], "--max-batch is for --scenario server"),
        (["--scenario", "offline", "--percentile", "95"], "--percentile is for --scenario server"),
        (["--scenario", "offline", "--duration", "0"], "seconds is 0;"),
        (["--scenario", "offline", "--compliant", "--duration", "1m"], "takes at least 600 s, not 60"),
        (["--scenario", "offline", "--batch", "8"], "--batch is for timing single calls"),
        (["--scenario", "offline", "--backend", "all"], "a scenario runs in one way; name one"),
        (["--scenario", "offline", "--threads", "1,2"], "a scenario runs in one way; name one"),
        (["--scenario", "offline", "--threads", "0"], "--threads is '0'; give a whole number from 1"),
        (["--duration", "3s"], "--duration and the like go with a scenario"),
        (["--compliant"], "--duration and the like go with a scenario"),
    ],
)
def test_a_command_given_wrong_is_one_sentence(tiny_bundle_path, capsys, words, sentence):
    assert main(["bench", str(tiny_bundle_path), *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
