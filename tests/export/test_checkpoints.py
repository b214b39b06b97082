"""Checkpoints of every usual kind give the generator's tensors; hostile and wrong ones give one sentence."""

from __future__ import annotations

import argparse
import functools
import io
import os
import pickle  # noqa: TID251 (forges hostile files; reads none)
import random
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from ganrt.errors import CheckpointError
from ganrt_export.checkpoints import check_finite, find_state, fold_norms, read_checkpoint, read_state


def network(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Conv2d(1, 2, 3)).state_dict()


def legacy(value: object, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def arrays(value: dict[str, Tensor], path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **{name: tensor.numpy() for name, tensor in value.items()})


WRITERS: dict[str, Callable[[Any, Path], None]] = {
    "torch": torch.save,
    "legacy": legacy,
    "safetensors": safetensors.torch.save_file,
    "npz": arrays,
}


def hold_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert list(found) == list(expected) or set(found) == set(expected)  # safetensors sorts
    for name, tensor in found.items():
        assert type(tensor) is Tensor
        assert not tensor.requires_grad
        assert tensor.dtype == expected[name].dtype
        assert torch.equal(tensor, expected[name]), name


def refusal(path: Path, key: str | None = None) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_state(path, key)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


# Reading


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("suffix", [".pt", ".pth.tar", ".ckpt", ".bin", ".safetensors", ".npz", ".pkl", ""])
def test_a_file_is_known_by_its_content_whatever_its_name(tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / f"g{suffix}"
    WRITERS[kind](network(), path)
    state = read_state(path)
    hold_equal(state.tensors, network())
    assert state.source_text == "the checkpoint's own tensors"


def test_parameters_half_precision_and_a_crooked_offset_come_out_as_plain_tensors(tmp_path: Path) -> None:
    state = {"a": nn.Parameter(torch.ones(2).half()), "b": torch.arange(6.0).reshape(2, 3).T, "c": torch.zeros(())}
    expected = {name: tensor.detach() for name, tensor in state.items()}
    torch.save(state, tmp_path / "a.pt")
    hold_equal(read_state(tmp_path / "a.pt").tensors, expected)
    with zipfile.ZipFile(tmp_path / "a.pt") as whole, zipfile.ZipFile(tmp_path / "b.pt", "w") as packed:
        for member in whole.namelist():
            packed.writestr(f"x{member}".replace("xa/", "odd/"), whole.read(member))
    crooked = read_state(tmp_path / "b.pt").tensors
    hold_equal(crooked, expected)
    assert all(tensor.data_ptr() % tensor.element_size() == 0 for tensor in crooked.values())


def test_a_mapped_checkpoint_is_not_changed_by_changing_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "g.pt"
    torch.save(network(), path)
    before = path.read_bytes()
    read_state(path).tensors["0.weight"].zero_()
    assert path.read_bytes() == before


def test_a_scripts_arguments_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    args = argparse.Namespace(lr=0.002, path=["a"])
    torch.save(
        {"g": network(1), "d": network(2), "g_ema": network(3), "args": args, "ada_aug_p": 0.1}, tmp_path / "a.pt"
    )
    state = read_state(tmp_path / "a.pt")
    hold_equal(state.tensors, network(3))
    assert state.source_text == "'g_ema' of the checkpoint (the EMA copy, preferred to 'g')"
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


class Hostile:
    def __init__(self, call: Callable[..., object], *args: object) -> None:
        self.made = call, args

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.made


def hostile_files(folder: Path, marker: Path) -> dict[str, tuple[Path, str]]:
    """Files that would run `touch marker`, and the name that each must be refused for."""
    bad, files = Hostile(os.system, f"touch {marker}"), {}
    system = f"{os.system.__module__}.system"
    for kind, write in (("torch", torch.save), ("legacy", legacy)):
        for shape, value in (("alone", bad), ("beside", {"g": network(), "x": bad})):
            files[f"{kind} {shape}"] = folder / f"{kind}-{shape}.pt", system
            write(value, files[f"{kind} {shape}"][0])
    for protocol in range(6):
        path = folder / f"bare{protocol}.pkl"
        path.write_bytes(pickle.dumps({"g": bad}, protocol))
        files[f"pickle {protocol}"] = path, system
    for name, value in (
        ("eval", Hostile(eval, f"open({str(marker)!r}, 'w')")),
        ("open", Hostile(open, str(marker), "w")),
    ):
        path = folder / f"{name}.pt"
        torch.save({"g": network(), "x": value}, path)
        files[name] = path, name
    path = folder / "partial.pt"
    torch.save({"g": network(), "x": functools.partial(os.system, f"touch {marker}")}, path)
    files["partial"] = path, "functools.partial"
    path = folder / "module.pt"
    torch.save(nn.Linear(2, 2), path)
    files["module"] = path, "torch.nn.modules.linear.Linear"
    path = folder / "objects.npz"
    with path.open("wb") as file:
        np.savez(file, w=np.array([bad], dtype=object), allow_pickle=True)
    files["objects"] = path, "Python objects"
    return files


def test_nothing_that_a_file_asks_for_is_run_and_its_name_is_told(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    for what, (path, asked) in hostile_files(tmp_path, marker).items():
        message = refusal(path)
        assert asked in message, what
        assert "must not run code" in message
        assert "torch.save(generator.state_dict()" in message
    assert not marker.exists()


def test_an_nvlabs_pickle_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "ffhq.pkl"
    for start in (b"\x80\x03}X\1\0\0\0Gctorch_utils.persistence\n_reconstruct_persistent_obj\n", b"\x80\x04\x95"):
        path.write_bytes(start + b"\0" * 8 + b"\x8c\x17torch_utils.persistence\x94")
        assert "an NVlabs network pickle" in refusal(path)


def test_torchscript_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2).eval(), torch.ones(1, 2)), tmp_path / "script.pt")
    assert "is TorchScript, a program" in refusal(tmp_path / "script.pt")


def test_a_tar_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "old.pth.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("storages"), io.BytesIO())
    assert "is a tar" in refusal(tmp_path / "old.pth.tar")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "is empty"),
        (b"x", "not a checkpoint of a known kind"),
        (b"config\nname\nvalue\n", "not a checkpoint of a known kind"),
        (b"\x80\x02}U", "a bare pickle"),
        (bytes(range(256)) * 8, "not a checkpoint of a known kind"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "not a checkpoint of a known kind"),
        (b"PK\x03\x04" + bytes(100), "cut short or damaged"),
        (b"\x10\0\0\0\0\0\0\0" + b'{"a": 1', "no whole safetensors file"),
        (b"\x02\0\0\0\0\0\0\0{}" + b"data", "not a checkpoint of a known kind"),
        (b"\x80\x02}.", "a bare pickle"),
        (b"\x80\x04\x95\x00\x00", "a bare pickle"),
    ],
)
def test_what_is_no_checkpoint_is_told(tmp_path: Path, data: bytes, fault: str) -> None:
    path = tmp_path / "g.pt"
    path.write_bytes(data)
    assert fault in refusal(path)


def test_a_missing_file_a_folder_and_a_pipe_are_told(tmp_path: Path) -> None:
    assert "There is no checkpoint" in refusal(tmp_path / "none.pt")
    assert "is a folder" in refusal(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert "no regular file" in refusal(tmp_path / "pipe")


def test_a_zip_of_something_else_and_a_compressed_one_are_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("readme.txt", "no weights")
    assert "is a zip, but not a checkpoint" in refusal(tmp_path / "other.pt")
    torch.save({"a": torch.zeros(1000)}, tmp_path / "a.pt")
    with (
        zipfile.ZipFile(tmp_path / "a.pt") as whole,
        zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in whole.namelist():
            packed.writestr(member, whole.read(member))
    assert "was compressed after" in refusal(tmp_path / "b.pt")


@pytest.mark.parametrize("kind", WRITERS)
def test_a_file_cut_short_anywhere_is_told(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "g.pt"
    WRITERS[kind](network(), path)
    data = path.read_bytes()
    for length in [*range(1, len(data) - 1, max(1, len(data) // 25)), len(data) - 1]:
        path.write_bytes(data[:length])
        refusal(path)


@pytest.mark.parametrize("kind", WRITERS)
def test_whatever_byte_is_changed_the_answer_is_tensors_or_one_sentence(tmp_path: Path, kind: str) -> None:
    path, draw = tmp_path / "g.pt", random.Random(0)
    WRITERS[kind](network(), path)
    data = path.read_bytes()
    for _ in range(100):
        changed = bytearray(data)
        for _ in range(draw.choice((1, 3, 10))):
            changed[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(changed)
        try:
            found = fold_norms(read_state(path).tensors)
            check_finite(found)
        except CheckpointError:
            pass
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("tensor", "fault"),
    [
        (torch.ones(1).expand(1 << 40), "does not have them"),
        (torch.eye(2).to_sparse(), "not a plain tensor"),
        (torch.ones(2, device="meta"), "not a plain tensor"),
    ],
)
def test_a_tensor_without_its_numbers_is_refused(tmp_path: Path, tensor: Tensor, fault: str) -> None:
    torch.save({"fine": torch.ones(1), "odd": tensor}, tmp_path / "g.pt")
    message = refusal(tmp_path / "g.pt")
    assert fault in message
    assert "'odd'" in message


def test_a_file_of_one_tensor_or_a_list_is_told(tmp_path: Path) -> None:
    torch.save(torch.ones(1), tmp_path / "one.pt")
    assert "holds a Tensor, not tensors by name" in refusal(tmp_path / "one.pt")
    torch.save([network()], tmp_path / "list.pt")
    assert "holds a list" in refusal(tmp_path / "list.pt")
    torch.save({"epoch": 3, "name": "x"}, tmp_path / "none.pt")
    assert "holds no tensors by name; it has: epoch, name." in refusal(tmp_path / "none.pt")


def test_reading_gives_everything_that_was_saved(tmp_path: Path) -> None:
    torch.save({"g_ema": network(), "latent_avg": torch.ones(3), "step": 4}, tmp_path / "g.pt")
    loaded = read_checkpoint(tmp_path / "g.pt")
    assert set(loaded) == {"g_ema", "latent_avg", "step"}


# Finding the generator

OPTIMIZER = {"state": {0: {"step": torch.ones(()), "exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]}


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


G, D, E = network(0), network(1), network(2)


@pytest.mark.parametrize(
    ("loaded", "expected", "text"),
    [
        (G, G, "the checkpoint's own tensors"),
        ({"state_dict": G, "epoch": 3}, G, "'state_dict' of the checkpoint"),
        (
            {"netG_state_dict": G, "netD_state_dict": D, "optimizerG": OPTIMIZER},
            G,
            "'netG_state_dict' of the checkpoint",
        ),
        ({"generator": G, "discriminator": D}, G, "'generator' of the checkpoint"),
        ({"generator": G}, G, "'generator' of the checkpoint"),
        ({"g": G, "d": D, "g_optim": OPTIMIZER, "d_optim": OPTIMIZER}, G, "'g' of the checkpoint"),
        ({"g": G, "g_ema": E, "d": D}, E, "'g_ema' of the checkpoint (the EMA copy, preferred to 'g')"),
        ({"G": G, "G_ema": E, "D": D}, E, "'G_ema' of the checkpoint (the EMA copy, preferred to 'G')"),
        ({"g_ema": E, "latent_avg": torch.ones(3)}, E, "'g_ema' of the checkpoint"),
        ({"netG": G, "netD": D}, G, "'netG' of the checkpoint"),
        ({"params": G, "params_ema": E}, E, "'params_ema' of the checkpoint (the EMA copy, preferred to 'params')"),
        ({"params": G}, G, "'params' of the checkpoint"),
        ({"model": G, "ema": E}, E, "'ema' of the checkpoint (the EMA copy, preferred to 'model')"),
        (
            {"model": {"generator": G, "discriminator": D}, "optimizer": OPTIMIZER},
            G,
            "'model.generator' of the checkpoint",
        ),
        (
            {"generator": G, "ema": E, "discriminator": D},
            E,
            "'ema' of the checkpoint (the EMA copy, preferred to 'generator')",
        ),
        ({"generator": G, "ema": {"other": torch.ones(1)}}, G, "'generator' of the checkpoint"),
        ({"generator": {"state_dict": G}, "vgg": D}, G, "'generator.state_dict' of the checkpoint"),
        ({"weird": G, "epoch": 1}, G, "'weird' of the checkpoint"),
        ({"mpd": D, "msd": D, "generator": G}, G, "'generator' of the checkpoint"),
        (prefixed("module.", G), G, "the checkpoint's own tensors, without the prefix 'module.'"),
        (
            prefixed("_orig_mod.module.", G),
            G,
            "the checkpoint's own tensors, without the prefix '_orig_mod.', 'module.'",
        ),
        (
            {
                "state_dict": prefixed("generator.", G) | prefixed("discriminator.", D),
                "callbacks": {"m": {"s": G["0.bias"]}},
            },
            G,
            "'state_dict.generator' of the checkpoint, without the prefix 'generator.'",
        ),
        (
            {"state_dict": prefixed("G._orig_mod.", G) | prefixed("D.", D) | prefixed("loss.vgg.", D)},
            G,
            "'state_dict.G' of the checkpoint, without the prefix '_orig_mod.', 'G.'",
        ),
        (
            prefixed("generator.", G) | prefixed("generator_ema.", E),
            E,
            (
                "'generator_ema' of the checkpoint (the EMA copy, preferred to 'generator'), "
                "without the prefix 'generator_ema.'"
            ),
        ),
        (prefixed("g.", G) | prefixed("d.", D), G, "'g' of the checkpoint, without the prefix 'g.'"),
    ],
)
def test_the_generator_is_found_in_the_usual_wrappings(
    loaded: dict[str, Any], expected: dict[str, Tensor], text: str
) -> None:
    found, source = find_state(loaded)
    hold_equal(found, expected)
    assert source == text


def test_an_averaged_model_of_torch_is_found() -> None:
    averaged = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2))
    found, _ = find_state({"g_ema": averaged.state_dict()})
    assert list(found) == ["weight", "bias"]


@pytest.mark.parametrize(
    "state",
    [
        prefixed("g.", G) | prefixed("theta.", G),  # an attention block's query, key and value
        prefixed("model.", G),
        prefixed("main.", G),
        prefixed("g_mapping.", G) | prefixed("g_synthesis.", G),
        {"weight_g": torch.ones(2), "weight_v": torch.ones(2)},
        {"g": torch.ones(2), "d": torch.ones(2)},
        G | {"0._extra_state": {"a": torch.ones(1)}},
    ],
)
def test_a_networks_own_names_are_not_taken_for_wrappings(state: dict[str, Any]) -> None:
    found, source = find_state(state)
    assert set(found) == {name for name, value in state.items() if isinstance(value, Tensor)}
    assert source == "the checkpoint's own tensors"


def test_two_networks_of_equal_standing_are_listed_and_one_is_picked_by_its_name() -> None:
    loaded = {"netA": G, "netB": OrderedDict(list(E.items())[:2]), "epoch": 1}
    with pytest.raises(CheckpointError) as caught:
        find_state(loaded)
    assert str(caught.value) == (
        "The checkpoint holds 2 networks: 'netA' (9 tensors), 'netB' (2 tensors); pick one with --key NAME."
    )
    found, source = find_state(loaded, "netB")
    assert set(found) == {"0.weight", "0.bias"}
    assert source == "'netB' of the checkpoint"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("state_dict.G_A", G),
        ("state_dict.G_B", E),
        ("state_dict.D_A", D),
        ("other", D),
        ("nested.generator", E),
        ("nested", E),
    ],
)
def test_a_key_reaches_dicts_in_dicts_and_prefixes(key: str, expected: dict[str, Tensor]) -> None:
    state = prefixed("G_A.", G) | prefixed("G_B.module.", E) | prefixed("D_A.", D)
    loaded = {"state_dict": state, "other": D, "nested": {"generator": E, "discriminator": D}}
    hold_equal(find_state(loaded, key)[0], expected)


def test_a_key_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(CheckpointError, match=r"no network 'netC'; it has: 'netA' \(9 tensors\)\."):
        find_state({"netA": G, "epoch": 1}, "netC")
    with pytest.raises(CheckpointError, match=r"no network 'epoch'"):
        find_state({"netA": G, "epoch": 1}, "epoch")


@pytest.mark.parametrize("name", ["netD_state_dict", "d", "discriminator", "netD", "D"])
def test_a_discriminator_alone_is_told(name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"holds only a discriminator, '{name}' \(9 tensors\)"):
        find_state({name: D, "epoch": 3, "optimizer_d": OPTIMIZER})
    with pytest.raises(CheckpointError, match=r"holds only a discriminator, 'discriminator'"):
        find_state({"state_dict": prefixed("discriminator.", D)})


def test_a_dict_that_holds_itself_is_looked_at_once() -> None:
    loop: dict[str, Any] = {"generator": G}
    loop.update({f"again{index}": loop for index in range(50)})
    hold_equal(find_state(loop)[0], G)


# What the tensors say


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.complex64])
def test_a_tensor_that_is_not_finite_is_named(value: float, dtype: torch.dtype) -> None:
    good = {"a": torch.ones(3), "n": torch.tensor(1), "e": torch.empty(0)}
    check_finite(good)
    bad = torch.ones(2, 3).to(dtype)
    bad[1, 1] = value
    with pytest.raises(CheckpointError, match=r"'b\.weight' is not usable: 1 of its 6 values are NaN or infinite"):
        check_finite(good | {"b.weight": bad})


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(3, 5),
    "conv1d": lambda: nn.Conv1d(3, 4, 5),
    "conv1d to one": lambda: nn.Conv1d(32, 1, 7),
    "conv2d": lambda: nn.Conv2d(3, 4, 3, bias=False),
    "square conv2d": lambda: nn.Conv2d(8, 8, 3),
    "square linear": lambda: nn.Linear(8, 8),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 4),
    "square transposed": lambda: nn.ConvTranspose2d(8, 8, 4),
    "pointwise transposed": lambda: nn.ConvTranspose1d(8, 8, 1),
    "grouped transposed": lambda: nn.ConvTranspose2d(4, 6, 4, groups=2),
    "embedding": lambda: nn.Embedding(7, 3),
}


def old_weight_norm(layer: nn.Module, **options: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(layer, **options)


NORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "old weight": old_weight_norm,
    "old weight, all": lambda layer: old_weight_norm(layer, dim=None),
    "old weight, last": lambda layer: old_weight_norm(layer, dim=1),
    "new weight": parametrizations.weight_norm,
    "new weight, all": lambda layer: parametrizations.weight_norm(layer, dim=None),
    "old spectral": nn.utils.spectral_norm,
    "new spectral": parametrizations.spectral_norm,
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_folded_norm_is_the_weight_of_eval_mode_to_the_last_bit(layer: str, norm: str) -> None:
    torch.manual_seed(0)
    plain = LAYERS[layer]()
    module = NORMS[norm](plain)
    example = torch.ones(2, dtype=torch.int64) if layer == "embedding" else torch.randn(2, *input_of(plain))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.7).add_(0.01)
    for _ in range(5):
        module.train()(example)
    module.eval()(example)
    state = {f"net.0.{name}": value for name, value in module.state_dict().items()}
    folded = fold_norms(state)
    assert set(folded) == {"net.0.weight"} | ({"net.0.bias"} if getattr(plain, "bias", None) is not None else set())
    assert torch.equal(folded["net.0.weight"], module.weight.detach())
    assert not folded["net.0.weight"].requires_grad


def input_of(layer: nn.Module) -> tuple[int, ...]:
    if isinstance(layer, nn.Linear):
        return (layer.in_features,)
    return (layer.in_channels, *(9 for _ in layer.kernel_size))


def test_norms_of_other_names_and_of_whole_networks_fold() -> None:
    torch.manual_seed(0)
    lstm = old_weight_norm(nn.LSTM(3, 4), name="weight_hh_l0")
    network = nn.Sequential(
        nn.utils.spectral_norm(nn.Linear(3, 3)), nn.BatchNorm1d(3), old_weight_norm(nn.Linear(3, 2))
    )
    network.eval()(torch.randn(4, 3))
    folded = fold_norms(network.state_dict())
    assert set(folded) == set(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)).state_dict())
    assert set(fold_norms(lstm.state_dict())) == set(nn.LSTM(3, 4).state_dict())


def test_what_is_no_norm_stays_as_it_is() -> None:
    state = network() | {"attention.weight_v": torch.ones(2), "query_g": torch.ones(1), "query_v": torch.ones(1)}
    folded = fold_norms(state)
    assert list(folded) == list(state)
    assert all(folded[name] is state[name] for name in state)


def test_a_spectral_norm_of_the_first_torch_keeps_the_weight_that_it_saved() -> None:
    state = {"a.weight": torch.ones(2, 2), "a.weight_u": torch.ones(2), "a.weight_orig": torch.full((2, 2), 2.0)}
    assert list(fold_norms(state)) == ["a.weight"]
    torch.testing.assert_close(fold_norms(state)["a.weight"], torch.ones(2, 2))


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ({"a.weight_orig": torch.ones(2, 2), "a.weight_u": torch.ones(2)}, "without its 'a.weight_v'"),
        ({"a.weight_g": torch.ones(3, 1), "a.weight_v": torch.ones(2, 2)}, "parts of 'a.weight' do not fit"),
        (
            {"a.weight_orig": torch.ones(2, 3), "a.weight_u": torch.ones(5), "a.weight_v": torch.ones(3)},
            "parts of 'a.weight' do not fit",
        ),
        (
            {"a.parametrizations.weight.original0": torch.ones(2, 1)},
            "without its 'a.parametrizations.weight.original1'",
        ),
        ({"a.parametrizations.weight.original": torch.ones(2)}, "without its 'a.parametrizations.weight.0._u'"),
    ],
)
def test_a_norm_with_a_part_missing_or_of_another_shape_is_told(state: dict[str, Tensor], fault: str) -> None:
    with pytest.raises(CheckpointError, match=fault):
        fold_norms(state)


def test_another_parametrization_is_told() -> None:
    orthogonal = parametrizations.orthogonal(nn.Linear(3, 3))
    with pytest.raises(CheckpointError, match="neither weight norm nor spectral norm"):
        fold_norms(orthogonal.state_dict())
    both = parametrizations.spectral_norm(parametrizations.weight_norm(nn.Linear(3, 3)))
    assert parametrize.is_parametrized(both)
    with pytest.raises(CheckpointError, match="neither weight norm nor spectral norm"):
        fold_norms(both.state_dict())
