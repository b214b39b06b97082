"""StyleGAN2 from three layouts, held to the paper's own form: a kernel of its own for every sample, in float64.

The references below share no code with the networks: weights are modulated, demodulated and applied sample by sample
(arXiv:1912.04958, section 2.2), and pictures are sampled up by inserting zeros and filtering.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganrt import backends
from ganrt.backends.base import Graph, Options
from ganrt.errors import CheckpointError
from ganrt.latents import Draws, draw
from ganrt.spec import Image, Label, Latent, Truncation
from ganrt_export.families import stylegan2
from ganrt_export.families.base import Loaded
from ganrt_export.reference import evaluate
from ganrt_export.to_onnx import export_onnx

State = dict[str, Tensor]
Z, W, CLASSES = 6, 10, 3
WIDTHS = (12, 8, 7, 5, 4)  # features at 4, 8, 16, 32, 64
FIR = torch.tensor([[1.0, 3, 2, 1], [2, 8, 9, 2], [3, 9, 7, 3], [1, 3, 4, 2]])  # not symmetric: a wrong flip shows


# ---- the paper's form ----


def modulated(
    x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool = True, fir: Tensor | None = None
) -> Tensor:
    """One sample: x [1, in, h, w], weight [out, in, k, k], style [in]; with a filter, convolution at twice the size."""
    kernel = weight * style[None, :, None, None]
    if demodulate:
        kernel = kernel / torch.sqrt(kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8)
    if fir is None:
        return F.conv2d(x, kernel, padding=kernel.shape[-1] // 2)
    return F.conv2d(sampled_up(x, fir, 3, 2), kernel.flip(2, 3))


def sampled_up(image: Tensor, fir: Tensor, before: int, after: int) -> Tensor:
    """Zeros between the pixels, zeros around, true convolution with the filter."""
    _, channels, height, width = image.shape
    wide = image.new_zeros(1, channels, 2 * height, 2 * width)
    wide[:, :, ::2, ::2] = image
    wide = F.pad(wide, (before, after, before, after))
    return torch.cat([F.conv2d(wide[:, i : i + 1], fir.flip(0, 1)[None, None]) for i in range(channels)], dim=1)


def normalized(x: Tensor) -> Tensor:
    return x / torch.sqrt(x.square().mean() + 1e-8)


def active(x: Tensor, clamp: float = math.inf) -> Tensor:
    return (torch.where(x > 0, x, 0.2 * x) * math.sqrt(2)).clamp(-clamp, clamp)


def equalized(state: State, name: str, x: Tensor, multiplier: float = 1.0) -> Tensor:
    weight = state[f"{name}.weight"]
    return (weight / math.sqrt(weight.shape[1]) @ x + state[f"{name}.bias"]) * multiplier


# ---- rosinality ----


def rosinality_state(resolution: int, rng: torch.Generator) -> State:
    state: State = {"input.input": normal(rng, 1, WIDTHS[0], 4, 4)}
    for n in range(1, 4):
        state |= {f"style.{n}.weight": 100 * normal(rng, W, W), f"style.{n}.bias": 30 * normal(rng, W)}

    def modulation(name: str, features: int) -> State:
        return {f"{name}.weight": normal(rng, features, W), f"{name}.bias": 1 + normal(rng, features)}

    def layer(name: str, inputs: int, outputs: int, size: int) -> None:
        state.update(modulation(f"{name}.conv.modulation", inputs))
        state[f"{name}.conv.weight"] = normal(rng, 1, outputs, inputs, 3, 3)
        state[f"{name}.noise.weight"], state[f"{name}.activate.bias"] = normal(rng, 1), normal(rng, outputs)
        index = 0 if name == "conv1" else int(name.split(".")[1]) + 1
        state[f"noises.noise_{index}"] = normal(rng, 1, 1, size, size)

    def to_rgb(name: str, inputs: int) -> None:
        state.update(modulation(f"{name}.conv.modulation", inputs))
        state[f"{name}.conv.weight"], state[f"{name}.bias"] = normal(rng, 1, 3, inputs, 1, 1), normal(rng, 1, 3, 1, 1)

    layer("conv1", WIDTHS[0], WIDTHS[0], 4)
    to_rgb("to_rgb1", WIDTHS[0])
    for i, (inputs, outputs) in enumerate(itertools.pairwise(WIDTHS[: resolution.bit_length() - 2])):
        layer(f"convs.{2 * i}", inputs, outputs, 8 << i)
        layer(f"convs.{2 * i + 1}", outputs, outputs, 8 << i)
        to_rgb(f"to_rgbs.{i}", outputs)
        state[f"convs.{2 * i}.conv.blur.kernel"] = state[f"to_rgbs.{i}.upsample.kernel"] = FIR / FIR.sum() * 4
    return state


def rosinality_mapping(state: State, z: Tensor, _: Tensor | None) -> Tensor:
    x = normalized(z)
    for n in range(1, 4):
        x = active(equalized(state, f"style.{n}", x, 0.01))
    return x


def rosinality_synthesis(state: State, ws: Tensor) -> Tensor:
    def layer(name: str, index: int, x: Tensor, w: Tensor) -> Tensor:
        weight = state[f"{name}.conv.weight"][0]
        weight = weight / math.sqrt(weight[0].numel())
        fir = state.get(f"{name}.conv.blur.kernel")
        x = modulated(x, weight, equalized(state, f"{name}.conv.modulation", w), fir=fir)
        x = x + state[f"{name}.noise.weight"] * state[f"noises.noise_{index}"]
        return active(x + state[f"{name}.activate.bias"][:, None, None])

    def to_rgb(name: str, x: Tensor, w: Tensor) -> Tensor:
        weight = state[f"{name}.conv.weight"][0] / math.sqrt(x.shape[1])
        style = equalized(state, f"{name}.conv.modulation", w)
        return modulated(x, weight, style, demodulate=False) + state[f"{name}.bias"]

    x = layer("conv1", 0, state["input.input"], ws[0])
    image = to_rgb("to_rgb1", x, ws[1])
    for i in range(len(ws) // 2 - 1):
        x = layer(f"convs.{2 * i}", 2 * i + 1, x, ws[2 * i + 1])
        x = layer(f"convs.{2 * i + 1}", 2 * i + 2, x, ws[2 * i + 2])
        image = sampled_up(image, state[f"to_rgbs.{i}.upsample.kernel"], 2, 1) + to_rgb(
            f"to_rgbs.{i}", x, ws[2 * i + 3]
        )
    return image


# ---- NVlabs ----


def nvlabs_state(resolution: int, rng: torch.Generator, classes: int = 0) -> State:
    state: State = {"mapping.w_avg": normal(rng, W)}
    if classes:
        state |= {"mapping.embed.weight": normal(rng, 5, classes), "mapping.embed.bias": normal(rng, 5)}
    for n, (inputs, outputs) in enumerate(((Z + (5 if classes else 0), 9), (9, 9), (9, W))):
        state |= {
            f"mapping.fc{n}.weight": 100 * normal(rng, outputs, inputs),
            f"mapping.fc{n}.bias": 30 * normal(rng, outputs),
        }
    inputs = WIDTHS[0]
    for i, outputs in enumerate(WIDTHS[: resolution.bit_length() - 2]):
        block, size = f"synthesis.b{4 << i}", 4 << i
        state[f"{block}.resample_filter"] = FIR / FIR.sum()
        if i == 0:
            state[f"{block}.const"] = normal(rng, outputs, 4, 4)
        for name in ("conv0", "conv1") if i else ("conv1",):
            state |= {
                f"{block}.{name}.weight": normal(rng, outputs, inputs, 3, 3),
                f"{block}.{name}.noise_const": normal(rng, size, size),
                f"{block}.{name}.noise_strength": normal(rng),
                f"{block}.{name}.bias": normal(rng, outputs),
                f"{block}.{name}.affine.weight": normal(rng, inputs, W),
                f"{block}.{name}.affine.bias": 1 + normal(rng, inputs),
                f"{block}.{name}.resample_filter": FIR / FIR.sum(),
            }
            inputs = outputs
        state |= {
            f"{block}.torgb.weight": normal(rng, 3, outputs, 1, 1),
            f"{block}.torgb.bias": normal(rng, 3),
            f"{block}.torgb.affine.weight": normal(rng, outputs, W),
            f"{block}.torgb.affine.bias": 1 + normal(rng, outputs),
        }
    return state


def nvlabs_mapping(state: State, z: Tensor, label: Tensor | None) -> Tensor:
    x = normalized(z)
    if label is not None:
        x = torch.cat([x, normalized(equalized(state, "mapping.embed", label))])
    for n in range(3):
        x = active(equalized(state, f"mapping.fc{n}", x, 0.01))
    return x


def nvlabs_synthesis(state: State, ws: Tensor, clamp: float = math.inf) -> Tensor:
    x, image, used = state["synthesis.b4.const"][None], torch.zeros(1, 3, 2, 2, dtype=torch.float64), 0
    for i in range(len(ws) // 2):
        block = f"synthesis.b{4 << i}"
        for name in (f"{block}.conv0", f"{block}.conv1") if i else (f"{block}.conv1",):
            style = equalized(state, f"{name}.affine", ws[used])
            fir = 4 * state[f"{name}.resample_filter"] if name.endswith("conv0") else None
            x = modulated(x, state[f"{name}.weight"], style, fir=fir)
            x = x + state[f"{name}.noise_const"] * state[f"{name}.noise_strength"]
            x, used = active(x + state[f"{name}.bias"][:, None, None], clamp), used + 1
        style = equalized(state, f"{block}.torgb.affine", ws[used]) / math.sqrt(x.shape[1])
        rgb = modulated(x, state[f"{block}.torgb.weight"], style, demodulate=False)
        rgb = (rgb + state[f"{block}.torgb.bias"][:, None, None]).clamp(-clamp, clamp)
        image = sampled_up(image, 4 * state[f"{block}.resample_filter"], 2, 1) + rgb
    return image


def nvlabs_kwargs(resolution: int, classes: int = 0, **synthesis: Any) -> dict[str, Any]:
    sizes = {"z_dim": Z, "c_dim": classes, "w_dim": W, "img_resolution": resolution, "img_channels": 3}
    return {**sizes, "mapping_kwargs": {"num_layers": 3}, "synthesis_kwargs": {"channel_base": 64, **synthesis}}


# ---- lucidrains ----


def lucidrains_state(resolution: int, rng: torch.Generator, *, const: bool = True, channels: int = 3) -> State:
    state: State = {}
    for n in range(3):
        state |= {f"SE.net.{2 * n}.weight": 10 * normal(rng, W, W) / 3, f"SE.net.{2 * n}.bias": 3 * normal(rng, W)}
    first = WIDTHS[0]
    if const:
        state["GE.initial_block"] = normal(rng, 1, first, 4, 4)
    else:
        state["GE.to_initial_block.weight"] = normal(rng, W, first, 4, 4)
    state |= {
        "GE.initial_conv.weight": normal(rng, first, first, 3, 3) / 10,
        "GE.initial_conv.bias": normal(rng, first),
    }
    widths = (first, *WIDTHS[: resolution.bit_length() - 2])
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        block = f"GE.blocks.{i}"
        for n, features in ((1, inputs), (2, outputs)):
            state |= {
                f"{block}.to_style{n}.weight": normal(rng, features, W) / 3,
                f"{block}.to_style{n}.bias": normal(rng, features),
                f"{block}.to_noise{n}.weight": normal(rng, outputs, 1),
                f"{block}.to_noise{n}.bias": normal(rng, outputs),
                f"{block}.conv{n}.weight": normal(rng, outputs, features, 3, 3),
            }
        state |= {
            f"{block}.to_rgb.to_style.weight": normal(rng, outputs, W) / 3,
            f"{block}.to_rgb.to_style.bias": normal(rng, outputs),
            f"{block}.to_rgb.conv.weight": normal(rng, channels, outputs, 1, 1),
        }
        if i < len(widths) - 2:
            state[f"{block}.to_rgb.upsample.1.f"] = torch.tensor([1.0, 2.0, 1.0])
    return state | {"D.blocks.0.net.0.weight": normal(rng, 4, 3, 3, 3), "S.net.0.weight": normal(rng, W, W)}


def lucidrains_mapping(state: State, z: Tensor, _: Tensor | None) -> Tensor:
    x = z / z.square().sum().sqrt()
    for n in range(3):
        x = F.leaky_relu((state[f"SE.net.{2 * n}.weight"] @ x + state[f"SE.net.{2 * n}.bias"]) * 0.1, 0.2)
    return x


def lucidrains_synthesis(state: State, ws: Tensor) -> Tensor:
    resolution = 4 << (len(ws) - 1)
    uniform = draw(Latent(size=resolution**2, name="noise", distribution="uniform"), 0, 0, 1)
    noise = (torch.from_numpy(uniform).double().reshape(resolution, resolution) + 1) / 2
    if "GE.initial_block" in state:
        x = state["GE.initial_block"]
    else:
        x = torch.einsum("l,lchw->chw", ws.mean(dim=0), state["GE.to_initial_block.weight"])[None]
    x = F.conv2d(x, state["GE.initial_conv.weight"], state["GE.initial_conv.bias"], padding=1)
    image: Tensor | None = None
    for i, w in enumerate(ws):
        block, size = f"GE.blocks.{i}", 4 << i
        if i:
            x = F.interpolate(x, size=(size, size), mode="bilinear")

        def style(name: str, w: Tensor = w) -> Tensor:
            return 1 + state[f"{name}.weight"] @ w + state[f"{name}.bias"]

        for n in (1, 2):
            x = modulated(x, state[f"{block}.conv{n}.weight"], style(f"{block}.to_style{n}"))
            grain = state[f"{block}.to_noise{n}.weight"][:, :, None] * noise[:size, :size].T
            x = F.leaky_relu(x + grain + state[f"{block}.to_noise{n}.bias"][:, None, None], 0.2)
        rgb = modulated(x, state[f"{block}.to_rgb.conv.weight"], style(f"{block}.to_rgb.to_style"), demodulate=False)
        image = rgb if image is None else rgb + image
        if f"{block}.to_rgb.upsample.1.f" in state:
            blur = (
                torch.tensor([1.0, 2, 1], dtype=torch.float64).outer(torch.tensor([1.0, 2, 1], dtype=torch.float64))
                / 16
            )
            image = F.pad(F.interpolate(image, scale_factor=2, mode="bilinear"), (1, 1, 1, 1), mode="reflect")
            image = torch.cat([F.conv2d(image[:, c : c + 1], blur[None, None]) for c in range(image.shape[1])], dim=1)
    assert image is not None
    return image


# ---- all of them ----


class Layout(NamedTuple):
    state: Callable[[int, torch.Generator], State]
    load: Callable[[State, int], Loaded]
    mapping: Callable[[State, Tensor, Tensor | None], Tensor]
    synthesis: Callable[[State, Tensor], Tensor]


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng)


def conditional_state(resolution: int, rng: torch.Generator) -> State:
    return nvlabs_state(resolution, rng, CLASSES)


def plain(state: State, _: int) -> Loaded:
    return stylegan2.load(state)


LAYOUTS = {
    "rosinality": Layout(rosinality_state, plain, rosinality_mapping, rosinality_synthesis),
    "nvlabs": Layout(
        nvlabs_state,
        lambda state, size: stylegan2.load_nvlabs(state, nvlabs_kwargs(size)),
        nvlabs_mapping,
        nvlabs_synthesis,
    ),
    "nvlabs conditional, clamped": Layout(
        conditional_state,
        lambda state, size: stylegan2.load_nvlabs(state, nvlabs_kwargs(size, CLASSES, conv_clamp=1.5)),
        nvlabs_mapping,
        lambda state, ws: nvlabs_synthesis(state, ws, 1.5),
    ),
    "lucidrains": Layout(lucidrains_state, plain, lucidrains_mapping, lucidrains_synthesis),
    "lucidrains without a constant, with alpha": Layout(
        lambda size, rng: lucidrains_state(size, rng, const=False, channels=4),
        plain,
        lucidrains_mapping,
        lucidrains_synthesis,
    ),
}
NAMES = list(LAYOUTS)


def made(name: str, resolution: int = 16) -> tuple[Loaded, State]:
    """A generator with random weights, and these in float64 for its reference."""
    layout = LAYOUTS[name]
    state = layout.state(resolution, torch.Generator().manual_seed(5))
    return layout.load(state, resolution), {key: value.double() for key, value in state.items()}


def inputs(loaded: Loaded, count: int, psi: float = 1.0) -> list[Tensor]:
    feeds = Draws(loaded.spec, 7, 0, count, truncation=psi).feeds(0, count)
    return [torch.from_numpy(feeds[port.name]) for port in loaded.spec.input_ports()]


def distance(found: Any, expected: Any) -> float:
    """The largest error against the largest value."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("psi", [1.0, 0.5])
@pytest.mark.parametrize("resolution", [16, 64])
@pytest.mark.parametrize("name", NAMES)
def test_the_generator_is_the_papers_one_sample_by_sample(name: str, resolution: int, psi: float) -> None:
    loaded, state = made(name, resolution)
    layout, module = LAYOUTS[name], loaded.module
    z, truncation, *label = inputs(loaded, 3, psi)
    found = module(z, truncation, *label)
    mean = module.w_avg.double()
    expected = []
    for i in range(len(z)):
        w = mean + psi * (layout.mapping(state, z[i].double(), label[0][i].double() if label else None) - mean)
        expected.append(layout.synthesis(state, w.expand(module.synthesis.num_ws, -1)))
    assert found.dtype == torch.float32
    assert distance(found, torch.cat(expected)) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_of_the_synthesis_takes_its_own_w(name: str) -> None:
    loaded, state = made(name)
    ws = normal(torch.Generator().manual_seed(1), 2, loaded.module.synthesis.num_ws, W)
    expected = torch.cat([LAYOUTS[name].synthesis(state, one) for one in ws.double()])
    assert distance(loaded.module.synthesis(ws), expected) < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_mapping_and_synthesis_together_are_the_generator(name: str) -> None:
    loaded, _ = made(name)
    z, psi, *label = inputs(loaded, 2)
    w = loaded.module.mapping(z, *label)
    ws = w[:, None].expand(-1, loaded.module.synthesis.num_ws, -1)
    assert distance(loaded.module.synthesis(ws), loaded.module(z, psi, *label)) < 1e-5


@pytest.fixture(scope="module", params=[name for name in NAMES if name != "nvlabs"])
def exported(request: pytest.FixtureRequest) -> tuple[Loaded, bytes]:
    loaded, _ = made(request.param, 8)
    return loaded, export_onnx(loaded.module, loaded.spec)


def run(backend: str, graph: bytes, loaded: Loaded, feeds: dict[str, np.ndarray]) -> np.ndarray:
    data = Graph(graph, hashlib.sha256(graph).hexdigest(), "fp32")
    session = backends.open_session(backend, data, Options(threads=1))
    try:
        count = len(next(iter(feeds.values())))
        outputs = {
            port.name: session.empty((count, *(size or 1 for size in port.shape[1:])), port.dtype)
            for port in loaded.spec.output_ports()
        }
        session.run(feeds, outputs)
        return outputs[loaded.spec.output.raw].copy()
    finally:
        session.close()


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_exported_graph_is_the_module_at_every_batch(exported: tuple[Loaded, bytes], backend: str) -> None:
    loaded, graph = exported
    for count in (1, 2, 3, 8):
        feeds = Draws(loaded.spec, 3, 0, count, truncation=0.7).feeds(0, count)
        assert distance(run(backend, graph, loaded, feeds), evaluate(loaded.module, loaded.spec, feeds)) < 1e-4


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_zero_latent_survives_in_the_module_and_in_the_graph(exported: tuple[Loaded, bytes], backend: str) -> None:
    loaded, graph = exported
    feeds = Draws(loaded.spec, 3, 0, 2).feeds(0, 2)
    feeds["z"][:] = 0
    expected = evaluate(loaded.module, loaded.spec, feeds)
    assert np.isfinite(expected).all()
    assert distance(run(backend, graph, loaded, feeds), expected) < 1e-4


def test_a_zero_style_survives_in_the_module_and_in_the_graph() -> None:
    state = rosinality_state(8, torch.Generator().manual_seed(0))
    for key in state:
        if ".modulation." in key:
            state[key] = torch.zeros_like(state[key])
    loaded = stylegan2.load(state)
    graph = export_onnx(loaded.module, loaded.spec)
    feeds = Draws(loaded.spec, 3, 0, 2).feeds(0, 2)
    expected = evaluate(loaded.module, loaded.spec, feeds)
    assert np.isfinite(expected).all()
    for backend in ("onnxruntime", "openvino"):
        assert distance(run(backend, graph, loaded, feeds), expected) < 1e-4


def test_the_graph_has_no_convolution_per_sample_and_no_shape_arithmetic(exported: tuple[Loaded, bytes]) -> None:
    label = {"Concat"} if exported[0].spec.label else set()  # z beside the label's embedding
    operators = {node.op_type for node in onnx.load_from_string(exported[1]).graph.node}
    assert not operators & {"Shape", "Expand", "Slice", "Concat", "RandomNormalLike", "RandomNormal"} - label


@pytest.mark.parametrize("name", ["rosinality", "lucidrains without a constant, with alpha"])
def test_the_synthesis_exports_on_its_own_with_a_dynamic_batch(name: str) -> None:
    synthesis = made(name, 8)[0].module.synthesis
    ws = normal(torch.Generator().manual_seed(2), 5, synthesis.num_ws, W)
    program = torch.export.export(synthesis, (ws[:2],), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    assert distance(program.module()(ws), synthesis(ws)) < 1e-6


# ---- specs, means, notes ----


def test_the_spec_says_what_the_network_takes_and_gives() -> None:
    psi = Truncation(minimum=0.0, maximum=1.5, name="psi", default=1.0, how="graph")
    specs = {name: made(name)[0].spec for name in NAMES}
    assert specs["rosinality"].inputs == (Latent(size=W), psi)
    assert specs["rosinality"].output == Image(height=16, width=16, channels=3)
    assert specs["nvlabs"].inputs == (Latent(size=Z), psi)
    one_hot = Label(classes=CLASSES, encoding="one_hot")
    assert specs["nvlabs conditional, clamped"].inputs == (Latent(size=Z), psi, one_hot)
    assert specs["lucidrains"].output == Image(height=16, width=16, channels=3, low=0.0, high=1.0)
    assert specs["lucidrains without a constant, with alpha"].output.channels == 4


def test_a_psi_of_zero_gives_every_z_the_mean_picture() -> None:
    loaded, _ = made("nvlabs")
    images = loaded.module(*inputs(loaded, 3, psi=0.0))
    torch.testing.assert_close(images[1], images[0])


def test_a_missing_mean_is_that_of_4096_fixed_draws_and_is_noted() -> None:
    loaded, state = made("rosinality")
    z = torch.from_numpy(draw(Latent(size=W), 0, 0, 4096)).double()
    mean = torch.stack([rosinality_mapping(state, one, None) for one in z]).mean(dim=0)
    assert distance(loaded.module.w_avg, mean) < 1e-5
    assert any("4096" in note for note in loaded.notes)


@pytest.mark.parametrize("shape", [(W,), (1, W)])
def test_the_checkpoints_own_mean_is_taken(shape: tuple[int, ...]) -> None:
    state = rosinality_state(8, torch.Generator().manual_seed(0))
    loaded = stylegan2.load(state | {"latent_avg": torch.arange(float(W)).reshape(shape)})
    assert loaded.module.w_avg.tolist() == list(range(W))
    assert not any("4096" in note for note in loaded.notes)


def test_a_whole_rosinality_checkpoint_gives_its_averaged_generator() -> None:
    averaged, trained = (rosinality_state(8, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    whole = {f"g_ema.{key}": value for key, value in averaged.items()}
    whole |= {f"g.{key}": value for key, value in trained.items()} | {"latent_avg": torch.ones(W)}
    loaded, alone = stylegan2.load(whole), stylegan2.load(averaged | {"latent_avg": torch.ones(W)})
    z = inputs(loaded, 2)
    assert torch.equal(loaded.module(*z), alone.module(*z))
    assert any("g_ema" in note for note in stylegan2.load({f"g.{key}": value for key, value in trained.items()}).notes)


def test_a_whole_lucidrains_checkpoint_gives_its_averaged_generator() -> None:
    state = lucidrains_state(8, torch.Generator().manual_seed(1))
    loaded, alone = stylegan2.load({f"GAN.{key}": value for key, value in state.items()}), stylegan2.load(state)
    z = inputs(loaded, 2)
    assert torch.equal(loaded.module(*z), alone.module(*z))
    assert any("noise" in note.lower() for note in loaded.notes)


def test_a_rosinality_checkpoint_without_noise_gets_fixed_noise() -> None:
    state = rosinality_state(8, torch.Generator().manual_seed(1))
    bare = {key: value for key, value in state.items() if not key.startswith("noises.")}
    first, second = stylegan2.load(bare), stylegan2.load(bare)
    assert torch.equal(first.module.synthesis.layers[2].noise, second.module.synthesis.layers[2].noise)
    assert any("fixed seed" in note for note in first.notes)


def test_half_precision_checkpoints_load_as_float32() -> None:
    state = {key: value.half() for key, value in nvlabs_state(8, torch.Generator().manual_seed(1)).items()}
    loaded = stylegan2.load_nvlabs(state, nvlabs_kwargs(8))
    assert {weight.dtype for weight in loaded.module.state_dict().values()} == {torch.float32}
    assert not any(weight.requires_grad for weight in loaded.module.parameters())
    assert not loaded.module.training


def test_nvlabs_networks_without_noise_load() -> None:
    state = nvlabs_state(8, torch.Generator().manual_seed(1))
    quiet = {key: value for key, value in state.items() if ".noise_" not in key}
    silent = {key: torch.zeros_like(value) if "noise_strength" in key else value for key, value in state.items()}
    first, second = (stylegan2.load_nvlabs(one, nvlabs_kwargs(8)) for one in (quiet, silent))
    z = inputs(first, 2)
    assert torch.equal(first.module(*z), second.module(*z))
    assert not any("oise" in note for note in first.notes)


def test_stylegan3_style_arguments_bring_their_default_clamp() -> None:
    state = nvlabs_state(8, torch.Generator().manual_seed(1))
    kwargs = nvlabs_kwargs(8)
    beside = kwargs.pop("synthesis_kwargs")
    assert any("256" in note for note in stylegan2.load_nvlabs(state, kwargs | beside).notes)
    assert not any("clamp" in note for note in stylegan2.load_nvlabs(state, nvlabs_kwargs(8)).notes)
    assert any("not known" in note for note in stylegan2.load(state).notes)


# ---- what is not a StyleGAN2 ----


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_must_be_there_and_of_its_shape(name: str) -> None:
    layout = LAYOUTS[name]
    state = layout.state(8, torch.Generator().manual_seed(1))
    assert stylegan2.detect(state)
    for key in (key for key in state if not key.startswith(("D.", "S."))):
        others = {other: value for other, value in state.items() if other != key}
        for damaged in (others, others | {key: torch.zeros(2, 2, 2)}):
            if key == "mapping.w_avg" and damaged is others:
                continue  # computed instead
            with pytest.raises(CheckpointError) as problem:
                layout.load(damaged, 8)
            assert "\n" not in str(problem.value)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_may_be_left_over(name: str) -> None:
    layout = LAYOUTS[name]
    state = layout.state(8, torch.Generator().manual_seed(1))
    with pytest.raises(CheckpointError, match=r"beside what the network knows, (G\.)?more\."):
        layout.load(state | {"GE.more" if "lucidrains" in name else "more": torch.zeros(1)}, 8)


def test_pictures_that_cannot_be_are_refused() -> None:
    state = nvlabs_state(8, torch.Generator().manual_seed(1))
    for key in [key for key in state if key.endswith(("torgb.weight", "torgb.bias"))]:
        state[key] = torch.cat([state[key]] * 2)
    with pytest.raises(CheckpointError, match="6 channels"):
        stylegan2.load(state)
    state = lucidrains_state(8, torch.Generator().manual_seed(1))
    again = {key: value for key, value in state.items() if key.startswith("GE.blocks.1.")}
    for i in range(2, 20):
        state |= {key.replace("blocks.1.", f"blocks.{i}."): value for key, value in again.items()}
    with pytest.raises(CheckpointError, match="2097152 x 2097152"):
        stylegan2.load(state)


def test_other_networks_are_not_taken_for_one() -> None:
    assert not stylegan2.detect({})
    assert not stylegan2.detect({"main.0.weight": torch.zeros(100, 512, 4, 4)})
    assert not stylegan2.detect({"synthesis.input.weight": torch.zeros(3, 3), "mapping.fc0.weight": torch.zeros(3, 3)})
    with pytest.raises(CheckpointError, match="is not a StyleGAN2 generator"):
        stylegan2.load({"main.0.weight": torch.zeros(1)})


def test_a_missing_tensor_and_a_wrong_shape_are_named() -> None:
    state = nvlabs_state(8, torch.Generator().manual_seed(1))
    key = "synthesis.b8.conv0.affine.bias"
    with pytest.raises(CheckpointError, match=f"it lacks '{key}'"):
        stylegan2.load({other: value for other, value in state.items() if other != key})
    with pytest.raises(CheckpointError, match=rf"'{key}' is \[3\], the rest of it asks for \[12\]"):
        stylegan2.load(state | {key: torch.zeros(3)})
    with pytest.raises(CheckpointError, match="must be a float"):
        stylegan2.load(state | {key: torch.zeros(12, dtype=torch.int32)})
    with pytest.raises(CheckpointError, match="even size"):
        stylegan2.load(state | {"synthesis.b8.resample_filter": torch.ones(3, 3)})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"z_dim": 7}, "constructed with z_dim 7, its tensors are those of z_dim 6"),
        ({"img_resolution": 16}, "img_resolution 16"),
        ({"mapping_kwargs": {"num_layers": 8}}, "8 mapping layers"),
        ({"mapping_kwargs": {"activation": "relu"}}, "'relu'"),
        ({"mapping_kwargs": {"lr_multiplier": "x"}}, "lr_multiplier x"),
        ({"synthesis_kwargs": {"architecture": "resnet"}}, "architecture 'resnet'"),
        ({"synthesis_kwargs": {"conv_clamp": -1}}, "conv_clamp -1"),
        ({"synthesis_kwargs": {"attention": True}}, "'attention', which the published networks do not have"),
        ({"epochs": 3}, "'epochs'"),
    ],
)
def test_arguments_that_change_the_function_are_refused(change: dict[str, Any], sentence: str) -> None:
    state = nvlabs_state(8, torch.Generator().manual_seed(1))
    with pytest.raises(CheckpointError, match=sentence):
        stylegan2.load_nvlabs(state, nvlabs_kwargs(8) | change)


def test_other_architectures_are_recognised_by_their_tensors() -> None:
    state = nvlabs_state(8, torch.Generator().manual_seed(1))
    original = {key: value for key, value in state.items() if not key.startswith("synthesis.b4.torgb")}
    with pytest.raises(CheckpointError, match="architecture 'orig'"):
        stylegan2.load(original)
    with pytest.raises(CheckpointError, match="architecture 'resnet'"):
        stylegan2.load(original | {"synthesis.b8.skip.weight": torch.zeros(8, 12, 1, 1)})


def test_older_and_attentive_lucidrains_networks_are_refused() -> None:
    state = lucidrains_state(8, torch.Generator().manual_seed(1))
    with pytest.raises(CheckpointError, match=r"before 1\.2"):
        stylegan2.load({key: value for key, value in state.items() if "upsample" not in key})
    with pytest.raises(CheckpointError, match="attention"):
        stylegan2.load(state | {"GE.attns.1.0.fn.norm.g": torch.zeros(1)})
