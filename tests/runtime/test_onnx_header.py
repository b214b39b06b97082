"""The header of an ONNX file as ganrt reads it, against the onnx package, which is the oracle."""

import random

import onnx
import pytest
import tiny
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from ganrt import GanrtError, NotABundle
from ganrt.onnx_header import read_onnx_header
from ganrt.spec import Port

NAMES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16"}
NAMES |= {11: "float64", 16: "bfloat16"}


def ports(values):
    """What the onnx package says of graph inputs or outputs."""
    found = []
    for value in values:
        tensor = value.type.tensor_type
        sizes = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim)
        dtype = NAMES.get(tensor.elem_type, f"type {tensor.elem_type}")
        found.append(Port(value.name, dtype if tensor.HasField("elem_type") else "", sizes))
    return tuple(found)


def tensors(message):
    """Every TensorProto anywhere inside a message."""
    if isinstance(message, TensorProto):
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                yield from tensors(inner)


def points_outside(model):
    return any(tensor.external_data or tensor.data_location == TensorProto.EXTERNAL for tensor in tensors(model))


@pytest.mark.parametrize("name", tiny.SPECS)
def test_ports_are_those_that_the_onnx_package_reads(name):
    spec = tiny.SPECS[name]
    model = tiny.model(spec)
    header = read_onnx_header(model.SerializeToString(), "it")
    assert header.inputs == ports(model.graph.input) == spec.input_ports()
    assert header.outputs == ports(model.graph.output) == spec.output_ports()
    assert header.metadata == {}
    assert not header.external_data


def test_metadata_is_read():
    model = tiny.model(tiny.SPECS["table"])
    helper.set_model_props(model, {"ganrt.spec": "{}", "ä": "ö", "empty": ""})
    assert read_onnx_header(model.SerializeToString(), "it").metadata == {"ganrt.spec": "{}", "ä": "ö", "empty": ""}


def test_an_initializer_that_is_also_an_input_need_not_be_given():
    model = tiny.model(tiny.SPECS["table"])  # before IR version 4 every initializer was an input too
    model.graph.input.append(helper.make_tensor_value_info("inner", TensorProto.FLOAT, [6, 12]))
    assert [port.name for port in read_onnx_header(model.SerializeToString(), "it").inputs] == ["z"]


@pytest.mark.parametrize(("code", "dtype"), NAMES.items())
def test_each_type_has_its_name(code, dtype):
    graph = helper.make_graph([], "g", [helper.make_tensor_value_info("x", code, [None, 2])], [])
    header = read_onnx_header(helper.make_model(graph).SerializeToString(), "it")
    assert header.inputs == (Port("x", dtype, (None, 2)),)


def test_a_type_that_no_spec_knows_is_told_by_its_number():
    graph = helper.make_graph([], "g", [helper.make_tensor_value_info("x", TensorProto.STRING, [None])], [])
    assert read_onnx_header(helper.make_model(graph).SerializeToString(), "it").inputs[0].dtype == "type 8"


def test_a_word_on_what_an_input_denotes_is_no_fault():
    model = tiny.model(tiny.SPECS["table"])
    model.graph.input[0].type.denotation = "IMAGE"
    model.graph.input[0].type.tensor_type.shape.dim[1].denotation = "DATA_FEATURE"
    assert read_onnx_header(model.SerializeToString(), "it").inputs == tiny.SPECS["table"].input_ports()


def test_a_negative_size_reads_as_one():
    model = tiny.model(tiny.SPECS["table"])
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -1
    assert read_onnx_header(model.SerializeToString(), "it").inputs[0].shape == (None, -1)


def test_a_size_given_twice_is_refused():
    def message(number, *parts):
        body = b"".join(parts)
        return bytes([number << 3 | 2, len(body)]) + body

    def model(dimension):
        tensor = message(1, b"\x08\x01", message(2, message(1, dimension)))  # elem_type, shape
        return message(7, message(11, message(1, b"z"), message(2, tensor)))

    assert read_onnx_header(model(b"\x08\x05"), "it").inputs == (Port("z", "float32", (5,)),)
    for dimension in (b"\x08\x05\x08\x06", b"\x08\x05\x12\x01n"):  # two numbers; a number and a name
        with pytest.raises(NotABundle, match="a size given twice"):
            read_onnx_header(model(dimension), "it")


def rich():
    """A model with something in every place where the header reader looks."""
    model = tiny.model(tiny.SPECS["conditional"])
    helper.set_model_props(model, {"ganrt.spec": "{}"})
    branch = helper.make_graph([], "branch", [], [], [helper.make_tensor("w", 1, [1], [1.0])])
    value = helper.make_tensor("c", 1, [1], [1.0])
    sparse = helper.make_sparse_tensor(value, helper.make_tensor("i", 7, [1], [0]), [4])
    model.graph.node.append(helper.make_node("If", ["c"], ["x"], then_branch=branch, else_branch=branch))
    model.graph.node.append(helper.make_node("Constant", [], ["s"], sparse_value=sparse))
    model.graph.node.append(helper.make_node("Constant", [], ["t"], value=value))
    model.graph.sparse_initializer.append(sparse)
    node = helper.make_node("Constant", [], ["c"], value=value)
    model.functions.append(helper.make_function("local", "f", [], ["c"], [node], [helper.make_opsetid("", 17)]))
    model.training_info.add().algorithm.initializer.append(value)
    outside = model.graph.initializer.add(name="outside", data_type=1, dims=[1], data_location=TensorProto.DEFAULT)
    outside.ClearField("data_location")
    for tensor in [*model.graph.initializer, *tensors(model.functions[0])]:
        if len(tensor.raw_data) > 16:  # keep what is mutated to the structure, not the weights
            tensor.raw_data = tensor.raw_data[:8]
    return model.SerializeToString()


INTERESTING = bytes([0, 1, 2, 5, 8, 0x0A, 0x12, 0x2A, 0x3A, 0x5A, 0x62, 0x6A, 0x70, 0x72, 0x7A, 0x7F, 0x80, 0xFF])


def mutate(data, chance):
    """One to three changes of a byte, a stretch, or a field pasted where another was."""
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 3])):
        at, length = chance.randrange(len(data)), chance.choice([1, 1, 2, 4, 16])
        match chance.randrange(6):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at] = chance.choice(INTERESTING)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = chance.choice(
                    [b"\x70\x01", b"\x6a\x00", b"\x3a\x00", b"\x80", bytes([chance.randrange(256)])]
                )
            case 4:
                other = chance.randrange(len(data))
                data[at : at + length] = data[other : other + length]
            case 5:
                del data[at:]
        data = data or bytearray(1)
    return bytes(data)


def hold(data):
    """Reads `data`, and where the onnx package reads it too, holds the header to what that saw.
    Returns 2 where both read it, 1 where ganrt alone did, 0 where ganrt refused it."""
    try:
        header = read_onnx_header(data, "it")
    except GanrtError:
        return 0
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError):
        return 1
    assert header.external_data or not points_outside(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    assert header.inputs == tuple(port for port in ports(model.graph.input) if port.name not in constants)
    assert header.outputs == ports(model.graph.output)
    assert header.metadata == {entry.key: entry.value for entry in model.metadata_props}
    return 2


def fuzz(seed, count):
    whole = [rich(), *(tiny.model(spec).SerializeToString() for spec in tiny.SPECS.values())]
    chance = random.Random(seed)
    seen = [0, 0, 0]
    for number in range(count):
        data = mutate(chance.choice(whole[:1] * 7 + whole[1:]), chance)
        try:
            seen[hold(data)] += 1
        except Exception as problem:
            raise AssertionError(f"mutation {number} of seed {seed}: {data!r}") from problem
    assert min(seen[0], seen[2]) > count // 20, "mutations must be refused often and accepted often"


def test_a_mutated_model_is_refused_or_read_as_the_onnx_package_reads_it():
    fuzz(seed=1, count=1500)


@pytest.mark.slow
def test_fifty_thousand_mutated_models_are_refused_or_read_as_the_onnx_package_reads_them():
    fuzz(seed=random.SystemRandom().randrange(1 << 32), count=50_000)


def test_random_bytes_are_refused():
    chance = random.Random(3)
    for size in range(200):
        with pytest.raises(NotABundle, match=r"^it is not an ONNX model, or is damaged: "):
            read_onnx_header(chance.randbytes(size), "it")
