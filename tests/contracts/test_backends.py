"""What every engine must do. One suite; each engine that this machine lacks skips with its own reason."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from ganrt import ArgumentError, BackendError, BackendUnavailable, Bundle, FidelityError, Generator
from ganrt.backends import NAMES, STREAMING, available, module_name, open_session, precisions
from ganrt.backends.acceptance import References, hold, hold_all
from ganrt.backends.base import Graph, Options


@pytest.fixture(params=NAMES)
def backend(request):
    found = available(request.param)
    if not found:
        pytest.skip(found.reason)
    return request.param


@pytest.fixture
def bundle(tiny_bundle_path):
    return Bundle.open(tiny_bundle_path)


@pytest.fixture(params=[1, 2], ids=["", "2 streams"])
def streams(request, backend):
    if request.param > 1 and backend not in STREAMING:
        with pytest.raises(BackendUnavailable, match="computes a batch as a whole"):
            open_session(backend, Graph(b"", "", "fp32"), Options(threads=request.param, streams=request.param))
        pytest.skip(f"{backend} has no streams, and says so")
    return request.param


@pytest.fixture
def session(backend, bundle, streams):
    opened = open_session(backend, _graph(bundle), Options(threads=streams, streams=streams))
    yield opened
    opened.close()


def _graph(bundle):
    return Graph(bundle.graph(), bundle.manifest.files[bundle.manifest.graphs["fp32"]].sha256, "fp32")


def test_it_reproduces_the_goldens_at_every_batch_size(session, bundle):
    figures = hold(session, References(bundle), sizes=(1, 2, 3, 7, 16, 64))
    assert figures.psnr_db > 90
    assert figures.max_step <= 1


def test_it_reports_what_runs(session, backend, streams):
    assert session.info.backend == backend
    assert session.info.engine.split()[-1].count(".") == 2
    assert session.info.device == "CPU"
    assert session.info.precision == "fp32"
    assert session.info.threads == session.info.streams == streams
    assert session.info.fell_back == ()


def test_it_writes_into_the_callers_slice_and_nowhere_else(session, bundle):
    references = References(bundle)
    whole = np.full((8, 6, 5, 1), 77, np.uint8)
    session.run(references.feeds(3), {"image": whole[2:5]})
    alone = np.empty((3, 6, 5, 1), np.uint8)
    session.run(references.feeds(3), {"image": alone})
    assert (whole[2:5] == alone).all()
    assert (whole[:2] == 77).all()
    assert (whole[5:] == 77).all()


def test_an_array_of_an_earlier_call_is_never_written_again(session, bundle):
    references = References(bundle)
    size = 4096  # large enough that results are bound, not copied
    raw = np.empty((size, 1, 6, 5), np.float32)
    session.run(references.feeds(size), {"image_float": raw})
    raw[:] = 123
    session.run(references.feeds(size), {"image": np.empty((size, 6, 5, 1), np.uint8)})
    assert (raw == 123).all()


def test_what_is_evaluated_is_written_into_no_array_of_another_call(session, bundle):
    references, kept = References(bundle), np.empty((3, 6, 5, 1), np.uint8)
    session.run(references.feeds(3), {"image": kept})
    kept[:] = 7
    first = session.evaluate(references.feeds(3), ("image",))["image"]
    assert (kept == 7).all()
    again = first.copy()
    session.evaluate({name: array[::-1].copy() for name, array in references.feeds(3).items()}, ("image",))
    assert (first == again).all()


def test_both_outputs_can_be_asked_for_at_once(session, bundle):
    outputs = {"image": np.empty((2, 6, 5, 1), np.uint8), "image_float": np.empty((2, 1, 6, 5), np.float32)}
    session.run(References(bundle).feeds(2), outputs)
    expected = np.rint(np.clip((outputs["image_float"] + 1) * 127.5, 0, 255)).astype(np.uint8)
    assert (outputs["image"] == expected.transpose(0, 2, 3, 1)).all()


def test_many_threads_may_run_it_at_once(session, bundle):
    references = References(bundle)
    expected = np.empty((5, 6, 5, 1), np.uint8)
    session.run(references.feeds(5), {"image": expected})
    faults = []

    def work():
        for _ in range(50):
            found = np.empty_like(expected)
            session.run(references.feeds(5), {"image": found})
            if not (found == expected).all():
                faults.append(found)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_a_graph_it_cannot_read_is_one_sentence_and_keeps_the_cause(backend):
    with pytest.raises(BackendError, match="cannot use this graph") as caught:
        open_session(backend, Graph(b"\x00not onnx", "0" * 64, "fp32"), Options(threads=1))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_run_that_fails_is_one_sentence_and_keeps_the_cause(session):
    wrong = {"z": np.zeros((1, 3), np.float32), "label": np.zeros(1, np.int64)}
    with pytest.raises(BackendError, match="failed while running") as caught:
        session.run(wrong, {"image": np.empty((1, 6, 5, 1), np.uint8)})
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_samples_are_the_same_in_any_number_of_streams(session, backend, bundle):
    references = References(bundle)
    alone = open_session(backend, _graph(bundle), Options(threads=1))
    for size in (1, 2, 3, 4, 5, 64):
        found, expected = (np.empty((size, 1, 6, 5), np.float32) for _ in range(2))
        session.run(references.feeds(size), {"image_float": found})
        alone.run(references.feeds(size), {"image_float": expected})
        assert np.abs(found - expected).max() < 1e-5
    alone.close()


def test_a_run_that_fails_in_one_stream_is_one_sentence_and_the_next_one_works(session, bundle, streams):
    references, image = References(bundle), np.empty((6, 6, 5, 1), np.uint8)
    feeds = references.feeds(6)
    with pytest.raises(BackendError, match="failed while running"):
        session.run(feeds | {"z": feeds["z"][:, :3].copy()}, {"image": image})
    session.run(feeds, {"image": image})
    assert image.any()


CLOSED_ELSEWHERE = """
import gc, signal, sys, threading
from ganrt import Bundle
from ganrt.backends import open_session
from ganrt.backends.base import Graph, Options

opened = [open_session(sys.argv[2], Graph.of(Bundle.open(sys.argv[1]), "fp32"), Options(threads=1))]
closer = threading.Thread(target=lambda: (opened.pop().close(), gc.collect()))
closer.start()
closer.join()
signal.signal(signal.SIGINT, lambda number, frame: print("handled"))
signal.raise_signal(signal.SIGINT)
"""


def test_a_process_takes_signals_after_another_thread_has_closed_it(backend, tiny_bundle_path):
    words = [sys.executable, "-c", CLOSED_ELSEWHERE, tiny_bundle_path, backend]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["handled"]), done.stderr


def test_closing_twice_is_fine(session):
    session.close()
    session.close()


def test_a_precision_it_has_not_is_refused(backend, bundle):
    missing = {"fp32", "fp16", "int8", "bf16", "fp8"} - set(precisions(backend))
    for precision in sorted(missing):
        with pytest.raises(BackendUnavailable, match=f"does not compute in {precision}"):
            open_session(backend, _graph(bundle), Options(threads=1, precision=precision))


def test_bf16_where_the_processor_has_it_is_what_runs_and_passes_its_bound(backend, bundle):
    if "bf16" not in precisions(backend):
        pytest.skip(f"{backend} has no BF16 on this processor")
    session = open_session(backend, _graph(bundle), Options(threads=1, precision="bf16"))
    assert session.info.precision == "bf16"


def test_an_engine_that_gives_something_else_is_refused_with_the_figure(session, bundle):
    references = References(bundle)
    references.raw = references.raw + 0.1
    with pytest.raises(FidelityError, match=r"does not reproduce this bundle: its output is .* dB from the reference"):
        hold(session, references, sizes=(1,))


def test_a_missing_engine_is_refused_with_the_command_that_installs_it(backend, tiny_bundle_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module_name(backend), None)
    with pytest.raises(BackendUnavailable, match=r"is not installed. Install it: pip install 'ganrt\[.*\]'"):
        Generator.load(tiny_bundle_path, backend=backend)


def test_no_engine_at_all_is_refused_with_a_command(tiny_bundle_path, monkeypatch):
    for name in NAMES:
        monkeypatch.setitem(__import__("sys").modules, module_name(name), None)
    with pytest.raises(BackendUnavailable, match=r"No engine is installed. Install one: pip install 'ganrt\[cpu\]'"):
        Generator.load(tiny_bundle_path)


def test_an_unknown_backend_is_refused_with_the_known_ones(tiny_bundle_path):
    with pytest.raises(ArgumentError, match=r"There is no backend 'tpu'; ganrt knows: auto, onnxruntime"):
        Generator.load(tiny_bundle_path, backend="tpu")


def test_every_engine_of_this_machine_is_held_to_the_references_and_the_missing_are_named(bundle, monkeypatch):
    verdicts = list(hold_all(bundle))
    assert {verdict.backend for verdict in verdicts} == set(NAMES)
    for verdict in verdicts:
        assert verdict.ok == available(verdict.backend).ok, verdict
    monkeypatch.setitem(__import__("sys").modules, module_name(NAMES[0]), None)
    missing = next(verdict for verdict in hold_all(bundle) if verdict.backend == NAMES[0])
    assert not missing.ok
    assert "install it: pip install" in missing.fault
