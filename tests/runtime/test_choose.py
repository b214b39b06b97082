"""Which engine serves: those that reproduce the bundle, and of them the fastest, remembered."""

import math
import time

import numpy as np
import pytest
from msgspec.structs import replace

from ganrt import ArgumentError, BackendError, Bundle, FidelityError, Generator, cache
from ganrt.backends import UNASKED, available
from ganrt.backends.acceptance import DEFAULT_BOUND, References, hold
from ganrt.backends.base import SessionInfo
from ganrt.backends.choose import Choice, Effort, Way, choose, ways
from ganrt.batching import plan
from ganrt.manifest import Bound


class Engine:
    """A session over numpy, that answers from the bundle's own references: as slow, or as wrong, as a test wants."""

    def __init__(self, bundle, name, *, seconds=0.0, a_sample=0.0, fault=0.0, precision="fp32", most=1 << 30):
        self.info = SessionInfo(name, f"{name} 1.0.0", "CPU", precision, 1)
        self.references, self.seconds, self.fault, self.runs = References(bundle), seconds, fault, 0
        self.most, self.a_sample = most, a_sample

    def empty(self, shape, dtype):
        return np.empty(shape, dtype)

    def run(self, inputs, outputs):
        self.runs += 1
        if len(inputs["z"]) > self.most:
            raise BackendError(f"{self.info.engine} takes no batch above {self.most}.")
        seconds = self.seconds + self.a_sample * len(inputs["z"])
        if seconds:  # to sleep for no time gives the processor away
            time.sleep(seconds)
        raw = self.references.raw[self.references.rows(len(inputs["z"]))] + np.float32(self.fault)
        pixels = np.rint(np.nan_to_num(raw + 1) * 127.5).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
        for name, array in outputs.items():
            array[:] = pixels if name == "image" else raw

    def close(self):
        pass


@pytest.fixture
def bundle(tiny_bundle_path):
    return Bundle.open(tiny_bundle_path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANRT_CACHE_DIR", str(tmp_path / "cache"))


def decide(bundle, **engines):
    options = tuple(Way(name) for name in engines)

    def open_session(way):
        return engines[way.backend]

    return choose(options, open_session, References(bundle), threads=1, close_session=kept, bundle=bundle.digest)


def kept(way):
    """What closes nothing: the engines of a test are made once."""


def test_the_faster_engine_serves_and_the_reason_gives_both_figures(bundle):
    slow, fast = Engine(bundle, "onnxruntime", seconds=0.004), Engine(bundle, "openvino", seconds=0.001)
    choice = decide(bundle, onnxruntime=slow, openvino=fast)
    assert choice.best() == "openvino"
    assert "openvino takes" in choice.why()
    assert "onnxruntime" in choice.why()


def test_a_measured_choice_is_remembered_and_nothing_runs_again(bundle):
    engines = {name: Engine(bundle, name) for name in ("onnxruntime", "openvino")}
    first = decide(bundle, **engines)
    runs = [engine.runs for engine in engines.values()]
    assert decide(bundle, **engines) == first
    assert [engine.runs for engine in engines.values()] == runs


def test_a_damaged_memory_is_measured_anew(bundle):
    engines = {name: Engine(bundle, name) for name in ("onnxruntime", "openvino")}
    decide(bundle, **engines)
    (entry,) = (cache.folder() / "choices").iterdir()
    entry.write_bytes(b'{"accepted": 3')
    assert set(decide(bundle, **engines).accepted) == {"onnxruntime", "openvino"}


def test_an_engine_that_gets_the_picture_wrong_never_serves(bundle):
    wrong, right = Engine(bundle, "onnxruntime", fault=0.05), Engine(bundle, "openvino", seconds=0.002)
    choice = decide(bundle, onnxruntime=wrong, openvino=right)
    assert choice.best() == "openvino"
    assert "onnxruntime refused: onnxruntime 1.0.0 (fp32) at batch 1 does not reproduce" in choice.why()


def test_an_engine_that_fails_at_a_large_batch_does_not_serve_and_the_other_does(bundle):
    small, right = Engine(bundle, "onnxruntime", most=6), Engine(bundle, "openvino", seconds=0.002)
    choice = decide(bundle, onnxruntime=small, openvino=right)
    assert choice.best() == "openvino"
    assert choice.refused == {"onnxruntime": "onnxruntime 1.0.0 takes no batch above 6."}


def test_when_every_engine_gets_it_wrong_that_is_the_error(bundle):
    with pytest.raises(FidelityError, match="does not reproduce this bundle"):
        decide(bundle, onnxruntime=Engine(bundle, "onnxruntime", fault=0.05))


def test_an_engine_that_returns_nan_or_one_flat_colour_never_serves(bundle):
    for fault in (np.nan, 10.0):
        with pytest.raises(FidelityError):
            decide(bundle, onnxruntime=Engine(bundle, "onnxruntime", fault=fault))


def test_a_forced_engine_that_fails_is_an_error_not_another_engine(tiny_bundle_path, monkeypatch):
    import ganrt.generator

    def broken(name, graph, options):
        raise BackendError(f"{name} broke")

    monkeypatch.setattr(ganrt.generator, "open_session", broken)
    with pytest.raises(BackendError, match="onnxruntime broke"):
        Generator.load(tiny_bundle_path, backend="onnxruntime")


def test_a_cache_that_cannot_be_written_fails_nothing(bundle, monkeypatch):
    monkeypatch.setenv("GANRT_CACHE_DIR", "/dev/null/nowhere")
    choice = decide(bundle, onnxruntime=Engine(bundle, "onnxruntime"))
    assert choice.best() == "onnxruntime"


def test_without_measurements_the_first_in_order_serves():
    ways = {name: Way(name) for name in ("onnxruntime", "openvino")}
    assert Choice(ways, {"openvino": None, "onnxruntime": None}, {}, {}).best() == "onnxruntime"


def decide_ways(bundle, sessions, *, threads=1, effort=None):
    """`sessions`: way -> its session."""
    return choose(
        tuple(sessions),
        lambda way: sessions.get(way) or Engine(bundle, way.backend),
        References(bundle),
        threads=threads,
        close_session=kept,
        effort=effort or Effort(seconds=0.05),
        bundle=bundle.digest,
    )


def test_a_lower_precision_serves_where_it_is_faster_and_good_enough(bundle):
    low = Way("openvino", "bf16")
    choice = decide_ways(
        bundle,
        {
            Way("openvino"): Engine(bundle, "openvino", seconds=0.004),
            low: Engine(bundle, "openvino", seconds=0.001, fault=0.001, precision="bf16"),
        },
    )
    assert choice.best() == low.name == "openvino bf16"


def test_a_lower_precision_that_gains_nothing_does_not_serve(bundle):
    choice = decide_ways(
        bundle,
        {
            Way("openvino"): Engine(bundle, "openvino", seconds=0.004),
            Way("openvino", "bf16"): Engine(bundle, "openvino", seconds=0.012, precision="bf16"),
        },
    )
    assert set(choice.costs) == {"openvino"}
    assert choice.best() == "openvino"


def test_the_fastest_form_of_the_graph_serves(bundle):
    phases = Way("onnxruntime", form="phases")
    choice = decide_ways(
        bundle,
        {
            Way("onnxruntime"): Engine(bundle, "onnxruntime", seconds=0.004),
            phases: Engine(bundle, "onnxruntime", seconds=0.001),
        },
    )
    assert choice.best() == phases.name == "onnxruntime phases"


def test_a_way_that_is_far_behind_is_measured_no_further(bundle):
    choice = decide_ways(
        bundle,
        {
            Way("onnxruntime"): Engine(bundle, "onnxruntime", seconds=0.010),
            Way("openvino"): Engine(bundle, "openvino", seconds=0.001),
        },
        effort=Effort(2.0),
    )
    assert max(choice.costs["onnxruntime"]) == 8
    assert max(choice.costs["openvino"]) == 64


def test_short_calls_are_tried_on_one_thread_too(bundle):
    short = decide_ways(bundle, {Way("openvino"): Engine(bundle, "openvino")}, threads=4)
    assert set(short.costs) == {"openvino", "openvino 1 thread", "openvino 4 streams"}
    long = decide_ways(bundle, {Way("openvino"): Engine(bundle, "openvino", seconds=0.003)}, threads=3)
    assert set(long.costs) == {"openvino", "openvino 3 streams"}


def test_a_thorough_search_tries_every_number_of_threads_anew(bundle):
    engine = Engine(bundle, "openvino", seconds=0.002)
    decide_ways(bundle, {Way("openvino"): engine}, threads=3)
    runs = engine.runs
    choice = decide_ways(bundle, {Way("openvino"): engine}, threads=3, effort=Effort(0.02, thorough=True))
    assert engine.runs > runs
    assert set(choice.costs) == {"openvino", "openvino 1 thread", "openvino 2 threads", "openvino 3 streams"}


def test_ways_whose_calls_are_long_are_searched_with_all_threads_and_few_at_once(bundle):
    engines = {Way("openvino", form=form): Engine(bundle, "openvino", seconds=0.06) for form in ("plain", "a", "b")}
    choice = decide_ways(bundle, engines, threads=4, effort=Effort(0.1, thorough=True))
    assert not any(way.threads for way in choice.ways.values())
    assert sum(way.streams > 1 for way in choice.ways.values()) == 2


def test_ways_whose_calls_are_long_are_closed_when_checked_and_the_far_ones_stay_closed(bundle):
    seconds = {"near": 0.08, "best": 0.06, "far": 0.2}
    ways_of = {form: Way("openvino", form=form) for form in seconds}
    is_open, most, opened = set(), [], []

    def open_session(way):
        if way.form not in is_open:
            is_open.add(way.form)
            opened.append(way.form)
        most.append(len(is_open))
        return Engine(bundle, "openvino", seconds=seconds[way.form])

    def close_session(way):
        is_open.discard(way.form)
        most.append(0)

    choice = choose(
        tuple(ways_of.values()),
        open_session,
        References(bundle),
        threads=1,
        close_session=close_session,
        bundle=bundle.digest,
    )
    assert opened == ["near", "best", "far", "near", "best"]
    assert max(most) == 2
    assert choice.best() == ways_of["best"].name
    assert list(choice.costs[ways_of["far"].name]) == [1]
    assert {piece.way for piece in plan(64, choice.costs, choice.best())} == {ways_of["best"].name}


def test_batches_go_to_streams_where_those_are_faster_and_single_samples_to_all_cores(bundle):
    whole, streams = Engine(bundle, "onnxruntime", seconds=0.004), Engine(bundle, "onnxruntime", a_sample=0.001)
    opened = {1: whole, 2: streams}
    choice = choose(
        (Way("onnxruntime"),),
        lambda way: opened[way.streams],
        References(bundle),
        threads=2,
        close_session=kept,
        bundle=bundle.digest,
    )
    assert set(choice.costs) == {"onnxruntime", "onnxruntime 2 streams"}
    assert plan(64, choice.costs, choice.best())[0].way == "onnxruntime"
    assert plan(2, choice.costs, choice.best())[0].way == "onnxruntime 2 streams"


def test_an_engine_without_streams_is_not_asked_for_them(bundle):
    choice = decide_ways(bundle, {Way("mnn"): Engine(bundle, "mnn", seconds=0.003)}, threads=2)
    assert set(choice.costs) == {"mnn"}


def test_what_is_asked_for_narrows_the_ways(bundle):
    free = ways(bundle, backend="auto", precision="auto", form="auto")
    assert {way.backend for way in free} == {name for name in UNASKED if available(name)}
    assert {way.precision for way in free} <= {"fp32", "bf16"}
    assert free[0] == Way("onnxruntime")
    assert ways(bundle, backend="openvino", precision="fp32", form="plain") == (Way("openvino"),)
    with pytest.raises(ArgumentError, match="holds no int8 graph; it has: fp32"):
        ways(bundle, backend="auto", precision="int8", form="auto")
    with pytest.raises(ArgumentError, match="has no form 'phases'; it has: plain"):
        ways(bundle, backend="auto", precision="auto", form="phases")


def test_an_engine_of_right_pixels_and_a_wrong_raw_output_does_not_serve(bundle):
    class Rough(Engine):
        def run(self, inputs, outputs):
            super().run(inputs, outputs)
            if "image_float" in outputs:
                outputs["image_float"][:] += 0.01  # 46 dB

    choice = decide(bundle, openvino=Rough(bundle, "openvino"), onnxruntime=Engine(bundle, "onnxruntime", seconds=0.01))
    assert set(choice.costs) <= {"onnxruntime", "onnxruntime 2 streams"}
    assert "46.0 dB from the reference" in choice.refused["openvino"]


def test_int8_is_a_way_unasked_only_where_its_graph_passed_the_default_gate(bundle, monkeypatch):
    graphs = {**bundle.manifest.graphs, "int8": bundle.manifest.graphs["fp32"]}
    for automatic in ((), ("int8",)):
        monkeypatch.setattr(bundle, "manifest", replace(bundle.manifest, graphs=graphs, automatic=automatic))
        free = ways(bundle, backend="onnxruntime", precision="auto", form="auto")
        assert ("int8" in {way.precision for way in free}) == bool(automatic)
        assert [way.precision for way in ways(bundle, backend="onnxruntime", precision="int8", form="auto")] == ["int8"]


def test_a_lower_precision_that_nobody_asked_for_is_held_to_the_default_gate(bundle):
    low = Bound(psnr_db=20.0, within_one=0.0)
    bounds = {**bundle.manifest.goldens.bounds, "int8": low}
    references, automatic = References(bundle), References(bundle, automatic=True)
    for one in (references, automatic):
        one.goldens = replace(one.goldens, bounds=bounds)
    assert references.bound("int8") == low
    assert automatic.bound("int8") == DEFAULT_BOUND
    assert automatic.bound("fp32") == references.bound("fp32")
    engine = Engine(bundle, "openvino", fault=0.05, precision="int8")  # 32 dB
    hold(engine, references, (2,))
    with pytest.raises(FidelityError, match="50 dB are needed"):
        hold(engine, automatic, (2,))


def test_the_share_of_pixels_that_are_off_is_asked_of_all_goldens_and_not_of_one_picture(bundle):
    class Spotted(Engine):
        """A share of the pixels of every batch are two steps off, at its beginning."""

        share = 0.0

        def run(self, inputs, outputs):
            super().run(inputs, outputs)
            pixels = outputs["image"].reshape(-1)
            off = pixels[: math.ceil(self.share * pixels.size)]
            off[:] = np.where(off < 128, off + 2, off - 2)

    references, engine = References(bundle, automatic=True), Spotted(bundle, "openvino", precision="int8")
    engine.share = 0.008  # the gate's is half of a hundredth: goldens are few
    hold(engine, references, (1, references.count))
    engine.share = 0.018
    hold(engine, references, (1,))
    with pytest.raises(FidelityError, match=r"98\.\d\d% of the pixels are within one step, 99.00% are needed"):
        hold(engine, references, (references.count,))
    for precision in ("fp32", "bf16"):  # these passed no gate before: every picture is held to all of the bound
        strict = Spotted(bundle, "openvino", precision=precision)
        strict.share = 0.008
        with pytest.raises(FidelityError, match=r"2 steps off|99\.50% are needed"):
            hold(strict, references, (1,))


def test_tuning_is_remembered_by_the_next_load(tiny_bundle_path):
    told = []
    with Generator.tune(tiny_bundle_path, seconds=0.02, progress=told.append) as tuned:
        found = tuned.costs
    assert any(line.startswith("measuring ") for line in told)
    told.clear()
    with Generator.load(tiny_bundle_path, progress=told.append) as loaded:
        assert loaded.costs == found
    assert not told
