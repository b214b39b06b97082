"""The forms of whole networks, as the exporter writes them: ports, numbers, sizes, choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rewrite_case import assert_near, run
from rewrite_case import operations as nodes
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt import backends
from ganrt.errors import ArgumentError
from ganrt.latents import Draws
from ganrt.onnx_header import read_onnx_header
from ganrt.spec import Audio, Image, Label, Latent, Signal, Spec
from ganrt_export.export import example_tensors
from ganrt_export.families.resnet_gan import BigGAN, BigGANSizes
from ganrt_export.half_weights import round_weights
from ganrt_export.optimize import forms, operations
from ganrt_export.optimize.enlarge import layers
from ganrt_export.optimize.forms import choose_forms, rewritten
from ganrt_export.optimize.measure import alone, costs
from ganrt_export.optimize.upsampling import FORMS
from ganrt_export.signature import Call, Flat
from ganrt_export.to_onnx import export_onnx, finish
from ganrt_export.trace import attempts


def filled(module: nn.Module) -> nn.Module:
    """Norms with statistics of their own."""
    torch.manual_seed(1)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                for values in (part.weight, part.running_var):
                    values.uniform_(0.5, 2)
                for values in (part.bias, part.running_mean):
                    values.normal_()
    return module.eval().requires_grad_(False)


class Doubling(nn.Module):
    """Linear, norm, then every way of doubling that is written in the wild, each before a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 8 * 9)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3))
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, groups=g) for g in (1, 2, 8))
        self.scale = nn.Parameter(torch.full((8, 1, 1), 0.7))
        self.rgb = nn.Conv2d(8, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.norms[0](self.linear(z).reshape(-1, 8, 3, 3))
        x = self.convs[0](F.interpolate(x, scale_factor=2) * 0.31)
        x = F.leaky_relu(self.norms[1](x), 0.2) * 2**0.5
        x = self.convs[1](x.repeat_interleave(2, 2).repeat_interleave(2, 3) * self.scale)
        x = F.relu(self.norms[2](x))
        n, c, h, w = x.shape
        x = x.reshape(n, c, h, 1, w, 1).expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)
        x = F.leaky_relu(self.convs[2](x), 0.2)
        return self.rgb(F.interpolate(x, scale_factor=2, mode="nearest")).tanh()


class Transposed(nn.Module):
    """DCGAN."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [(6, 16, 1, 0), (16, 12, 2, 1), (12, 3, 2, 1)]
        self.convs = nn.ModuleList(nn.ConvTranspose2d(i, o, 4, s, p, bias=False) for i, o, s, p in sizes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(o) for _, o, _, _ in sizes[:2])

    def forward(self, z: Tensor) -> Tensor:
        x = z[:, :, None, None]
        for conv, norm in zip(self.convs, [*self.norms, None], strict=True):
            x = conv(x) if norm is None else F.relu(norm(conv(x)))
        return x.tanh()


class Sound(nn.Module):
    """Transposed convolutions of a signal of any length, as in HiFi-GAN."""

    def __init__(self) -> None:
        super().__init__()
        self.ups = nn.ModuleList([nn.ConvTranspose1d(4, 6, 8, 4, 2), nn.ConvTranspose1d(6, 1, 9, 3, 4, 1)])

    def forward(self, mel: Tensor) -> Tensor:
        for up in self.ups:
            mel = up(F.leaky_relu(mel, 0.1))
        return mel.tanh()


class Upscaler(nn.Module):
    """ESRGAN's tail, for pictures of any size, and a residual scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.up = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.inner, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        x = self.inner(F.leaky_relu(x, 0.2)) * 0.2 + x
        x = F.leaky_relu(self.up(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return self.last(x)


def exported(module: nn.Module, spec: Spec, *, half: bool = False) -> bytes:
    filled(module)
    module = round_weights(module) if half else module
    if not spec.signals:
        return export_onnx(module, spec, half_weights=half)
    ports, examples = spec.input_ports(), example_tensors(spec)
    names = [port.name for port in ports]
    call = Call(tuple(names), tuple(examples), tuple(examples), {})
    axes = [[axis for axis, size in enumerate(port.shape) if size is None] for port in ports]
    model = next(attempts(Flat(module, call), examples, names, [spec.output_ports()[-1].name], axes)).model
    assert model is not None
    return finish(model, spec, half_weights=half)


def picture(side: int) -> Image:
    return Image(height=side, width=side, channels=3)


BIGGAN = BigGANSizes(4, 5, 6, True, 4, (16, 16, 8), frozenset({0}), 3)
ANY = Image(height=None, width=None, channels=3, name="large", raw="large_float", low=0.0, high=1.0)
NETWORKS = {
    "doubling": (Doubling, Spec(inputs=(Latent(size=6),), output=picture(48))),
    "dcgan": (Transposed, Spec(inputs=(Latent(size=6),), output=picture(16))),
    "biggan": (lambda: BigGAN(BIGGAN), Spec(inputs=(Latent(size=18), Label(classes=4)), output=picture(16))),
    "sound": (
        Sound,
        Spec(inputs=(Signal(name="mel", kind="mel", shape=(4, None)),), output=Audio(length=None, sample_rate=8_000)),
    ),
    "upscaler": (Upscaler, Spec(inputs=(Signal(name="image", kind="image", shape=(3, None, None)),), output=ANY)),
}


@pytest.fixture(scope="module")
def graphs() -> dict[str, bytes]:
    torch.manual_seed(0)
    return {name: exported(make(), spec) for name, (make, spec) in NETWORKS.items()}


def feeds(spec: Spec, batch: int, size: int) -> dict[str, np.ndarray]:
    if not spec.signals:
        return Draws(spec, 3, 0, batch).feeds(0, batch)
    chance = np.random.default_rng(size)
    port = spec.input_ports()[0]
    shape = [batch, *(size + axis if extent is None else extent for axis, extent in enumerate(port.shape[1:]))]
    return {port.name: chance.standard_normal(shape).astype(np.float32)}


def assert_same_function(plain: bytes, made: bytes, spec: Spec, sizes: Sequence[int] = (5, 9)) -> None:
    """At every batch and size; the pixels are those of the graph's own raw output, to the bit."""
    for batch in (1, 2, 3, 8):
        for size in sizes if spec.signals else (0,):
            given_ = feeds(spec, batch, size)
            expected, found = run(plain, given_), run(made, given_)
            assert_near(found[-1], expected[-1], 1e-5)
            if len(found) > 1:
                assert found[0].dtype == np.uint8
                assert np.abs(found[0].astype(int) - expected[0].astype(int)).max() <= 1
                scale, offset = (127.5, 127.5) if spec.output.low == -1 else (255, 0)
                again = np.rint(found[1] * np.float32(scale) + np.float32(offset)).clip(0, 255).transpose(0, 2, 3, 1)
                np.testing.assert_array_equal(found[0], again.astype(np.uint8))


@pytest.mark.parametrize("form", [None, *FORMS])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_the_same_function_in_every_form(graphs, name: str, form: str | None) -> None:
    plain, spec = graphs[name], NETWORKS[name][1]
    made = rewritten(plain, lambda layer: form if form in layer.possible() else None).data
    assert_same_function(plain, made, spec)
    given_, found = (read_onnx_header(data, "a graph") for data in (plain, made))
    assert (given_.inputs, given_.outputs) == (found.inputs, found.outputs)
    assert onnx.load_from_string(plain).opset_import == onnx.load_from_string(made).opset_import
    onnx.checker.check_model(made, full_check=True)


def test_everything_that_can_fold_does(graphs) -> None:
    made = rewritten(graphs["doubling"], lambda layer: None if layer.kind == "narrow" else "transposed").data
    assert nodes(made) == {
        "Gemm": 1,
        "Reshape": 1,
        "ConvTranspose": 3,
        "LeakyRelu": 2,
        "Relu": 1,
        "Conv": 1,
        "Resize": 1,
        "Tanh": 1,
        "Mul": 1,
        "Add": 1,
        "Round": 1,
        "Transpose": 1,
        "Cast": 1,
    }
    made = rewritten(graphs["dcgan"], lambda _: None).data
    assert {name: count for name, count in nodes(made).items() if name in ("Gemm", "ConvTranspose", "Unsqueeze")} == {
        "Gemm": 1,
        "ConvTranspose": 2,
    }


def test_a_rewritten_graph_needs_no_further_rewriting(graphs) -> None:
    for plain in graphs.values():
        once = rewritten(plain, lambda _: "transposed")
        assert set(rewritten(once.data, lambda _: None).rewrites) <= {"nodes"}


def test_equal_graphs_give_equal_bytes(graphs) -> None:
    for plain in graphs.values():
        assert rewritten(plain, lambda _: "phases").data == rewritten(plain, lambda _: "phases").data


def test_by_count_nothing_computes_more_than_the_plain_graph(graphs) -> None:
    for name, plain in graphs.items():
        for form in forms(plain, "count").values():
            assert operations(form.data).multiply_adds <= operations(plain).multiply_adds
            assert_same_function(plain, form.data, NETWORKS[name][1])
    counted = forms(graphs["doubling"], "count")["counted"]
    assert operations(counted.data).multiply_adds < 0.6 * operations(graphs["doubling"]).multiply_adds
    assert set(counted.layers.values()) == {"transposed", ""}  # the last layer, to three channels, stays


def test_off_is_off_and_an_unknown_mode_is_refused(graphs) -> None:
    assert forms(graphs["dcgan"], "off") == {}
    with pytest.raises(ArgumentError, match="measure, count, off"):
        forms(graphs["dcgan"], "on")  # type: ignore[arg-type]


def test_a_graph_that_nothing_applies_to_has_no_other_form() -> None:
    plain = exported(Plain(), Spec(inputs=(Latent(size=4),), output=Audio(length=6, sample_rate=8_000)))
    assert forms(plain, "count") == {}
    assert forms(plain, "measure") == {}


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 6)

    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z).tanh().reshape(-1, 1, 6)


@pytest.mark.parametrize("name", ["doubling", "dcgan"])
def test_half_weights_stay_exact_and_half_where_they_can(name: str) -> None:
    make, spec = NETWORKS[name]
    torch.manual_seed(0)
    plain = exported(make(), spec, half=True)
    assert nodes(plain)["Cast"] > 1
    for form in FORMS:
        made = rewritten(plain, lambda layer, form=form: form if form in layer.possible() else None).data
        assert_same_function(plain, made, spec)


def test_rearranged_half_weights_are_stored_in_half() -> None:
    make, spec = NETWORKS["dcgan"]
    torch.manual_seed(0)
    plain = exported(make(), spec, half=True)
    made = rewritten(plain, lambda _: "phases").data
    stored = [one for one in onnx.load_from_string(made).graph.initializer if one.data_type == onnx.TensorProto.FLOAT16]
    assert [tuple(one.dims) for one in stored] == [(12, 12, 2, 2)]  # behind the others are norms: scaled weights


def test_operations_are_counted_for_one_sample(graphs) -> None:
    dcgan = operations(graphs["dcgan"])
    assert dcgan.multiply_adds == 6 * 16 * 16 + 16 * 12 * 16 * 16 + 12 * 3 * 16 * 64
    assert dcgan.nodes["ConvTranspose"] == 3
    upscaler = operations(graphs["upscaler"], extent=10)
    assert upscaler.multiply_adds == 9 * (100 * (3 * 8 + 64) + 400 * (64 + 24))


# ---------------------------------------------------------------------------------------------------------- choosing


ENGINES = [name for name in ("onnxruntime", "openvino") if backends.available(name)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_layer_alone_is_timed_in_every_form(graphs, engine: str) -> None:
    found = []
    rewritten(graphs["sound"], lambda layer: found.append((layer, costs(layer, engine, extent=16))))  # type: ignore[func-returns-value]
    assert len(found) == 2
    for layer, table in found:
        assert set(table) == {None, *layer.possible()}
        assert all(0 < seconds < 1 for seconds in table.values())


def test_a_layer_alone_is_the_same_function_in_every_form(graphs) -> None:
    seen = []

    def compare(layer) -> None:
        channels = layer.what.kernel.shape[0] * layer.what.kernel.shape[1]
        sizes = [size or 7 for size in layer.extent]
        x = np.random.default_rng(0).standard_normal((2, channels, *sizes)).astype(np.float32)
        (expected,) = run(alone(layer, None), {"x": x})
        for form in layer.possible():
            assert_near(run(alone(layer, form), {"x": x})[0], expected, 1e-5)
            seen.append(form)

    for plain in graphs.values():
        rewritten(plain, compare)
    assert set(seen) == set(FORMS)


@pytest.mark.skipif(not ENGINES, reason="no engine is installed")
def test_measuring_gives_one_to_three_forms_of_the_same_function(graphs) -> None:
    told: list[str] = []
    found = forms(graphs["dcgan"], "measure", engines=ENGINES, progress=told.append)
    assert 1 <= len(found) <= 3
    assert set(found) <= {"folded", "measured", *(f"for_{engine}" for engine in ENGINES)}
    assert told
    for form in found.values():
        assert set(form.layers.values()) <= {"", "phases", "shuffled", "woven"}
        assert_same_function(graphs["dcgan"], form.data, NETWORKS["dcgan"][1])


def test_engines_that_agree_share_one_graph() -> None:
    a = {"x": {None: 1.0, "phases": 0.5}, "y": {None: 1.0, "phases": 1.5}}
    b = {"x": {None: 2.0, "phases": 1.5}, "y": {None: 2.0, "phases": 2.5}}
    assert choose_forms({"a": a, "b": b}, {"x": None, "y": None}) == {"measured": {"x": "phases", "y": None}}


def test_an_engine_that_a_form_suits_badly_has_a_graph_of_its_own() -> None:
    a = {"x": {None: 1.0, "phases": 0.2, "shuffled": 0.9}}
    b = {"x": {None: 1.0, "phases": 2.0, "shuffled": 0.9}}
    assert choose_forms({"a": a, "b": b}, {"x": None}) == {"measured": {"x": "phases"}, "b": {"x": "shuffled"}}


def test_noise_chooses_nothing() -> None:
    times = {"a": {"x": {None: 1.0, "phases": 0.96}}}
    assert choose_forms(times, {"x": None}) == {"measured": {"x": None}}
    assert choose_forms(times, {"x": "phases"}) == {"measured": {"x": "phases"}}


def test_what_was_not_measured_gets_the_usual_form() -> None:
    assert choose_forms({"a": {"x": {}}}, {"x": "transposed"}) == {"measured": {"x": "transposed"}}


def test_an_engine_that_does_not_run_a_layer_alone_has_no_say() -> None:
    assert choose_forms({"a": {"x": {None: 1.0, "phases": 0.5}}, "b": {"x": {}}}, {"x": None}) == {
        "measured": {"x": "phases"}
    }


@settings(max_examples=60)
@given(
    tables=st.dictionaries(
        st.sampled_from(["a", "b", "c", "d"]),
        st.fixed_dictionaries(
            {
                layer: st.fixed_dictionaries({form: st.floats(0.1, 10) for form in (None, *FORMS)})
                for layer in ("x", "y", "z")
            }
        ),
        min_size=1,
    )
)
def test_every_choice_is_possible_and_there_are_at_most_three(tables) -> None:
    found = choose_forms(tables, dict.fromkeys("xyz"))
    assert 1 <= len(found) <= 3
    for name, picks in found.items():
        assert set(picks) == {"x", "y", "z"}
        if name != "measured":  # it is clearly faster there
            own, common = (
                sum(tables[name][layer][one[layer]] for layer in picks) for one in (picks, found["measured"])
            )
            assert own < 0.93 * common


def test_layers_are_found_once_each(graphs) -> None:
    import onnx_ir as ir

    model = ir.from_proto(onnx.load_from_string(graphs["dcgan"]))
    assert len(list(layers(model.graph))) == 2
