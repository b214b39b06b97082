"""An NVlabs pickle is read as data: the right tensors come out, and nothing that it carries ever runs."""

from __future__ import annotations

import io
import pickle  # noqa: TID251 (forges hostile files; reads none)
import random
import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from ganrt.errors import CheckpointError
from ganrt_export import persistent_records
from ganrt_export.persistent_records import Record, read_records

# Stand-ins of the right names for the packages that write such files; the writer runs in a process of its own.
EASY_DICT = """
class EasyDict(dict):
    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name)
    def __setattr__(self, name, value):
        self[name] = value
"""
PERSISTENCE = """
import copy, dnnlib.util
WRAP = dict
def _reconstruct_persistent_obj(meta):
    raise SystemExit("the writer never reads")
def persistent_class(original):
    class Persistent(original):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._init_args, self._init_kwargs = copy.deepcopy(args), copy.deepcopy(kwargs)
        def __reduce__(self):
            meta = WRAP(type="class", version=6, module_src=open(__file__ + ".src").read(),
                        class_name=original.__name__, state=self.__dict__)
            return _reconstruct_persistent_obj, (meta,), None
    Persistent.__name__ = original.__name__
    return Persistent
"""
WRITER = """
import pickle, sys
import numpy as np, torch
from torch import nn
import dnnlib.util, torch_utils.persistence as persistence
from dnnlib.util import EasyDict

@persistence.persistent_class
class Dense(nn.Module):
    def __init__(self, n, m, activation="linear", lr_multiplier=1):
        super().__init__()
        self.in_features, self.activation = n, activation
        self.weight = nn.Parameter(torch.randn(m, n) / lr_multiplier)
        self.bias = nn.Parameter(torch.zeros(m)) if m > 2 else None

@persistence.persistent_class
class Mapping(nn.Module):
    def __init__(self, z_dim, w_dim, num_layers=2):
        super().__init__()
        for i in range(num_layers):
            setattr(self, f"fc{i}", Dense(z_dim if i == 0 else w_dim, w_dim, activation="lrelu", lr_multiplier=0.01))
        self.register_buffer("w_avg", torch.randn(w_dim))

@persistence.persistent_class
class Layer(nn.Module):
    def __init__(self, size, cutoff):
        super().__init__()
        self.in_size = np.broadcast_to(np.asarray(size), [2])
        self.cutoff, self.big = np.float64(cutoff), np.arange(6, dtype=">i4").reshape(2, 3).T
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("filter", torch.randn(4, 4).half())
        self.register_buffer("steps", torch.tensor(7))
        self.register_buffer("mask", torch.tensor([True, False]))
        self.register_buffer("brain", torch.randn(3, dtype=torch.float64).to(torch.bfloat16))
        self.register_buffer("view", torch.arange(10.)[2:8:2])
        self.register_buffer("passing", torch.ones(2), persistent=False)
        self.register_buffer("nothing", torch.zeros(0, 3))
        self.register_buffer("absent", None)

@persistence.persistent_class
class Generator(nn.Module):
    def __init__(self, z_dim, *, w_dim=5, mapping_kwargs={}, **kwargs):
        super().__init__()
        self.z_dim, self.sizes, self.training_only = z_dim, [4, 8], torch.float16
        self.mapping = Mapping(z_dim, w_dim, **mapping_kwargs)
        self.layers = nn.ModuleList([Layer(4, 1.5), nn.Sequential(nn.Conv2d(3, 2, 1), nn.LeakyReLU(0.2))])
        self.torgb = Dense(w_dim, 2)
        self.other = EasyDict(a=1)

torch.manual_seed(0)
make = lambda: Generator(6, mapping_kwargs=EasyDict(num_layers=2), img_resolution=64, shape=torch.Size([3, 4]),
                         dtype=torch.float16, device=torch.device("cpu"), scale=np.float32(0.25), seen={1, 2},
                         raw=b"ab", nested=[EasyDict(a=(1, None, True))]).eval().requires_grad_(False)
data = dict(G=make(), D=Dense(3, 4), G_ema=make(), training_set_kwargs=EasyDict(path="set.zip", use_labels=False),
            augment_pipe=None)
for protocol, persistence.WRAP in ((2, EasyDict), (3, EasyDict), (4, dict), (5, dict)):
    with open(f"network-{protocol}.pkl", "wb") as file:
        pickle.dump(data, file, protocol)
torch.save({name: data[name].state_dict() for name in ("G", "D", "G_ema")}, "expected.pt")
"""


class Written(NamedTuple):
    folder: Path
    path: Path
    expected: dict[str, dict[str, torch.Tensor]]
    marker: Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("nvlabs")
    marker = folder / "executed"
    for package, name, source in (("dnnlib", "util", EASY_DICT), ("torch_utils", "persistence", PERSISTENCE)):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("")
        (folder / package / f"{name}.py").write_text(source)
    (folder / "torch_utils" / "persistence.py.src").write_text(f"open({str(marker)!r}, 'w').close()\n")
    (folder / "writer.py").write_text(WRITER)
    done = subprocess.run([sys.executable, "-B", "writer.py"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = torch.load(folder / "expected.pt", weights_only=True)  # noqa: TID251 (this test's own file)
    return Written(folder, folder / "network-4.pkl", expected, marker)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def hold_equal(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert list(state) == list(expected)
    for name, tensor in state.items():
        assert type(tensor) is torch.Tensor
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name]), name


def test_every_tensor_comes_out_as_the_module_itself_would_give_it(written: Written) -> None:
    records = read_records(written.path)
    assert list(records) == ["G", "D", "G_ema"]
    for name, record in records.items():
        hold_equal(record.state_dict(), written.expected[name])


def test_a_record_tells_what_the_module_was_called_with_and_what_it_holds(written: Written) -> None:
    generator = read_records(written.path)["G_ema"]
    assert (generator.class_name, generator.args) == ("Generator", (6,))
    kwargs = generator.kwargs
    assert kwargs["img_resolution"] == 64
    assert type(kwargs["mapping_kwargs"]) is dict
    assert kwargs["mapping_kwargs"] == {"num_layers": 2}
    assert kwargs["nested"] == [{"a": (1, None, True)}]
    assert kwargs["shape"] == torch.Size([3, 4])
    assert (kwargs["dtype"], kwargs["device"]) == (torch.float16, torch.device("cpu"))
    assert (kwargs["scale"], kwargs["seen"], kwargs["raw"]) == (0.25, {1, 2}, b"ab")
    assert list(generator.children) == ["mapping", "layers", "torgb"]
    assert generator.attributes["sizes"] == [4, 8]
    dense = generator.children["mapping"].children["fc1"]
    assert (dense.class_name, dense.kwargs) == ("Dense", {"activation": "lrelu", "lr_multiplier": 0.01})
    assert generator.children["torgb"].attributes["activation"] == "linear"  # a default, of which kwargs say nothing
    first, second = generator.children["layers"].children.values()
    assert (first.class_name, second.class_name) == ("Layer", "Sequential")
    assert first.attributes["cutoff"] == 1.5
    np.testing.assert_array_equal(first.attributes["in_size"], [4, 4])
    np.testing.assert_array_equal(first.attributes["big"], np.arange(6).reshape(2, 3).T)
    assert "passing" not in first.tensors
    assert second.children["0"].attributes["kernel_size"] == (1, 1)


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_every_protocol_of_pickle_gives_the_same(written: Written, protocol: int) -> None:
    records = read_records(written.folder / f"network-{protocol}.pkl")
    assert records["G"].kwargs == read_records(written.path)["G"].kwargs
    for name, expected in written.expected.items():
        hold_equal(records[name].state_dict(), expected)


def test_the_source_that_travels_in_the_file_is_never_run(written: Written) -> None:
    assert str(written.marker).encode() in written.path.read_bytes()
    read_records(written.path)
    assert not written.marker.exists()
    assert not {"dnnlib", "torch_utils", "torch_utils.persistence"} & set(sys.modules)


# Forged files


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module: str, function: str) -> bytes:
    return text(module) + text(function) + b"\x93"


def blob(data: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(data)) + data


def network(state: bytes, before: bytes = b"") -> bytes:
    """A pickle of {"G": a persistent object with this pickled state}."""
    return b"\x80\x04" + before + b"}" + text("G") + persistent(state) + b"s."


def persistent(state: bytes) -> bytes:
    rebuild = name("torch_utils.persistence", "_reconstruct_persistent_obj")
    meta = b"}(" + text("type") + text("class") + text("class_name") + text("N") + text("state") + state + b"u"
    return rebuild + meta + b"\x85R"


def refusal(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "forged.pkl"
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        read_records(path)
    path.unlink()
    message = str(caught.value)
    assert message.count("\n") == 0
    assert message.endswith(".")
    return message


def test_the_pieces_that_forge_files_make_a_readable_one(tmp_path: Path) -> None:
    path = tmp_path / "plain.pkl"
    path.write_bytes(network(b"}"))
    record = read_records(path)["G"]
    assert (record.class_name, record.state_dict()) == ("N", {})


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("torch", "load"),
        ("torch.nn.modules", "os.system"),
        ("torch.hub", "load"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("dnnlib.util", "open_url"),
        ("torch_utils", "persistence.exec"),
        ("torch_utils.persistence", "_src_to_module"),
        ("collections", "OrderedDict.fromkeys"),
    ],
)
def test_a_name_that_no_network_needs_is_told_and_not_looked_up(
    tmp_path: Path, marker: Path, module: str, function: str
) -> None:
    for called in (name(module, function), f"c{module}\n{function}\n".encode()):
        data = network(b"}" + text("x") + called + text(f"touch {marker}") + b"\x85Rs")
        message = refusal(tmp_path, data)
        if module != "torch.nn.modules":  # modules of torch.nn are records by any name, and take no arguments
            assert f"'{module}.{function}'" in message
    assert not marker.exists()


def test_a_reduce_of_os_system_as_pickle_itself_writes_it_runs_nothing(tmp_path: Path, marker: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (Path(marker),)

    for protocol in range(2, 6):
        message = refusal(tmp_path, pickle.dumps({"G": Hostile()}, protocol))
        assert "asks for 'pathlib.Path.touch'" in message or "asks for 'builtins.getattr'" in message
    assert not marker.exists()


def test_a_tensorflow_pickle_is_told_apart(tmp_path: Path) -> None:
    assert "TensorFlow network" in refusal(tmp_path, b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81.")


def test_what_the_table_gives_out_cannot_be_changed(tmp_path: Path) -> None:
    easy, rebuild = name("dnnlib.util", "EasyDict"), name("torch_utils.persistence", "_reconstruct_persistent_obj")
    for target in (easy, rebuild, name("torch", "float32"), name("numpy", "ndarray"), b"]", b"N", text("t")):
        for state in (b"}" + text("state_dict") + easy + b"s", b"N}" + text("__code__") + easy + b"s\x86"):
            assert "forged" in refusal(tmp_path, b"\x80\x04" + target + state + b"b.")
    for target in (b"K\x01", rebuild, easy):
        assert "forged" in refusal(tmp_path, b"\x80\x04" + target + b"}\x92.")
        assert "forged" in refusal(tmp_path, b"\x80\x04" + target + b"K\x01\x85\x81.")


def storage(
    numbers: bytes, *, count: int | None = None, kind: bytes = b"ctorch\nFloatStorage\n", last: bytes = b"N"
) -> bytes:
    count = len(numbers) // 4 if count is None else count
    key = text("7")
    identity = (
        b"\x80\x02(" + text("storage") + kind + key + text("cpu") + b"J" + struct.pack("<i", count) + last + b"tQ."
    )
    head = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
    return head + identity + b"\x80\x02]" + key + b"a." + struct.pack("<q", count) + numbers


def tensor(payload: bytes, *, offset: int = 0, size: bytes = b"K\x02\x85", stride: bytes = b"K\x01\x85") -> bytes:
    load = name("torch.storage", "_load_from_bytes") + blob(payload) + b"\x85R"
    place = b"J" + struct.pack("<i", offset) + size + stride
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + load + place + b"\x89}tR"


def buffers(value: bytes) -> bytes:
    return b"}" + text("_buffers") + b"}" + text("b") + value + b"ss"


TWO = struct.pack("<2f", 1, 2)


def test_a_forged_tensor_is_readable_when_it_is_right(tmp_path: Path) -> None:
    path = tmp_path / "plain.pkl"
    path.write_bytes(network(buffers(tensor(storage(TWO)))))
    assert read_records(path)["G"].state_dict()["b"].tolist() == [1, 2]


def test_a_storage_is_decoded_and_not_loaded(tmp_path: Path, marker: Path) -> None:
    hostile = f"\x80\x02cos\nsystem\nX{chr(len(f'touch {marker}'))}\0\0\0touch {marker}\x85R.".encode("latin1")
    zipped = io.BytesIO()
    torch.save({"a": torch.ones(1)}, zipped)
    head = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    faults = {
        hostile: "os.system",
        head + hostile: "os.system",
        storage(TWO, kind=b"cos\nsystem\n"): "os.system",
        storage(TWO, kind=b"ctorch.storage\n_load_from_bytes\n"): "_load_from_bytes",
        zipped.getvalue(): "damaged",
        b"": "damaged",
        head: "damaged",
        storage(TWO)[:-1]: "shorter or longer",
        storage(TWO) + b"x": "shorter or longer",
        storage(TWO, count=1 << 30): "shorter or longer",
        storage(TWO, count=-1): "no number",
        storage(TWO, last=b"K\x01"): "unknown kind",
        storage(TWO, kind=b"N"): "unknown kind",
    }
    for payload, fault in faults.items():
        assert fault in refusal(tmp_path, network(buffers(tensor(payload))))
    assert not marker.exists()


def test_a_tensor_cannot_reach_outside_its_storage_or_grow(tmp_path: Path) -> None:
    huge = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
    for forged in (
        tensor(storage(TWO), offset=1),
        tensor(storage(TWO), offset=-1),
        tensor(storage(TWO), size=b"K\x03\x85"),
        tensor(storage(TWO), stride=b"K\x02\x85"),
        tensor(storage(TWO), size=b"K\x02K\x02\x86"),
        tensor(storage(TWO), size=huge + b"\x85", stride=b"K\x00\x85"),
        tensor(storage(TWO), size=huge + huge + b"\x86", stride=huge + huge + b"\x86"),
        tensor(storage(TWO), size=b"N"),
        tensor(storage(TWO), size=text("2")),
    ):
        assert "forged" in refusal(tmp_path, network(buffers(forged)))


def test_an_array_of_objects_or_of_another_length_is_refused(tmp_path: Path) -> None:
    def array(code: str, data: bytes) -> bytes:
        made = name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
        dtype = (
            name("numpy", "dtype")
            + text(code)
            + b"\x89\x88\x87R(K\x03"
            + text("<")
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        )
        return made + b"(K\x01K\x02\x85" + dtype + b"\x89" + data + b"tb"

    path = tmp_path / "array.pkl"
    path.write_bytes(network(b"}" + text("a") + array("f4", blob(TWO)) + b"s"))
    assert read_records(path)["G"].attributes["a"].tolist() == [1, 2]
    for code, data in (("O8", b"]"), ("f4", b"]"), ("f4", blob(TWO * 2)), ("V8", blob(TWO)), ("f4", text("ab"))):
        assert "forged" in refusal(tmp_path, network(b"}" + text("a") + array(code, data) + b"s"))


def bounded(tmp_path: Path, data: bytes, megabytes: int = 64) -> str:
    """The refusal, which took neither long nor much memory."""
    tracemalloc.start()
    begun = time.perf_counter()
    try:
        message = refusal(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < megabytes << 20
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - begun < 20
    return message


def test_depth_is_no_danger(tmp_path: Path) -> None:
    lists, tuples = b"]" * 20_000 + b"a" * 19_999, b"N" + b"\x85" * 30_000
    for deep in (lists, tuples):
        keywords = b"}" + text("_init_kwargs") + b"}" + text("x") + deep + b"ss"
        assert "more than plain values" in bounded(tmp_path, network(keywords))
        assert "without networks" in bounded(tmp_path, b"\x80\x04" + deep + b".")
    assert "a tuple is a key" in bounded(tmp_path, b"\x80\x04}" + tuples + b"Ns.")
    nested = b"}"
    for _ in range(100):
        nested = b"}" + text("_modules") + b"}" + text("m") + persistent(nested) + b"ss"
    assert "modules inside modules" in bounded(tmp_path, network(nested))


def test_sharing_does_not_multiply(tmp_path: Path) -> None:
    before = persistent(b"}") + b"r\x00\x00\x00\x000"
    for level in range(60):
        here, above = (struct.pack("<I", index) for index in (level, level + 1))
        both = b"}(" + text("a") + b"j" + here + text("b") + b"j" + here + b"u"
        before += persistent(b"}" + text("_modules") + both + b"s") + b"r" + above + b"0"
    modules = b"}" + text("_modules") + b"}" + text("m") + b"j" + struct.pack("<I", 60) + b"ss"
    assert "modules inside modules" in bounded(tmp_path, network(modules, before))

    lists = b"]q\x00" + b"".join(b"0](h\x00h\x00eq\x00" for _ in range(25))
    assert "unfolds" in bounded(tmp_path, network(b"}" + text("_init_kwargs") + b"}" + text("x") + lists + b"ss"))

    load = name("torch.storage", "_load_from_bytes")
    again = load + b"q\x000" + blob(storage(bytes(4 << 20))) + b"q\x010" + b"h\x00h\x01\x85R0" * 1_000
    assert "unfolds" in bounded(tmp_path, network(b"}", again))

    sets = name("builtins", "set") + b"q\x000](" + b"K\x01" * 10_000 + b"eq\x010" + b"h\x00h\x01\x85R0" * 1_000
    assert "unfolds" in bounded(tmp_path, network(b"}", sets))


def test_large_numbers_in_opcodes_allocate_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "memo.pkl"
    path.write_bytes(network(b"}", b"Nr\xff\xff\xff\xff0"))  # a memo of 2**32 entries, were it a table
    tracemalloc.start()
    read_records(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    for opcode in (b"\x8e", b"\x8d", b"\x96"):
        assert "cut short" in bounded(tmp_path, b"\x80\x04" + opcode + struct.pack("<Q", 1 << 50) + b"abc.")
    assert "cut short" in bounded(tmp_path, b"\x80\x04\x8b\xff\xff\xff\x7fabc.")
    monkeypatch.setattr(persistent_records, "_MOST_OPCODES", 1_000)
    assert "more than 1000 opcodes" in bounded(tmp_path, b"\x80\x04" + b"N0" * 1_000 + b".")


def test_a_file_cut_short_anywhere_is_told(written: Written, tmp_path: Path) -> None:
    data = written.path.read_bytes()
    for length in [*range(1, 60), *range(60, len(data) - 1, len(data) // 40), len(data) - 1]:
        message = refusal(tmp_path, data[:length])
        assert "cut short" in message or "without networks" in message


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04....", "as torch.save writes it"),
        (b"\x00\x01\x02 nothing", "no pickle at all"),
        (b"\x80\x04N.", "without networks"),
        (b"\x80\x04}.", "without networks"),
        (b"\x80\x04}K\x01K\x02s.", "without networks"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path: Path, data: bytes, fault: str) -> None:
    assert fault in refusal(tmp_path, data)


def test_a_folder_and_a_missing_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it is a folder"):
        read_records(tmp_path)
    with pytest.raises(CheckpointError, match="there is no such file"):
        read_records(tmp_path / "none.pkl")


def test_whatever_byte_is_changed_the_answer_is_records_or_one_sentence(written: Written, tmp_path: Path) -> None:
    data, path, draw = written.path.read_bytes(), tmp_path / "changed.pkl", random.Random(0)
    refused = 0
    for _ in range(400):
        changed = bytearray(data)
        for _ in range(draw.choice((1, 1, 3, 10))):
            place = draw.randrange(len(changed))
            kind = draw.random()
            if kind < 0.6:
                changed[place] = draw.randrange(256)
            elif kind < 0.8:
                del changed[place : place + draw.randrange(1, 9)]
            else:
                changed[place:place] = changed[draw.randrange(len(changed)) :][: draw.randrange(1, 40)]
        path.write_bytes(changed)
        try:
            for record in read_records(path).values():
                assert isinstance(record, Record)
                record.state_dict()
        except CheckpointError:
            refused += 1
    assert refused > 50
    assert list(tmp_path.iterdir()) == [path]
    assert not written.marker.exists()
