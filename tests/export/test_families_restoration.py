"""Restoration networks through spandrel: recognised, loaded, traced for any size, and the same in ONNX Runtime.

Skipped without spandrel. Small networks with random weights stand for the published ones; the slow tests take one of
nearly every architecture that spandrel has. ATD is not among them: it sorts, which PyTorch 2.13 cannot write as ONNX.
RestoreFormer is not, either: with random weights, rounding decides which entry of its codebook is the nearest.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from ganrt.errors import CheckpointError, ExportError, MissingExtra
from ganrt.spec import Image, Signal
from ganrt_export.families import restoration, spandrel_networks
from ganrt_export.families.base import Loaded
from ganrt_export.families.cgan import Generator
from ganrt_export.families.restoration import Inpainter, detect, load

try:
    spandrel = spandrel_networks.package()
except MissingExtra as missing:
    pytest.skip(str(missing), allow_module_level=True)


class Network(NamedTuple):
    """A class of spandrel's and the sizes of a small one."""

    architecture: str
    name: str
    sizes: dict[str, Any]


QUICK = {
    "Compact": Network("Compact", "Compact", {"num_feat": 8, "num_conv": 2}),
    "ESRGAN": Network("ESRGAN", "ESRGAN", {"num_filters": 8, "num_blocks": 1}),
    "ESRGAN x2": Network(
        "ESRGAN", "ESRGAN", {"num_filters": 8, "num_blocks": 1, "shuffle_factor": 2, "in_nc": 12, "scale": 4}
    ),
    "SPAN": Network("SPAN", "SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2}),
}
SWIN = {"embed_dim": 24, "depths": [2, 2], "num_heads": [2, 2], "window_size": 8, "upscale": 2}
WAYS = {"embed_dim": 24, "depths": [2], "num_heads": [2]}
SLOW = {
    "CRAFT": Network("CRAFT", "CRAFT", {"depths": [2]}),
    "DAT": Network(
        "DAT", "DAT", {"embed_dim": 64, "depth": [2], "num_heads": [2], "split_size": [8, 16], "expansion_factor": 2}
    ),
    "DCTLSA": Network("DCTLSA", "DCTLSA", {"nf": 20}),
    "DITN": Network("DITN", "DITN", {"dim": 16, "ITL_blocks": 1, "SAL_blocks": 1}),
    "DRCT": Network(
        "DRCT",
        "DRCT",
        {**WAYS, "depths": [1], "window_size": 16, "upscale": 2, "upsampler": "pixelshuffle", "gc": 8},
    ),
    "DRUNet": Network("DRUNet", "DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [8, 16, 16, 16], "nb": 2}),
    "DnCNN": Network("DnCNN", "DnCNN", {"nc": 8, "nb": 9, "act_mode": "R"}),
    "FBCNN": Network("FBCNN", "FBCNN", {}),
    "FDAT": Network(
        "FDAT", "FDAT", {"embed_dim": 16, "num_groups": 1, "depth_per_group": 2, "num_heads": 2, "mid_dim": 16}
    ),
    "FDnCNN": Network("DnCNN", "DnCNN", {"in_nc": 4, "out_nc": 3, "nc": 8, "nb": 9, "act_mode": "R", "mode": "FDnCNN"}),
    "FFTformer": Network("FFTformer", "FFTformer", {"dim": 16, "num_blocks": [1, 1, 1], "num_refinement_blocks": 1}),
    "GRL": Network(
        "GRL",
        "GRL",
        {
            "embed_dim": 24,
            "depths": [1],
            "num_heads_window": [2],
            "num_heads_stripe": [2],
            "upscale": 2,
            "upsampler": "pixelshuffledirect",
        },
    ),
    "HAT": Network("HAT", "HAT", {**WAYS, "window_size": 8, "upscale": 2, "squeeze_factor": 4}),
    "HVICIDNet": Network("HVICIDNet", "HVICIDNet", {}),
    "KBNet": Network(
        "KBNet",
        "KBNet_s",
        {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1, 1, 1], "dec_blk_nums": [1, 1, 1, 1]},
    ),
    "LaMa": Network("LaMa", "LaMa", {"in_nc": 4}),
    "MMRealSR": Network(
        "MMRealSR",
        "MMRealSR",
        {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 16, "num_block": 2, "num_grow_ch": 8},
    ),
    "MixDehazeNet": Network("MixDehazeNet", "MixDehazeNet", {}),
    "MoESR": Network("MoESR", "MoESR", {"dim": 16, "n_blocks": 2, "n_block": 2, "upsample_dim": 16}),
    "MoSR": Network("MoSR", "MoSR", {"n_block": 2, "dim": 16}),
    "NAFNet": Network(
        "NAFNet", "NAFNet", {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}
    ),
    "OmniSR": Network("OmniSR", "OmniSR", {"num_feat": 16}),
    "PLKSR": Network("PLKSR", "PLKSR", {"dim": 8, "n_blocks": 2}),
    "RCAN": Network("RCAN", "RCAN", {"n_resgroups": 2, "n_resblocks": 2, "n_feats": 16, "reduction": 4}),
    "RGT": Network("RGT", "RGT", {"embed_dim": 64, "depth": [2], "num_heads": [2]}),
    "RealCUGAN x2": Network("RealCUGAN", "UpCunet2x", {}),
    "RealCUGAN x3": Network("RealCUGAN", "UpCunet3x", {}),
    "RealCUGAN x4": Network("RealCUGAN", "UpCunet4x", {}),
    "RealPLKSR": Network("PLKSR", "RealPLKSR", {"dim": 16, "n_blocks": 2}),
    "RetinexFormer": Network("RetinexFormer", "RetinexFormer", {"n_feat": 8, "stage": 1}),
    "SAFMN": Network("SAFMN", "SAFMN", {"dim": 16, "n_blocks": 2}),
    "SAFMNBCIE": Network("SAFMNBCIE", "SAFMNBCIE", {"dim": 16, "n_blocks": 2, "num_layers": 2}),
    "SCUNet": Network("SCUNet", "SCUNet", {"config": [1, 1, 1, 1, 1, 1, 1]}),
    "Swin2SR": Network("Swin2SR", "Swin2SR", {**SWIN, "upsampler": "pixelshuffledirect"}),
    "SwiftSRGAN": Network("SwiftSRGAN", "SwiftSRGAN", {"num_channels": 8, "num_blocks": 2}),
    "Uformer": Network("Uformer", "Uformer", {"embed_dim": 8, "depths": [1] * 9}),
    "GFPGAN": Network("GFPGAN", "GFPGAN", {}),
    "SwinIR": Network("SwinIR", "SwinIR", {**SWIN, "upsampler": "pixelshuffledirect"}),
}
NETWORKS = QUICK | SLOW


def state_of(key: str) -> dict[str, Tensor]:
    """The state dict of a small network with random weights."""
    network = NETWORKS[key]
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = getattr(import_module(f"spandrel.architectures.{network.architecture}"), network.name)(**network.sizes)
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def pictures(loaded: Loaded, batch: int, height: int, width: int) -> list[Tensor]:
    """The inputs of a network: a picture, and for some a mask of 0 and 1."""
    chance = torch.Generator().manual_seed(batch * height + width)
    made = []
    for signal in loaded.spec.signals:
        values = torch.rand(batch, signal.shape[0] or 1, height, width, generator=chance)
        made.append((values > 0.7).float() if signal.kind == "mask" else values)
    return made


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(level)


def export(
    module: nn.Module, inputs: Sequence[Tensor], names: Sequence[str], axes: Sequence[int]
) -> onnxruntime.InferenceSession:
    """PyTorch's exporter with nothing added: the size of these axes of every input may change."""
    sizes = dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), quiet_exporter():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(inputs),
            dynamo=True,
            optimize=False,
            opset_version=20,
            dynamic_shapes=(sizes,) * len(inputs),
            input_names=list(names),
            output_names=["output"],
            verbose=False,
        )
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def check_everywhere(loaded: Loaded, sides: Sequence[tuple[int, int]]) -> None:
    """One graph, traced at a batch of 2 and the first size, gives what PyTorch gives at all batches and sizes."""
    names = [signal.name for signal in loaded.spec.signals]
    axes = (0, 2, 3) if loaded.spec.signals[0].shape[1] is None else (0,)
    session = export(loaded.module, pictures(loaded, 2, *sides[0]), names, axes)
    for batch in (1, 2, 3):
        for height, width in sides:
            inputs = pictures(loaded, batch, height, width)
            with torch.inference_mode():
                expected = loaded.module(*inputs).numpy()
            (found,) = session.run(None, dict(zip(names, (part.numpy() for part in inputs), strict=True)))
            assert found.shape == expected.shape
            assert np.abs(found - expected).max() <= 1e-5 * max(1, np.abs(expected).max()), (batch, height, width)


@pytest.mark.parametrize("key", QUICK)
def test_one_graph_serves_every_batch_and_size(key: str) -> None:
    check_everywhere(load(state_of(key)), [(13, 18), (16, 16), (5, 31), (2, 3)])


@pytest.mark.slow
@pytest.mark.parametrize("key", SLOW)
def test_one_graph_of_every_architecture_serves_every_batch_and_size(key: str) -> None:
    loaded = load(state_of(key))
    assert isinstance(loaded.module, restoration.Restorer)
    side = max(loaded.module.minimum, loaded.module.multiple, 16)
    one = loaded.spec.signals[0].shape[1]
    any_size = [
        (side + 3, side + 5),
        (side, side),
        (side + 1, side + 7),
        (side // 2 + 1, 2 * side - 1),
        (2 * side, side),
    ]
    check_everywhere(loaded, [(one, one)] if one else any_size)


@pytest.mark.parametrize(
    "key",
    [*QUICK, "SAFMN", "RCAN", "DRUNet", "SwinIR", "DCTLSA", pytest.param("FBCNN", marks=pytest.mark.slow)],
)
def test_a_network_gives_what_spandrel_gives(key: str) -> None:
    """Also at sizes it does not take itself, and for several pictures at once; what it is given stays as it was."""
    state = state_of(key)
    assert detect(state)
    loaded = load(state)
    described = spandrel_of(state)
    for height, width in ((17, 21), (40, 9)):
        (image,) = pictures(loaded, 3, height, width)
        before = image.clone()
        with torch.inference_mode():
            found = loaded.module(image)
            expected = torch.cat([described(image[index : index + 1].clone()) for index in range(3)])
        torch.testing.assert_close(found.clamp(0, 1), expected, rtol=0, atol=2e-5)
        assert torch.equal(image, before)


def spandrel_of(state: dict[str, Tensor]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spandrel.MAIN_REGISTRY.load(dict(state)).eval()


def test_the_spec_is_a_picture_in_and_a_picture_out() -> None:
    loaded = load(state_of("ESRGAN"))
    assert loaded.spec.inputs == (Signal(name="image", kind="image", shape=(3, None, None)),)
    assert loaded.spec.output == Image(None, None, 3, name="restored", raw="restored_float", low=0, high=1)
    assert not loaded.module.training
    assert not any(weight.requires_grad for weight in loaded.module.parameters())
    assert loaded.notes[0] == "ESRGAN for SR (4 times the size, 8nf, 1nb), as spandrel reads it."


def test_what_a_network_asks_of_pictures_is_noted() -> None:
    notes = " ".join(load(state_of("SAFMN")).notes)
    assert "It takes multiples of 8 pixels; other pictures are continued by reflection" in notes
    assert "spandrel does not run it in float16" in notes


def test_one_size_can_be_asked_for() -> None:
    loaded = load(state_of("Compact"), size=24)
    assert loaded.spec.inputs == (Signal(name="image", kind="image", shape=(3, 24, 24)),)
    assert isinstance(loaded.spec.output, Image)
    assert (loaded.spec.output.height, loaded.spec.output.width) == (96, 96)


def test_weights_inside_something_are_found() -> None:
    wrapped = {f"module.{name}": value for name, value in state_of("Compact").items()}
    assert detect(wrapped)
    assert load(wrapped).spec.output == load(state_of("Compact")).spec.output


def test_half_precision_weights_become_float32() -> None:
    loaded = load({name: value.half() for name, value in state_of("Compact").items()})
    assert {weight.dtype for weight in loaded.module.parameters()} == {torch.float32}


# Pictures with holes


class Fill(nn.Module):
    """The least inpainter: as LaMa's, the known pixels and what a convolution says of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        if image.shape[-2] % 8 or image.shape[-1] % 8 or image.shape[-2] < 16 or image.shape[-1] < 16:
            raise ValueError("a size that was to be seen to")
        guess = self.convolution(torch.cat([image * (1 - mask), mask], dim=1))
        return mask * guess + (1 - mask) * image


def test_a_picture_and_its_mask_go_in_together() -> None:
    torch.manual_seed(0)
    module = Inpainter(Fill().requires_grad_(False).eval(), lambda net, *both: net(*both), 1, minimum=16, multiple=8)
    inputs = (
        Signal(name="image", kind="image", shape=(3, None, None)),
        Signal(name="mask", kind="mask", shape=(1, None, None)),
    )
    spec = load(state_of("Compact")).spec
    loaded = Loaded(module, type(spec)(inputs=inputs, output=spec.output))
    check_everywhere(loaded, [(19, 21), (16, 24), (9, 33)])
    image, mask = pictures(loaded, 2, 19, 21)
    assert torch.equal(module(image, mask) * (1 - mask), image * (1 - mask))


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (9, 8), (2, 3)], ids=str)
def test_a_spectral_convolution_is_lamas(size: tuple[int, int]) -> None:
    theirs = import_module("spandrel.architectures.LaMa.__arch.LaMa").FourierUnit(3, 5)
    torch.manual_seed(0)
    with torch.no_grad():
        for values in (theirs.bn.running_var, theirs.bn.running_mean):
            values.uniform_(0.5, 2)
        ours = spandrel_networks.SpectralConvolution(theirs.eval())
        x = torch.randn(2, 3, *size)
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=2e-6)


# What is replaced is the same function


@pytest.mark.parametrize(
    ("mode", "demodulate"), [(None, True), ("upsample", True), ("downsample", True), (None, False)]
)
def test_a_modulated_convolution_is_gfpgans(mode: str | None, demodulate: bool) -> None:
    network = import_module("spandrel.architectures.GFPGAN.__arch.stylegan2_clean_arch")
    torch.manual_seed(0)
    theirs = network.ModulatedConv2d(4, 5, 3, num_style_feat=6, demodulate=demodulate, sample_mode=mode)
    x, style = torch.randn(3, 4, 6, 8), torch.randn(3, 6)
    with torch.no_grad():
        ours = spandrel_networks.ModulatedConvolution(theirs)
        torch.testing.assert_close(ours(x, style), theirs(x, style), rtol=0, atol=1e-5)


@pytest.mark.parametrize("sizes", [(4, 8, 12), ((4, 4), (8, 12)), (4, 4, 8, 12)], ids=["side", "pairs", "both sides"])
def test_windows_are_joined_as_they_were_split(sizes: tuple[Any, ...]) -> None:
    picture = torch.arange(2 * 8 * 12 * 3).reshape(2, 8, 12, 3)
    windows = picture.reshape(2, 2, 4, 3, 4, 3).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, 3)
    assert torch.equal(spandrel_networks.join_windows(windows, *sizes), picture)


def test_spandrel_normalises_with_or_without_torchvision() -> None:
    normalise = import_module("spandrel.architectures.RestoreFormer").tv_normalize
    image = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(normalise(image, [0.5, 0.4, 0.3], [0.5, 0.2, 0.1])[:, 1], (image[:, 1] - 0.4) / 0.2)


# What is refused


def test_other_generators_are_not_taken_for_restoration() -> None:
    assert not detect(Generator().state_dict())
    assert not detect({})
    assert not detect({"body.0.weight": torch.zeros(4, 4), "body.1.weight": torch.zeros(4)})  # linear layers
    with pytest.raises(CheckpointError, match=r"\(embedding.weight, .*is no network that spandrel 0"):
        load(Generator().state_dict())


@pytest.mark.parametrize("key", QUICK)
def test_weights_that_do_not_fit_each_other_are_refused(key: str) -> None:
    state = state_of(key)
    name = next(name for name in reversed(state) if name.endswith("weight"))
    with pytest.raises(CheckpointError, match=r"looks like .*, but is not one of consistent sizes"):
        load({**state, name: state[name][:, :1, :, :1]})


def test_a_network_for_one_size_says_so() -> None:
    loaded = load(state_of("Uformer"))
    assert loaded.spec.signals[0].shape == (3, 256, 256)
    assert "Pictures of 256 x 256 only: Uformer cannot be traced for any size." in loaded.notes


def test_a_network_that_is_no_graph_is_refused_with_the_reason() -> None:
    torch.manual_seed(0)
    seemore = import_module("spandrel.architectures.SeemoRe").SeemoRe(num_experts=3, num_layers=1, embedding_dim=8)
    with pytest.raises(ExportError, match="chooses other layers for other pictures"):
        load(seemore.state_dict())


def test_without_spandrel_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    state = state_of("Compact")
    spandrel_networks.package.cache_clear()
    try:
        monkeypatch.setitem(sys.modules, "spandrel", None)
        assert not detect(state)
        with pytest.raises(MissingExtra, match=r"need spandrel; install it with: pip install 'ganrt\[restoration\]'"):
            load(state)
    finally:
        monkeypatch.undo()
        spandrel_networks.package.cache_clear()
