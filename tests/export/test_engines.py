"""Engines of real generators, built without a GPU: what they are built for, what is refused, what a bundle keeps."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import engine_bundles
import msgspec
import numpy as np
import onnx
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from ganrt.bundle import Bundle, write_bundle
from ganrt.errors import ArgumentError, BackendError, BundleError, MissingExtra
from ganrt.manifest import Engine, Profile
from ganrt_export import engines, tensorrt_builder
from ganrt_export.engines import Built, add_engines, build_engines
from ganrt_export.tensorrt_failures import Refusal, sentence

trt = pytest.importorskip("tensorrt_rtx")
ALL = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")


def written(folder: Path, contents: engine_bundles.Contents) -> Bundle:
    return write_bundle(folder / "made.ganrt", *contents)


@pytest.fixture(scope="module")
def dcgan(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return written(tmp_path_factory.mktemp("dcgan"), engine_bundles.dcgan())


@pytest.fixture(scope="module")
def plans(dcgan: Bundle) -> Built:
    return build_engines(dcgan, ALL, batches=[(1, 1, 1), (1, 16, 64)])


@pytest.fixture
def small(tmp_path: Path) -> Bundle:
    return written(tmp_path, tiny.make("conditional"))


def is_a_plan(data: bytes) -> bool:
    """Does the runtime know it for one? Without a GPU it says of a sound plan that it lacks a GPU, and no more."""
    runtime = trt.Runtime(tensorrt_builder.load("tensorrt-rtx")._logger)
    _, diagnostics = runtime.get_engine_validity(data)
    return not diagnostics & int(trt.EngineInvalidityDiagnostics.MALFORMED_ENGINE)


def test_the_runtime_tells_a_plan_from_other_bytes(plans: Built) -> None:
    assert all(is_a_plan(plan) for plan in plans.files.values())
    assert not is_a_plan(bytes(4096))


def test_one_engine_a_precision_serves_every_capability(dcgan: Bundle, plans: Built) -> None:
    suffix = "sm75-sm80-sm86-sm89-sm120-sm121"
    assert list(plans.engines) == [f"tensorrt-rtx-fp16-{suffix}", f"tensorrt-rtx-fp32-{suffix}"]
    for name, engine in plans.engines.items():
        assert engine.file == f"engines/{name}.plan"
        assert engine.capabilities == ALL
        assert engine.version == trt.__version__
        assert engine.profiles == (Profile(batch=(1, 1, 1)), Profile(batch=(1, 16, 64)))
        assert engine.graph == hashlib.sha256(dcgan.graph(engine.precision)).hexdigest()
        assert engine.mapping is None


def test_weights_are_in_the_plan_in_the_precision_of_the_graph(dcgan: Bundle, plans: Built) -> None:
    half, full = (len(plan) for plan in plans.files.values())
    parameters = sum(np.prod(one.dims) for one in onnx.load_model_from_string(dcgan.graph()).graph.initializer)
    assert 2 * parameters < half < 2.5 * parameters
    assert 4 * parameters < full < 4.5 * parameters


def test_a_generator_of_two_graphs_has_two_plans_in_one_engine(tmp_path: Path) -> None:
    bundle = written(tmp_path, engine_bundles.stylegan2())
    built = build_engines(bundle, ["8.6", "12.0"], batches=[(1, 4, 8)])
    (engine,) = built.engines.values()
    assert list(built.files) == [engine.mapping, engine.file]
    assert all(is_a_plan(plan) for plan in built.files.values())
    mapping = bundle.mapping()
    assert mapping is not None
    assert engine.mapping_graph == hashlib.sha256(mapping).hexdigest()
    reopened = add_engines(bundle, built, bundle.path)
    assert reopened.manifest.current(reopened.manifest.engines["tensorrt-rtx-fp32-sm86-sm120"])
    reopened.verify()


@pytest.mark.parametrize("name", tiny.SPECS)
def test_every_kind_of_input_and_output_builds(name: str, tmp_path: Path) -> None:
    built = build_engines(written(tmp_path, tiny.make(name)), ["8.9"])
    assert [is_a_plan(plan) for plan in built.files.values()] == [True]


def test_open_sizes_are_part_of_every_profile(tmp_path: Path) -> None:
    bundle = written(tmp_path, engine_bundles.upscaler())
    sizes = {"height": (16, 32, 64), "photo_3": (8, 24, 48)}
    built = build_engines(bundle, ["7.5"], batches=[(1, 1, 1), (1, 2, 4)], sizes=sizes)
    (engine,) = built.engines.values()
    wanted = {"photo_2": (16, 32, 64), "photo_3": (8, 24, 48)}
    assert [profile.sizes for profile in engine.profiles] == [wanted, wanted]
    assert [profile.batch for profile in engine.profiles] == [(1, 1, 1), (1, 2, 4)]


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({}, "limits: give the least, the best and the most, e.g. --size height=64:256:512,width=64:256:512"),
        ({"height": (1, 2, 3)}, "The graph takes any width, and an engine needs limits"),
        ({"depth": (1, 2, 3)}, "The graph has no open size 'depth'; it takes: height, width."),
        ({"height": (3, 2, 1), "width": (1, 1, 1)}, "3:2:1 is no range for the photo_2"),
    ],
)  # fmt: skip
def test_sizes_that_are_missing_or_wrong_are_asked_for(sizes: dict, sentence: str, tmp_path: Path) -> None:
    bundle = written(tmp_path, engine_bundles.upscaler())
    with pytest.raises(ArgumentError) as caught:
        build_engines(bundle, ["8.6"], sizes=sizes)
    assert sentence in str(caught.value)


def test_a_batch_is_chosen_by_the_size_of_the_output(dcgan: Bundle, small: Bundle) -> None:
    (engine,) = build_engines(small, ["8.6"]).engines.values()
    assert engine.profiles == (Profile(batch=(1, 16, 64)),)
    large = msgspec.structs.replace(dcgan.manifest.spec.output, height=1024, width=1024)
    spec = msgspec.structs.replace(dcgan.manifest.spec, output=large)
    assert engines._usual_batch(spec) == (1, 1, 4)


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({"capabilities": ["9.9"]}, ArgumentError,
         f"There is no engine for the compute capability '9.9': TensorRT-RTX {trt.__version__} builds for 7.5, 8.0,"),
        ({"capabilities": ["8.6", "H100"]}, ArgumentError, "compute capability 'H100'"),
        ({"capabilities": []}, ArgumentError, "Which GPUs is the engine for? Name their compute capabilities, e.g."),
        ({"engine": "tensorflow"}, ArgumentError, "no engine 'tensorflow' to build; choose one of: tensorrt-rtx"),
        ({"precisions": ["int8"]}, ArgumentError, "Engines are built in fp16 and fp32, not in 'int8'."),
        ({"precisions": ["fp16"]}, BundleError, "has no fp16 graph, and an engine computes in the types of its"),
        ({"batches": [(4, 1, 8)]}, ArgumentError, "4:1:8 is no range for the batch"),
        ({"batches": [(0, 1, 8)]}, ArgumentError, "0:1:8 is no range for the batch"),
        ({"batches": [(1, 1, 1 << 17)]}, ArgumentError, "from 1 to 65536"),
        ({"sizes": {"height": (1, 1, 1)}}, ArgumentError, "no open size 'height'; every size of it is fixed but the"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_one_sentence(
    asked: dict, error: type[Exception], sentence: str, small: Bundle
) -> None:
    with pytest.raises(error) as caught:
        build_engines(small, **{"capabilities": ["8.6"], **asked})
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_capabilities_are_read_in_the_fields_spellings(small: Bundle) -> None:
    built = build_engines(small, ["sm_120", "86", "SM89", "8.6"])
    assert list(built.engines) == ["tensorrt-rtx-fp32-sm86-sm89-sm120"]


def node(operator: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, [output], name=output, **attributes)


TWO = np.ones((8, 2), np.float32)
UNBUILDABLE = {
    "an operation that it lacks": (
        [
            node("Unsqueeze", ["z", "last"], "column"),
            node("DFT", ["column", "", "axis"], "spectrum"),
            node("ReduceSum", ["spectrum", "axis"], "table", keepdims=0),
        ],
        {"last": np.array([2]), "axis": np.array(1)},
        "TensorRT-RTX has no such operation: the DFT 'spectrum' (in 'generator.fp32.onnx'). What to do: write the",
    ),
    "types that differ": (
        [
            node("Cast", ["z"], "half", to=TensorProto.FLOAT16),
            node("Add", ["half", "z"], "sum"),
            node("MatMul", ["sum", "two"], "table"),
        ],
        {"two": TWO},
        "TensorRT-RTX does not mix types, and the Add 'sum' takes two kinds of numbers (in 'generator.fp32.onnx').",
    ),
    "uint8 in the middle": (
        [
            node("Cast", ["z"], "bytes", to=TensorProto.UINT8),
            node("Cast", ["bytes"], "float", to=TensorProto.FLOAT),
            node("MatMul", ["float", "two"], "table"),
        ],
        {"two": TWO},
        "the last operation of the graph, not in its middle as the Cast 'bytes' gives it (in 'generator.fp32.onnx').",
    ),
    "shapes that do not fit": (
        [node("MatMul", ["z", "nine"], "product"), node("Tanh", ["product"], "table")],
        {"nine": np.ones((9, 2), np.float32)},
        "TensorRT-RTX cannot build the MatMul 'product' (in 'generator.fp32.onnx'): ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNBUILDABLE)
def test_a_graph_that_it_refuses_is_a_sentence_naming_the_node(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nodes, constants, expected = UNBUILDABLE[case]
    bundle = written(tmp_path, engine_bundles.graph_bundle(nodes, constants))
    with pytest.raises(BackendError) as caught:
        build_engines(bundle, ["8.6"])
    told = str(caught.value)
    assert expected in told
    assert "\n" not in told
    assert "cudaError" not in told
    assert "/_src/" not in told
    assert "What to do: " in told
    assert capfd.readouterr() == ("", "")


def test_float32_matrices_on_turing_are_refused_by_the_builder_and_named(small: Bundle) -> None:
    with pytest.raises(BackendError) as caught:
        build_engines(small, ["7.5", "8.6"])
    assert "multiplies no float32 matrices on Turing, compute capability 7.5, as the MatMul 'node_of_" in str(
        caught.value
    )
    assert "leave 7.5 out of --capability" in str(caught.value)


def test_float64_does_not_become_float32_without_a_word(tmp_path: Path) -> None:
    nodes = [node("Cast", ["z"], "wide", to=TensorProto.DOUBLE), node("MatMul", ["wide", "two"], "table")]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "made",
            [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 8])],
            [helper.make_tensor_value_info("table", TensorProto.DOUBLE, ["batch", 2])],
            [onnx.numpy_helper.from_array(TWO.astype(np.float64), "two")],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    library = tensorrt_builder.load("tensorrt-rtx")
    shapes = {"z": ((1, 8), (1, 8), (4, 8))}
    with pytest.raises(BackendError, match="would make 'table' of the graph float32, and the graph says float64"):
        library.build(model.SerializeToString(), [shapes], ["8.6"])


def test_a_build_after_a_failed_one_is_not_blamed_for_it(tmp_path: Path, small: Bundle) -> None:
    nodes, constants, _ = UNBUILDABLE["an operation that it lacks"]
    (tmp_path / "bad").mkdir()
    with pytest.raises(BackendError):
        build_engines(written(tmp_path / "bad", engine_bundles.graph_bundle(nodes, constants)), ["8.6"])
    assert len(build_engines(small, ["8.6"]).files) == 1


@given(st.text(), st.text(max_size=20), st.lists(st.tuples(st.text(max_size=10), st.text(max_size=10)), max_size=4))
def test_whatever_it_says_the_sentence_is_one_line_of_bounded_length(
    text: str, name: str, nodes: list[tuple[str, str]]
) -> None:
    told = sentence("TensorRT-RTX", "'g.onnx'", [Refusal(text, name)], nodes)
    assert told.isprintable()
    assert len(told) < 900
    assert "What to do: " in told


def test_the_longest_name_that_stands_alone_is_the_node() -> None:
    told = "Myelin ([x.cpp:1: f] Could not compile conv_1 for this target)"
    nodes = [("conv", "Conv"), ("conv_1", "Conv"), ("conv_12", "Conv"), ("target_", "Add")]
    assert "the Conv 'conv_1'" in sentence("TensorRT", "'g'", [Refusal(told)], nodes)


def test_progress_rises_from_nothing_to_all_of_it(dcgan: Bundle) -> None:
    told: list[tuple[str, float]] = []
    build_engines(dcgan, ["8.6"], progress=lambda name, share: told.append((name, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(set(shares)) > 20
    assert list(dict.fromkeys(name for name, _ in told)) == ["tensorrt-rtx-fp16-sm86", "tensorrt-rtx-fp32-sm86"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "a", "b", "c"]), st.integers(-1, 5))))
def test_the_share_done_never_falls_and_never_exceeds_one(events: list[tuple[str, str | None, int]]) -> None:
    phases, last = tensorrt_builder.Phases(), 0.0
    for name, parent, step in events:
        if parent is not None:
            phases.start(name, parent if parent < name else None, max(1, step))
        elif step < 0:
            phases.finish(name)
        else:
            phases.step(name, step)
        assert last <= phases.share <= 1.0
        last = phases.share


@pytest.fixture
def _interruptible() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_stops_the_builder_between_two_steps(small: Bundle, times: int) -> None:
    told: list[float] = []

    def interrupt(_: str, share: float) -> None:
        told.append(share)
        if len(told) == 5:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        build_engines(small, ["8.6"], progress=interrupt)
    assert len(told) < 10  # of about 100
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(build_engines(small, ["8.6"]).files) == 1  # the next one is whole


def test_what_the_listener_of_the_progress_raises_stops_the_build_too(small: Bundle) -> None:
    told: list[float] = []

    def refuse(_: str, share: float) -> None:
        told.append(share)
        if share > 0:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build_engines(small, ["8.6"], progress=refuse)
    assert len(told) < 10


def test_builds_in_other_threads_wait_for_each_other(small: Bundle) -> None:
    with ThreadPoolExecutor(3) as pool:
        built = list(pool.map(lambda capability: build_engines(small, [capability]), ("8.6", "8.9", "12.0")))
    assert [engine.capabilities for one in built for engine in one.engines.values()] == [("8.6",), ("8.9",), ("12.0",)]
    assert all(is_a_plan(plan) for one in built for plan in one.files.values())


def test_a_library_that_is_not_there_comes_with_its_command(monkeypatch: pytest.MonkeyPatch, small: Bundle) -> None:
    tensorrt_builder.load.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(MissingExtra, match=r"not installed.*Install it: pip install 'ganrt\[rtx\]'"):
        build_engines(small, ["8.6"])
    monkeypatch.undo()
    assert tensorrt_builder.load("tensorrt-rtx").version == trt.__version__


def test_the_bundle_keeps_all_it_had_and_lists_its_engines(dcgan: Bundle, plans: Built, tmp_path: Path) -> None:
    made = add_engines(dcgan, plans, tmp_path / "new.ganrt")
    assert made.manifest.engines == plans.engines
    assert set(made.manifest.files) == {*dcgan.manifest.files, *plans.files}
    assert all(made.read(member) == dcgan.read(member) for member in dcgan.manifest.files)
    assert all(made.read(member) == plan for member, plan in plans.files.items())
    for precision in ("fp32", "fp16"):
        assert made.graph(precision) == dcgan.graph(precision)


def test_a_newer_engine_takes_the_place_of_what_it_covers_and_of_nothing_else(small: Bundle) -> None:
    first = add_engines(small, build_engines(small, ["8.6"]), small.path)
    second = add_engines(first, build_engines(first, ["8.9"]), small.path)
    assert list(second.manifest.engines) == ["tensorrt-rtx-fp32-sm86", "tensorrt-rtx-fp32-sm89"]
    third = add_engines(second, build_engines(second, ["8.6", "12.0"]), small.path)
    assert set(third.manifest.engines) == {"tensorrt-rtx-fp32-sm89", "tensorrt-rtx-fp32-sm86-sm120"}
    assert {name for name in third.manifest.files if name.startswith("engines/")} == {
        engine.file for engine in third.manifest.engines.values()
    }


def test_an_engine_of_a_graph_that_is_gone_goes_with_it(small: Bundle) -> None:
    built = build_engines(small, ["8.6"])
    with_engine = add_engines(small, built, small.path)
    files = {member: with_engine.read(member) for member in with_engine.manifest.files}
    model = onnx.load_model_from_string(files[tiny.GRAPH])
    model.producer_name = "another"
    changed = write_bundle(small.path, with_engine.manifest, files | {tiny.GRAPH: model.SerializeToString()})
    assert not changed.manifest.current(next(iter(changed.manifest.engines.values())))
    fresh = add_engines(changed, build_engines(changed, ["8.9"]), small.path)
    assert list(fresh.manifest.engines) == ["tensorrt-rtx-fp32-sm89"]


def test_the_generator_draws_as_before(small: Bundle) -> None:
    from ganrt import Generator

    with Generator.load(small.path, backend="onnxruntime") as generator:
        before = generator.sample(3, seed=1)
    add_engines(small, build_engines(small, ["8.6"]), small.path)
    with Generator.load(small.path, backend="onnxruntime") as generator:
        np.testing.assert_array_equal(generator.sample(3, seed=1), before)


def test_an_engine_is_fields_and_no_bytes(plans: Built) -> None:
    for engine in plans.engines.values():
        again = msgspec.json.decode(msgspec.json.encode(engine), type=Engine)
        assert again == engine
