"""Which engine serves: those that reproduce the bundle, and of them the fastest, remembered."""

import time

import numpy as np
import pytest

from ganrt import BackendError, Bundle, FidelityError, Generator, cache
from ganrt.backends.acceptance import References
from ganrt.backends.base import SessionInfo
from ganrt.backends.choose import Choice, choose


class Engine:
    """A session over numpy, that answers from the bundle's own references: as slow, or as wrong, as a test wants."""

    def __init__(self, bundle, name, *, seconds=0.0, fault=0.0):
        self.info = SessionInfo(name, f"{name} 1.0.0", "CPU", "fp32", 1)
        self.references, self.seconds, self.fault, self.runs = References(bundle), seconds, fault, 0

    def empty(self, shape, dtype):
        return np.empty(shape, dtype)

    def run(self, inputs, outputs):
        self.runs += 1
        time.sleep(self.seconds)
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
    return choose(tuple(engines), engines.__getitem__, References(bundle), bundle=bundle.digest)


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
    assert Choice({"openvino": None, "onnxruntime": None}, {}, {}).best() == "onnxruntime"
