"""MNN, beyond what the contracts ask of every engine: conversion here, types, sizes, threads, silence."""

import gc
import hashlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from ganrt import BackendError, BackendUnavailable, cache
from ganrt.backends import _mnn_convert, available, open_session
from ganrt.backends.base import Graph, Options
from ganrt.latency import noise
from ganrt_export.pack import BOUNDS

pytestmark = pytest.mark.skipif(not available("mnn"), reason=available("mnn").reason)

TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE,
         "uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "int16": TensorProto.INT16,
         "int32": TensorProto.INT32, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}  # fmt: skip


CRASHED = "MNN cannot use this graph: it converts it, and a process that then ran it was ended by signal"


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A cache and a temporary folder with nothing in them."""
    for name, variable in (("cache", "GANRT_CACHE_DIR"), ("temporary", "TMPDIR")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def model(nodes, inputs, outputs, weights=(), opset=17):
    """The bytes of an ONNX model; `inputs` and `outputs` are name -> (type, shape)."""
    ports = [
        [helper.make_tensor_value_info(name, TYPES[kind], shape) for name, (kind, shape) in side.items()]
        for side in (inputs, outputs)
    ]
    constants = [numpy_helper.from_array(value, name) for name, value in dict(weights).items()]
    graph = helper.make_graph(nodes, "g", *ports, constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return made.SerializeToString()


def opened(data, engine="mnn", threads=1):
    return open_session(engine, Graph(data, hashlib.sha256(data).hexdigest(), "fp32"), Options(threads=threads))


def doubled():
    """y = x + x."""
    return model(
        [helper.make_node("Add", ["x", "x"], ["y"])], {"x": ("float32", ["n", 4])}, {"y": ("float32", ["n", 4])}
    )


def convolutions(layers=6, width=48):
    """3x3 convolutions with leaky ReLUs over pictures of any size and number."""
    random = np.random.default_rng(3)
    nodes, weights, last = [], {}, "x"
    for layer in range(layers):
        given, taken = 3 if layer == layers - 1 else width, width if layer else 3
        weights[f"w{layer}"] = random.standard_normal((given, taken, 3, 3), np.float32) / (3 * taken**0.5)
        following = "y" if layer == layers - 1 else f"a{layer}"
        nodes.append(helper.make_node("Conv", [last, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("LeakyRelu", [f"c{layer}"], [following], alpha=0.2))
        last = following
    shape = ["n", 3, "h", "w"]
    return model(nodes, {"x": ("float32", shape)}, {"y": ("float32", shape)}, weights)


def child(folder, monkeypatch, code, *, after=True):
    """Has the child process run `code`, after what it does or instead of it."""
    done = _mnn_convert._CHILD.read_text() if after else ""
    (folder / "child.py").write_text(f"{done}\n{code}\n")
    monkeypatch.setattr(_mnn_convert, "_CHILD", folder / "child.py")


def files(folder):
    """What was left in the cache and in the temporary folder, locks aside."""
    found = (path for place in ("cache", "temporary") for path in [folder / place, *(folder / place).rglob("*")])
    return [str(path.relative_to(folder)) for path in found if path.is_file() and path.suffix != ".lock"]


def kept(folder):
    """The endings of what was left."""
    return sorted(Path(name).suffix for name in files(folder))


def python(code, **environment):
    """Runs code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


# -- numbers


def test_winograd_convolutions_stay_within_the_fp32_gate_at_any_size():
    mnn, reference = opened(convolutions(), threads=2), opened(convolutions(), "onnxruntime")
    for shape in ((1, 3, 32, 32), (2, 3, 17, 40), (1, 3, 5, 6)):
        x = {"x": np.random.default_rng(0).standard_normal(shape, np.float32)}
        found, expected = mnn.evaluate(x, ["y"])["y"], reference.evaluate(x, ["y"])["y"]
        assert found.shape == expected.shape
        psnr_db = 10 * np.log10(np.ptp(expected) ** 2 / np.square(found - expected).mean())
        assert psnr_db > BOUNDS["fp32"].psnr_db


def test_normal_precision_is_the_high_one_bit_for_bit(fresh):
    session = opened(convolutions())
    (converted,) = (cache.folder() / "mnn").glob("*.mnn")
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)
    code = f"""
        import numpy as np
        from ganrt.backends._mnn_interpreter import Interpreter
        mnn = Interpreter({str(converted)!r}, 1)
        mnn._sessions = [mnn._interpreter.createSession(mnn._options | {{"precision": "high"}})]
        x = np.load({str(fresh / "x.npy")!r})
        layout = mnn.lay_out(0, {{"x": x.shape}})
        layout.inputs["x"][...] = x
        mnn.run(0)
        np.save({str(fresh / "y.npy")!r}, layout.outputs["y"])
    """
    np.save(fresh / "x.npy", x)
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert "high precision" in done.stdout  # it was
    assert (np.load(fresh / "y.npy") == session.evaluate({"x": x}, ["y"])["y"]).all()


def test_gelu_is_computed_and_not_approximated():
    weights = {"s": np.array(2**0.5, np.float32), "one": np.array(1, np.float32), "half": np.array(0.5, np.float32)}
    nodes = [
        helper.make_node("Div", ["x", "s"], ["scaled"]),
        helper.make_node("Erf", ["scaled"], ["erf"]),
        helper.make_node("Add", ["erf", "one"], ["gate"]),
        helper.make_node("Mul", ["x", "gate"], ["twice"]),
        helper.make_node("Mul", ["twice", "half"], ["y"]),
    ]
    data = model(nodes, {"x": ("float32", ["n", 64])}, {"y": ("float32", ["n", 64])}, weights)
    x = {"x": np.linspace(-4, 4, 64, dtype=np.float32)[None]}
    assert (
        np.abs(opened(data).evaluate(x, ["y"])["y"] - opened(data, "onnxruntime").evaluate(x, ["y"])["y"]).max() < 1e-6
    )


def test_recurrent_layers_run_and_are_not_refused_as_loops():
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((1, 15, 4), np.float32), "r": random.standard_normal((1, 15, 5), np.float32)}
    node = helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=5)
    data = model([node], {"x": ("float32", [7, "n", 4])}, {"y": ("float32", [7, 1, "n", 5])}, weights)
    x = {"x": random.standard_normal((7, 3, 4), np.float32)}
    assert (
        np.abs(opened(data).evaluate(x, ["y"])["y"] - opened(data, "onnxruntime").evaluate(x, ["y"])["y"]).max() < 1e-5
    )


def test_a_convolution_over_time_gives_as_many_axes_as_onnx_says():
    weights = {"w": np.random.default_rng(0).standard_normal((3, 2, 5), np.float32)}
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[2, 2])
    data = model([node], {"x": ("float32", ["n", 2, 24])}, {"y": ("float32", ["n", 3, 24])}, weights)
    x = {"x": np.random.default_rng(1).standard_normal((2, 2, 24), np.float32)}
    expected, session, y = opened(data, "onnxruntime").evaluate(x, ["y"])["y"], opened(data), np.empty((2, 3, 24), "f")
    session.run(x, {"y": y})
    for found in (y, session.evaluate(x, ["y"])["y"]):
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-5


def test_every_type_that_it_takes_comes_in_and_goes_out_as_onnx_says():
    kinds = ("float32", "float16", "uint8", "int16", "int32", "int64", "bool")
    nodes = []
    for kind in kinds:
        nodes += [
            helper.make_node("Cast", [f"in_{kind}"], [f"f_{kind}"], to=TensorProto.FLOAT),
            helper.make_node("Add", [f"f_{kind}", f"f_{kind}"], [f"s_{kind}"]),
            helper.make_node("Cast", [f"s_{kind}"], [f"out_{kind}"], to=TYPES[kind]),
        ]
    ports = [{f"{side}_{kind}": (kind, ["n", 3]) for kind in kinds} for side in ("in", "out")]
    data = model(nodes, *ports)
    feeds = {f"in_{kind}": np.array([[0, 1, 100]]).astype(kind) for kind in kinds}
    found = opened(data).evaluate(feeds, list(ports[1]))
    expected = opened(data, "onnxruntime").evaluate(feeds, list(ports[1]))
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].tolist() == array.tolist(), name


@pytest.mark.parametrize("kind", ["float64", "int8"])
def test_a_type_that_it_has_not_is_refused_when_it_is_opened(kind):
    node = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)
    data = model([node], {"x": (kind, ["n", 3])}, {"y": ("float32", ["n", 3])})
    with pytest.raises(BackendError, match=rf"^MNN cannot use this graph: 'x' is {kind}; MNN has: float32, .*\.$"):
        opened(data)


def test_a_label_that_does_not_fit_into_32_bits_is_refused_and_never_wrapped():
    node = helper.make_node("Gather", ["table", "label"], ["y"])
    table = {"table": np.arange(20, dtype=np.float32).reshape(10, 2)}
    session = opened(model([node], {"label": ("int64", ["n"])}, {"y": ("float32", ["n", 2])}, table))
    assert session.evaluate({"label": np.array([7, 0])}, ["y"])["y"].tolist() == [[14, 15], [0, 1]]
    with pytest.raises(BackendError, match="'label' holds numbers beyond 32 bits"):
        session.evaluate({"label": np.array([2**32 + 7])}, ["y"])


def test_an_input_that_nothing_depends_on_is_taken_and_a_scalar_too():
    nodes = [helper.make_node("Mul", ["x", "psi"], ["y"])]
    inputs = {"x": ("float32", ["n", 4]), "unused": ("float32", ["n", 2]), "psi": ("float32", [])}
    session = opened(model(nodes, inputs, {"y": ("float32", ["n", 4])}))
    feeds = {"x": np.ones((2, 4), np.float32), "unused": np.ones((2, 2), np.float32), "psi": np.array(3, np.float32)}
    assert (session.evaluate(feeds, ["y"])["y"] == 3).all()


# -- what it is given


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "the inputs are , and this graph takes x"),
        ({"z": np.zeros((1, 4), np.float32)}, "the inputs are z, and this graph takes x"),
        ({"x": np.zeros((1, 4))}, "'x' is float64 .1, 4., and this graph takes float32 .'any', 4."),
        ({"x": np.zeros((1, 5), np.float32)}, "'x' is float32 .1, 5., and this graph takes float32 .'any', 4."),
        ({"x": np.zeros(4, np.float32)}, "'x' is float32 .4., and this graph takes float32 .'any', 4."),
    ],
)
def test_other_inputs_than_the_graphs_are_refused_in_a_sentence(inputs, sentence):
    with pytest.raises(BackendError, match=f"^MNN failed while running: {sentence}"):
        opened(doubled()).evaluate(inputs, ["y"])


@pytest.mark.parametrize("array", [np.empty((2, 4), np.float32), np.empty((1, 4)), np.empty((4,), np.float32)])
def test_an_array_that_the_output_does_not_fit_is_refused_and_left_alone(array):
    array[...] = 7
    with pytest.raises(BackendError, match=r"the output 'y' is float32 \[1, 4\], and the array for it is"):
        opened(doubled()).run({"x": np.zeros((1, 4), np.float32)}, {"y": array})
    assert (array == 7).all()


def test_a_size_that_the_graph_cannot_have_is_refused_and_the_next_call_works(capfd):
    weights = {"shape": np.array([-1, 8], np.int64)}
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    session = opened(model([node], {"x": ("float32", ["n", "m"])}, {"y": ("float32", ["k", 8])}, weights))
    with pytest.raises(BackendError, match=r"cannot compute with inputs of the sizes \[\[3, 3\]\]"):
        session.evaluate({"x": np.zeros((3, 3), np.float32)}, ["y"])
    assert session.evaluate({"x": np.zeros((4, 4), np.float32)}, ["y"])["y"].shape == (2, 8)


# -- what it cannot run


def branches():
    def branch(operator, name):
        ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        return helper.make_graph([helper.make_node(operator, ["x"], [name])], name, [], ports)

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["positive"]),
        helper.make_node("If", ["positive"], ["y"], then_branch=branch("Neg", "a"), else_branch=branch("Abs", "b")),
    ]
    return nodes, {"zero": np.array(0, np.float32)}


@pytest.mark.parametrize(
    ("nodes", "weights", "sentence"),
    [
        ([helper.make_node("Bernoulli", ["x"], ["y"])], {}, "it does not know the operation Bernoulli."),
        ([helper.make_node("Fold", ["x"], ["y"], domain="mine")], {}, "it does not know the operation Fold."),
        (*branches(), "it has branches or loops, which MNN runs only while all other threads wait."),
    ],
)
def test_what_it_cannot_run_is_one_sentence_with_the_cause_and_is_remembered(
    fresh, monkeypatch, nodes, weights, sentence
):
    data = model(nodes, {"x": ("float32", ["n", 4])}, {"y": ("float32", ["n", 4])}, weights)
    for _ in range(2):
        with pytest.raises(BackendError) as caught:
            opened(data)
        assert str(caught.value) == f"MNN cannot use this graph: {sentence}"
        assert "converter ended with" in str(caught.value.__cause__)
        assert kept(fresh) == [".json"]
        child(fresh, monkeypatch, "raise SystemExit('converted again')", after=False)


def test_sizes_that_depend_on_numbers_are_refused(fresh):
    node = helper.make_node("NonZero", ["x"], ["y"])
    with pytest.raises(BackendError, match=r"it converts this graph and cannot run it \(.*shape compute"):
        opened(model([node], {"x": ("float32", ["n", 4])}, {"y": ("int64", [2, "k"])}))
    assert kept(fresh) == [".json"]


# -- the trial in a child process


def mirrored(height=6, width=9):
    """y = x + x turned by half a circle: for batches from 3 on, MNN 3.6 writes beyond an array."""
    weights = {"last": [-1, -1], "first": [-(2**63)] * 2, "axes": [2, 3], "back": [-1, -1]}
    nodes = [helper.make_node("Slice", ["x", *weights], ["turned"]), helper.make_node("Add", ["x", "turned"], ["y"])]
    port = ("float32", ["n", 3, height, width])
    return model(nodes, {"x": port}, {"y": port}, {name: np.array(value) for name, value in weights.items()})


@pytest.mark.parametrize("size", [(6, 9), ("h", "w")], ids=["fixed size", "size of the first call"])
def test_a_graph_that_harms_the_process_is_refused_and_the_process_lives(fresh, size):
    (fresh / "g.onnx").write_bytes(mirrored(*size))
    code = f"""
        import numpy as np
        from pathlib import Path
        from ganrt import BackendError
        from ganrt.backends import open_session
        from ganrt.backends.base import Graph, Options
        try:
            session = open_session("mnn", Graph(Path({str(fresh / "g.onnx")!r}).read_bytes(), "", "fp32"), Options(1))
            for batch in (1, 2, 3, 64, 8, 1):
                x = np.random.default_rng(0).standard_normal((batch, 3, 6, 9), np.float32)
                assert (session.evaluate({{"x": x}}, ["y"])["y"] == x + x[:, :, ::-1, ::-1]).all()
            session.close()
            print("right")
        except BackendError as problem:
            print(problem)
    """
    for _ in range(2):  # the second time from memory
        done = python(code)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "right\n" or done.stdout.startswith(CRASHED)


def test_a_crash_of_the_converter_is_one_sentence_and_is_remembered(fresh, monkeypatch):
    child(fresh, monkeypatch, "import os; os.abort()", after=False)
    for _ in range(2):
        with pytest.raises(BackendError, match=rf"its converter was ended by signal {int(signal.SIGABRT)}\.$"):
            opened(doubled())
        child(fresh, monkeypatch, "")
    assert kept(fresh) == [".json"]


def test_a_crash_when_the_child_closes_it_is_one_too(fresh, monkeypatch):
    child(fresh, monkeypatch, "import os; os.abort()")
    with pytest.raises(BackendError, match=rf"^{CRASHED} {int(signal.SIGABRT)}\.$"):
        opened(doubled())


def test_a_child_that_was_killed_from_outside_says_nothing_about_the_graph(fresh, monkeypatch):
    child(fresh, monkeypatch, "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(BackendError, match=rf"^{CRASHED} {int(signal.SIGKILL)}\.$"):
        opened(doubled())
    assert files(fresh) == []


def test_a_memory_that_is_damaged_is_made_anew(fresh):
    opened(doubled())
    (verdict,) = (cache.folder() / "mnn").glob("*.json")
    whole = verdict.read_bytes()
    verdict.write_bytes(b"{")
    opened(doubled())
    assert verdict.read_bytes() == whole


def test_another_number_of_threads_is_tried_and_not_converted_again(fresh):
    opened(doubled(), threads=1)
    (converted,) = (cache.folder() / "mnn").glob("*.mnn")
    made = converted.stat().st_ino
    opened(doubled(), threads=2)
    assert kept(fresh) == [".json", ".json", ".mnn"]
    assert converted.stat().st_ino == made


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is asked")
def test_the_child_is_ended_where_memory_beyond_an_array_was_written(fresh, monkeypatch):
    spill = """
import ctypes
take, give = ctypes.pythonapi.PyMem_RawMalloc, ctypes.pythonapi.PyMem_RawFree
take.restype, take.argtypes, give.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
block = take(1000)
ctypes.memset(block, 1, 1001)
give(block)
"""
    child(fresh, monkeypatch, spill)
    with pytest.raises(BackendError, match=rf"^{CRASHED} {int(signal.SIGABRT)}\.$"):
        opened(doubled())


# -- processes of its own


SENTENCE = r"^MNN ended while it {} \(signal {}\)\. Load the bundle with another backend, e\.g\. backend='openvino'\.$"
posix = pytest.mark.skipif(os.name != "posix", reason="signals and forks are POSIX's")


def processes(session):
    """Those of its lanes that live."""
    return {lane._process._child.pid for lane in session._lanes if lane._process is not None and lane._process.alive()}


def gone(pid, seconds=10):
    """Has it ended, or does it within this time? One whose parent ended first may stay in the table as a zombie."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except ProcessLookupError:
            return True
        except OSError:
            pass
        time.sleep(0.01)
    return False


def killed(session):
    """Kills its process, which then is waited for, and gives its number."""
    (pid,) = processes(session)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes(session) and time.monotonic() < deadline:
        time.sleep(0.01)
    return pid


LONG = {"x": np.zeros((8, 3, 320, 320), np.float32)}  # a second or more for `convolutions(layers=9)`
SHORT = {"x": np.zeros((1, 3, 8, 8), np.float32)}


@posix
def test_the_application_survives_a_graph_that_crashes_mnn_in_a_call(fresh, monkeypatch):
    monkeypatch.setattr("ganrt.backends.mnn.attempt", lambda *_: True)  # which would refuse it
    session = opened(mirrored("h", "w"))

    def said(batch):
        x = np.random.default_rng(0).standard_normal((batch, 3, 6, 9), np.float32)
        try:
            found = session.evaluate({"x": x}, ["y"])["y"]
        except BackendError as problem:
            return str(problem)
        return "right" if (found == x + x[:, :, ::-1, ::-1]).all() else "wrong"

    others = {said(batch) for batch in (1, 2, 3, 64, 8, 1)} - {"right"}
    assert others
    assert all(re.search(SENTENCE.format("computed", r"\d+"), one) for one in others)
    assert said(1) == "right"


@posix
@pytest.mark.parametrize("busy", [True, False], ids=["in a call", "between calls"])
def test_a_process_that_is_killed_fails_its_call_alone_and_another_takes_its_place(busy):
    session = opened(convolutions(layers=9))
    session.evaluate(SHORT, ["y"])
    (pid,) = processes(session)
    if busy:
        threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
        with pytest.raises(BackendError, match=SENTENCE.format("computed", int(signal.SIGKILL))):
            session.evaluate(LONG, ["y"])
    else:
        killed(session)
    assert session.evaluate(SHORT, ["y"])["y"].shape == (1, 3, 8, 8)
    assert not processes(session) & {pid}


@posix
def test_a_model_that_was_cleared_away_meanwhile_is_one_sentence(fresh):
    session = opened(doubled())
    cache.clear()
    assert (session.evaluate({"x": np.ones((1, 4), np.float32)}, ["y"])["y"] == 2).all()
    killed(session)
    for _ in range(2):
        with pytest.raises(BackendError, match=r"^MNN's form of this graph was cleared away meanwhile; load the"):
            session.evaluate({"x": np.ones((1, 4), np.float32)}, ["y"])


@posix
def test_two_calls_at_once_have_a_process_each_as_far_as_there_are_cores_for_them(fresh, monkeypatch):
    monkeypatch.setattr("ganrt.backends.mnn.usable_cores", lambda: 2)
    session, reference = opened(convolutions()), opened(convolutions(), "onnxruntime")
    session.evaluate(SHORT, ["y"])
    together, found = threading.Barrier(4), {}

    def work(seed):
        x = {"x": np.random.default_rng(seed).standard_normal((1, 3, 64, 64), np.float32)}
        together.wait()
        for _ in range(5):
            found[seed] = x, session.evaluate(x, ["y"])["y"]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(processes(session)) == 2
    for x, y in found.values():
        assert np.abs(y - reference.evaluate(x, ["y"])["y"]).max() < 1e-3


@posix
def test_lanes_that_cannot_be_opened_any_more_are_done_without(fresh, monkeypatch):
    monkeypatch.setattr("ganrt.backends.mnn.usable_cores", lambda: 4)
    session, done = opened(convolutions()), []
    cache.clear()
    threads = [threading.Thread(target=lambda: done.append(session.evaluate(SHORT, ["y"]))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(done) == 8
    assert len(processes(session)) == 1


@posix
def test_no_process_outlives_a_session_that_was_closed_or_forgotten():
    for closed in (True, False):
        session = opened(doubled())
        session.evaluate({"x": np.ones((1, 4), np.float32)}, ["y"])
        (pid,) = processes(session)
        if closed:
            session.close()
        del session
        gc.collect()
        with pytest.raises(ProcessLookupError):  # already, and waited for
            os.kill(pid, 0)


@posix
def test_closing_while_one_runs_ends_its_process_when_it_returns():
    session, done = opened(convolutions()), []
    session.evaluate(SHORT, ["y"])
    (pid,) = processes(session)
    thread = threading.Thread(target=lambda: done.append(session.evaluate(LONG, ["y"])))
    thread.start()
    time.sleep(0.2)
    session.close()
    thread.join()
    assert done
    assert gone(pid)


OPENED = """
    import gc, os, signal, sys, threading, time
    from pathlib import Path
    import numpy as np
    from ganrt.backends import open_session
    from ganrt.backends.base import Graph, Options

    def computed(n=1):
        y = session.evaluate({{"x": np.full((n, 3, 8, 8), n, np.float32)}}, ["y"])["y"]
        print(os.getpid() == first, y.shape[0], flush=True)

    def processes():
        return [lane._process._child.pid for lane in session._lanes if lane._process]

    first = os.getpid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    session = open_session("mnn", Graph(Path({graph!r}).read_bytes(), "5" * 64, "fp32"), Options(threads=1))
    computed()
    print(*processes(), flush=True)
    long = {{"x": np.zeros((8, 3, 320, 320), np.float32)}}
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Starts a program that opened a session, and gives it with the number of MNN's process."""
    (tmp_path / "g.onnx").write_bytes(convolutions(layers=9))
    started = []

    def start(code, *options):
        whole = textwrap.dedent(OPENED).format(graph=str(tmp_path / "g.onnx")) + textwrap.dedent(code)
        command = [sys.executable, *options, "-c", whole]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
        )
        started.append(process)
        assert process.stdout.readline() == "True 1\n"
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.communicate()


@posix
@pytest.mark.parametrize(
    "code",
    ["", "os._exit(0)", "os.kill(os.getpid(), 9)", "del session; gc.collect()", "session.close()",
     "threading.Thread(target=session.evaluate, args=(long, ['y']), daemon=True).start(); time.sleep(0.3)",
     "threading.Thread(target=session.evaluate, args=(long, ['y'])).start(); time.sleep(0.3); os.kill(first, 9)"],
    ids=["its end", "_exit", "SIGKILL", "forgotten", "closed", "its end in a call", "SIGKILL in a call"],
)  # fmt: skip
def test_no_process_outlives_the_application_and_nothing_is_said(program, code):
    process, pid = program(code, "-X", "dev", "-W", "error")
    said = process.communicate(timeout=60)
    assert said == ("", "")
    assert process.returncode == (-9 if "9" in code else 0)
    assert gone(pid, seconds=1)  # before its call is done


@posix
def test_ctrl_c_in_a_call_ends_it_and_leaves_the_session_usable(program):
    process, pid = program(
        """
        print("computes", flush=True)
        try:
            session.evaluate(long, ["y"])
        except KeyboardInterrupt:
            computed(2)
        """
    )
    assert process.stdout.readline() == "computes\n"
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    assert process.communicate(timeout=60) == ("True 2\n", "")
    assert gone(pid)


@posix
def test_ctrl_c_while_nothing_runs_is_not_the_processes_affair(program):
    process, pid = program(
        """
        try:
            print("waits", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            computed(2)
            print(*processes())
        """
    )
    assert process.stdout.readline() == "waits\n"
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60) == (f"True 2\n{pid}\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_was_forked_goes_on_with_one_of_its_own(program):
    process, pid = program(
        """
        with next(iter(session._lanes))._process._child._waitpid_lock:  # as if another thread looked after it just now
            forked = os.fork()
        if forked == 0:
            computed(2)
            print(*processes(), flush=True)
            sys.exit()
        os.wait()
        computed(3)
        print(*processes())
        """
    )
    forked, other, own, same = process.communicate(timeout=60)[0].splitlines()
    assert (forked, own, int(same)) == ("False 2", "True 3", pid)
    assert int(other) != pid
    assert gone(int(other))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_was_forked_in_the_middle_of_a_call_holds_neither_it_nor_mnns_process(program):
    process, pid = program(
        """
        thread = threading.Thread(target=session.evaluate, args=(long, ["y"]), daemon=True)
        thread.start()
        time.sleep(0.3)
        if os.fork() == 0:
            computed(2)
            session.close()
            time.sleep(60)
        time.sleep(60)
        """
    )
    assert process.stdout.readline() == "False 2\n"
    process.kill()
    assert gone(pid)  # the forked one still runs
    os.killpg(process.pid, signal.SIGKILL)


@posix
def test_it_works_where_no_file_lies_in_memory_and_leaves_none(fresh, monkeypatch):
    monkeypatch.delattr("os.memfd_create", raising=False)
    session = opened(convolutions())
    for n in (1, 5, 2):
        x = np.random.default_rng(0).standard_normal((n, 3, 16, 16), np.float32)
        assert (session.evaluate({"x": x}, ["y"])["y"] == opened(convolutions()).evaluate({"x": x}, ["y"])["y"]).all()
    assert kept(fresh) == [".json", ".json", ".mnn"]  # of the cache


def test_a_session_without_a_cache_that_is_forgotten_leaves_no_folder(fresh):
    (fresh / "cache").rmdir()
    (fresh / "cache").write_text("a file where the folder should be")
    session = opened(doubled())
    assert kept(fresh) == ["", ".mnn"]
    del session
    gc.collect()
    assert files(fresh) == ["cache"]


def test_an_mnn_that_cannot_be_imported_is_said_and_not_held_against_the_graph(fresh, monkeypatch):
    (fresh / "MNN").mkdir()
    (fresh / "MNN" / "__init__.py").write_text("raise ImportError('libomp.so.5: cannot open shared object file')")
    with monkeypatch.context() as broken:
        broken.syspath_prepend(fresh)
        said = r"^MNN cannot be loaded \(libomp.*object file\)\. Install it: pip install 'ganrt\[mnn\]'$"
        for _ in range(2):
            with pytest.raises(BackendUnavailable, match=said):
                opened(doubled())
    opened(doubled()).close()
    with monkeypatch.context() as broken:  # also where nothing must be converted
        broken.syspath_prepend(fresh)
        with pytest.raises(BackendUnavailable, match=said):
            opened(doubled())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the times of processes are Linux's")
def test_what_its_process_takes_of_the_machine_is_not_taken_for_another_programs():
    session = opened(convolutions())
    session.evaluate(SHORT, ["y"])
    before = noise._counters()
    session.evaluate({"x": LONG["x"][:2]}, ["y"])
    during = noise._counters()
    session.close()
    after = noise._counters()
    assert during.own - before.own > 0.1
    assert 0 <= after.own - during.own < 0.1


def test_however_much_it_prints_in_its_process_answers_stay_answers(capfd):
    weights = {"shape": np.array([-1, 8], np.int64)}
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    session = opened(model([node], {"x": ("float32", ["n", "m"])}, {"y": ("float32", ["k", 8])}, weights))
    x = np.arange(16, dtype=np.float32).reshape(4, 4)
    for _ in range(300):  # a line or two each
        with pytest.raises(BackendError, match="cannot compute with inputs of the sizes"):
            session.evaluate({"x": x[:3, :3].copy()}, ["y"])
        assert session.evaluate({"x": x}, ["y"])["y"].ravel().tolist() == [*range(16)]
    assert capfd.readouterr() == ("", "")


# -- conversion and cache


def test_a_graph_is_converted_once_and_then_read_from_the_cache(fresh, monkeypatch):
    opened(doubled())
    child(fresh, monkeypatch, "raise SystemExit('converted again')", after=False)
    assert opened(doubled()).evaluate({"x": np.ones((1, 4), np.float32)}, ["y"])["y"].tolist() == [[2, 2, 2, 2]]
    assert kept(fresh) == [".json", ".mnn"]
    monkeypatch.setattr(_mnn_convert, "_OPTIONS", (*_mnn_convert._OPTIONS, "--fp16"))
    with pytest.raises(BackendError, match="its converter failed"):  # other options: another entry
        opened(doubled())


def test_a_cache_that_cannot_be_written_is_done_without(fresh, monkeypatch):
    (fresh / "cache").rmdir()
    (fresh / "cache").write_text("a file where the folder should be")
    session = opened(doubled())
    assert session.evaluate({"x": np.ones((1, 4), np.float32)}, ["y"])["y"].tolist() == [[2, 2, 2, 2]]
    session.close()
    assert files(fresh) == ["cache"]


def test_a_disk_without_room_is_one_sentence_and_leaves_nothing(fresh):
    (fresh / "large.onnx").write_bytes(convolutions(width=64))
    done = python(
        f"""
        import resource
        from pathlib import Path
        from ganrt import BackendError
        from ganrt.backends import open_session
        from ganrt.backends.base import Graph, Options
        data = Path({str(fresh / "large.onnx")!r}).read_bytes()
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(data) // 2, len(data) // 2))
        try:
            open_session("mnn", Graph(data, "0" * 64, "fp32"), Options(threads=1))
        except BackendError as problem:
            print(problem)
        """
    )
    room = "MNN needs room for the graph in its own format, and there is none in"
    assert done.stdout == f"{room} {fresh / 'temporary'} (File too large).\n"
    assert files(fresh) == []


def test_a_damaged_entry_is_converted_anew(fresh, capfd):
    opened(doubled()).close()
    (entry,) = (cache.folder() / "mnn").glob("*.mnn")
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2])
    assert opened(doubled()).evaluate({"x": np.ones((1, 4), np.float32)}, ["y"])["y"].tolist() == [[2, 2, 2, 2]]
    assert len(entry.read_bytes()) == len(whole)


def test_two_processes_at_once_convert_once(fresh, monkeypatch):
    child(fresh, monkeypatch, f"open({str(fresh / 'times')!r}, 'a').write('once ')")
    (fresh / "g.onnx").write_bytes(convolutions())
    code = f"""
        from pathlib import Path
        from ganrt.backends import _mnn_convert, open_session
        from ganrt.backends.base import Graph, Options
        _mnn_convert._CHILD = Path({str(fresh / "child.py")!r})
        open_session("mnn", Graph(Path({str(fresh / "g.onnx")!r}).read_bytes(), "1" * 64, "fp32"), Options(threads=1))
        print("ready")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in running] == ["ready\n"] * 3
    assert (fresh / "times").read_text() == "once "


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal here")
def test_ctrl_c_while_it_converts_ends_it_and_leaves_nothing(fresh):
    (fresh / "g.onnx").write_bytes(doubled())
    (fresh / "child.py").write_text(f"""if True:
        import os, signal, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        open({str(fresh / "child")!r}, 'w').write(str(os.getpid()))
        time.sleep(60)
    """)
    code = f"""
        from pathlib import Path
        from ganrt.backends import _mnn_convert, open_session
        from ganrt.backends.base import Graph, Options
        _mnn_convert._CHILD = Path({str(fresh / "child.py")!r})
        open_session("mnn", Graph(Path({str(fresh / "g.onnx")!r}).read_bytes(), "2" * 64, "fp32"), Options(threads=1))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not ((fresh / "child").exists() and (fresh / "child").read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
    with pytest.raises(ProcessLookupError):
        os.kill(int((fresh / "child").read_text()), 0)
    assert files(fresh) == []
    opened(doubled())  # the lock is free


# -- threads, sizes, memory


def test_it_uses_as_many_threads_as_asked_and_says_how_many():
    for threads in (1, 3, 2):  # in a process of its own, none is bound to the number of an earlier one
        assert opened(doubled(), threads=threads).info.threads == threads
    assert 1 < opened(doubled(), threads=4096).info.threads < 4096


def test_many_threads_with_batches_of_many_sizes_get_their_own_results():
    session, faults = opened(doubled()), []

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(40):
            x = random.standard_normal((random.integers(1, 7), 4), np.float32)
            y = np.empty_like(x)
            session.run({"x": x}, {"y": y})
            if not (y == x + x).all():
                faults.append(x)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


def test_other_threads_run_while_it_computes():
    session, ticks = opened(convolutions()), []
    x = {"x": np.zeros((4, 3, 160, 160), np.float32)}
    session.evaluate(x, ["y"])
    done = threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    started = time.perf_counter()
    session.evaluate(x, ["y"])
    ended = time.perf_counter()
    done.set()
    thread.join()
    middle = (ended - started) / 4
    assert [one for one in ticks if started + middle < one < ended - middle]


def test_closing_while_others_run_ends_their_next_call_in_a_sentence():
    session, said = opened(convolutions()), []
    x = {"x": np.zeros((1, 3, 24, 24), np.float32)}

    def work():
        try:
            while True:
                session.evaluate(x, ["y"])
        except BackendError as problem:
            said.append(str(problem))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    session.close()
    for thread in threads:
        thread.join(timeout=30)
    assert said == ["The generator is closed; load it again."] * 6


def test_layouts_are_bounded_and_a_size_that_comes_again_is_computed_again():
    session = opened(doubled())
    for size in (*range(1, 9), 1, 8, 1):
        x = np.full((size, 4), size, np.float32)
        assert (session.evaluate({"x": x}, ["y"])["y"] == 2 * size).all()
    (lane,) = session._idle
    assert len(lane.layouts) == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peak memory in KiB is Linux's")
def test_opening_again_and_again_takes_no_more_memory(fresh):
    (fresh / "g.onnx").write_bytes(convolutions(layers=12, width=96))
    done = python(
        f"""
        import os, resource, numpy as np
        from pathlib import Path
        from ganrt.backends import open_session
        from ganrt.backends.base import Graph, Options
        data = Path({str(fresh / "g.onnx")!r}).read_bytes()
        def once():
            session = open_session("mnn", Graph(data, "3" * 64, "fp32"), Options(threads=1))
            session.evaluate({{"x": np.zeros((1, 3, 16, 16), np.float32)}}, ["y"])
            session.close()
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        def files():
            return len(os.listdir("/proc/self/fd"))
        for _ in range(3): once()
        before = peak(), files()
        for _ in range(8): once()
        print(*before, peak(), files())
        """
    )
    before, files_before, after, files_after = map(int, done.stdout.split())
    assert after - before < 20  # MiB; one session holds more than 10
    assert files_after == files_before


# -- silence


NO_SOCKETS = """
    import ctypes, os, struct, sys

    def forbid_sockets():
        "The kernel ends this process, and those it starts, at socket(2); x86-64 and AArch64 Linux."
        number = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
        load, equal, give = (0x20, 0, 0, 0), (0x15, 0, 1, number), 0x06
        steps = [load, equal, (give, 0, 0, 0x80000000), (give, 0, 0, 0x7FFF0000)]
        filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
        program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(filters))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
            sys.exit(77)
"""
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or os.uname().machine not in ("x86_64", "aarch64"),
    reason="the kernel is asked to watch, and that is Linux",
)


def without_sockets(code, **environment):
    done = python(textwrap.dedent(NO_SOCKETS) + "\nforbid_sockets()\n" + textwrap.dedent(code), **environment)
    if done.returncode == 77:
        pytest.skip("this system does not let a process forbid itself system calls")
    return done


@linux
def test_the_watch_for_sockets_sees_one():
    done = without_sockets("import socket; socket.socket()")
    assert done.returncode == -signal.SIGSYS


@linux
def test_converting_and_drawing_open_no_socket_load_no_tools_of_mnn_and_print_nothing(fresh, monkeypatch):
    child(fresh, monkeypatch, f"open({str(fresh / 'modules')!r}, 'w').write(' '.join(sys.modules))")
    done = without_sockets(
        f"""
        import sys
        seen = []
        sys.addaudithook(lambda event, values: event.startswith(("socket.", "urllib.")) and seen.append(event))
        from pathlib import Path
        from ganrt import Generator
        from ganrt.backends import _mnn_convert
        _mnn_convert._CHILD = Path({str(fresh / "child.py")!r})
        Generator.load("digits", backend="mnn").sample(2, seed=1)
        modules = open({str(fresh / "modules")!r}).read().split()
        assert "MNN" in modules and not {{"MNN", "_mnncengine"}} & sys.modules.keys()
        assert "mnn" not in open("/proc/self/maps").read().lower()
        wrong = [name for name in (*modules, *sys.modules) if name.startswith(("MNN.tools", "aliyun"))]
        sys.exit(str((wrong, seen)) if wrong or seen else 0)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_loads_where_there_is_no_stdout_at_all(fresh):
    done = python(
        f"""
        import os
        os.close(1)
        from pathlib import Path
        from ganrt import Generator
        Generator.load("digits", backend="mnn").sample(1)
        Path({str(fresh / "done")!r}).touch()
        """
    )
    assert (fresh / "done").exists(), done.stderr
