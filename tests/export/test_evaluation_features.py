"""The networks that scores are measured in: what each makes of pictures, how it is told apart, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from albums import SIZE, bars, write_idx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ganrt import cache
from ganrt.errors import ArgumentError, CheckpointError, GanrtError, MissingExtra, NotABundle
from ganrt.spec import Image
from ganrt_export.evaluation.data import RealPictures, open_data
from ganrt_export.evaluation.features import ClassifierFeatures, open_features
from ganrt_export.evaluation.features.graph import GraphFeatures
from ganrt_export.evaluation.features.inception import InceptionFeatures, find_weights
from ganrt_export.evaluation.features.random import RandomFeatures
from ganrt_export.evaluation.frechet import frechet

EPOCHS = 20


def pictures(count: int, size: int = SIZE, channels: int = 1, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, channels), np.uint8)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> RealPictures:
    folder = tmp_path_factory.mktemp("data")
    write_idx(folder, *bars(300, 0))
    write_idx(folder, *bars(150, 1), part="t10k")
    return open_data(folder, None, Image(SIZE, SIZE, 1))


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> RealPictures:
    path = tmp_path_factory.mktemp("data") / "all.npz"
    np.savez(path, images=bars(60, 0)[0])
    return open_data(path, None, Image(SIZE, SIZE, 1))


# ONNX


def means(
    path: Path,
    shape: tuple[int | None, ...] = (None, 1, None, None),
    dtype: str = "float32",
    outputs: tuple[str, ...] = ("features",),
) -> Path:
    """A graph that gives the mean of each channel and that of its squares."""
    planar = shape[1] in (1, 3)
    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [2, 3] if planar else [1, 2])
    kinds = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8, "int64": TensorProto.INT64}
    channels = shape[1] if planar else shape[-1]
    width = None if channels is None else 2 * channels
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pictures"], ["x"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["x", "x"], ["xx"]),
            helper.make_node("ReduceMean", ["xx", "axes"], ["square"], keepdims=0),
            *(helper.make_node("Concat", ["mean", "square"], [name], axis=1) for name in outputs),
        ],
        "means",
        [helper.make_tensor_value_info("pictures", kinds[dtype], ["n" if one is None else one for one in shape])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [shape[0] or "n", width]) for name in outputs],
        [axes],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def expected(values: NDArray[Any]) -> NDArray[np.float64]:
    """What `means` should give for pictures [n, height, width, channels] in the graph's range."""
    exact = values.astype(np.float64)
    return np.concatenate([exact.mean(axis=(1, 2)), np.square(exact).mean(axis=(1, 2))], axis=1)


@pytest.mark.parametrize(
    ("shape", "dtype", "value_range"),
    [
        ((None, 1, None, None), "float32", (-1.0, 1.0)),
        ((None, 3, SIZE, SIZE), "float32", (0.0, 1.0)),
        ((None, SIZE, SIZE, 3), "float32", (0.0, 255.0)),
        ((None, None, None, 1), "uint8", None),
        ((7, 1, SIZE, SIZE), "uint8", None),
    ],
)
def test_a_graph_gets_pictures_in_its_layout_and_range(
    tmp_path: Path, shape: tuple[int | None, ...], dtype: str, value_range: tuple[float, float] | None
) -> None:
    channels = shape[1] if shape[1] in (1, 3) else shape[-1]
    network = GraphFeatures(means(tmp_path / "means.onnx", shape, dtype), value_range)
    given = pictures(100, channels=channels or 1)
    low, high = value_range or (0, 255)
    made = network.embed(given)
    assert made.shape == (100, network.dimensions)
    np.testing.assert_allclose(made, expected(given / 255 * (high - low) + low), rtol=2e-5, atol=2e-5)


def test_grey_pictures_become_coloured_and_coloured_ones_grey_where_the_graph_wants_it(tmp_path: Path) -> None:
    to_colour = GraphFeatures(means(tmp_path / "a.onnx", (None, 3, None, None)), (0.0, 255.0))
    grey = pictures(10)
    np.testing.assert_allclose(to_colour.embed(grey), expected(np.repeat(grey, 3, axis=3)), rtol=1e-5)
    to_grey = GraphFeatures(means(tmp_path / "b.onnx", (None, 1, None, None)), (0.0, 255.0))
    colour = pictures(10, channels=3)
    luma = (colour * np.array([0.299, 0.587, 0.114])).sum(axis=3, keepdims=True)
    np.testing.assert_allclose(to_grey.embed(colour), expected(luma), rtol=1e-5)


def test_pictures_are_resized_to_what_the_graph_takes(tmp_path: Path) -> None:
    network = GraphFeatures(means(tmp_path / "means.onnx", (None, 1, 24, 24)), (0.0, 255.0))
    flat = np.full((4, SIZE, SIZE, 1), 77, np.uint8)
    np.testing.assert_allclose(network.embed(flat), expected(flat), rtol=1e-5)


def test_of_several_outputs_the_one_called_features_is_taken(tmp_path: Path) -> None:
    network = GraphFeatures(means(tmp_path / "means.onnx", outputs=("logits", "features")), (0.0, 1.0))
    assert network.embed(pictures(3)).shape == (3, 2)


def test_another_range_makes_other_features(tmp_path: Path) -> None:
    path = means(tmp_path / "means.onnx")
    one, other = (GraphFeatures(path, (low, 1.0)) for low in (0.0, -1.0))
    assert one.digest != other.digest
    assert "pixels as -1 to 1" in other.says


def no_picture(path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["z"], ["features"])],
        "flat",
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 4])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("make", "value_range", "problem", "sentence"),
    [
        (lambda path: means(path), None, ArgumentError, "takes float32; say which range pixels are to have"),
        (
            lambda path: means(path, (None, 1, None, None), "uint8"),
            (0.0, 1.0),
            ArgumentError,
            "takes uint8 pixels as they are; leave out --feature-range",
        ),
        (no_picture, (0.0, 1.0), ArgumentError, r"takes 'z' float32 \[any, 4\]; features are made of one input"),
        (
            lambda path: means(path, outputs=("a", "b")),
            (0.0, 1.0),
            ArgumentError,
            "it needs one output of features .* called 'features' where there are several",
        ),
        (lambda path: path.write_text("no graph") and path, (0.0, 1.0), NotABundle, "is not an ONNX model"),
    ],
)
def test_a_graph_that_will_not_do_is_one_sentence(
    tmp_path: Path, make: Any, value_range: tuple[float, float] | None, problem: type[GanrtError], sentence: str
) -> None:
    with pytest.raises(problem, match=sentence):
        GraphFeatures(make(tmp_path / "graph.onnx"), value_range)


# Classifiers


@pytest.fixture(scope="module")
def trained(real: RealPictures, request: pytest.FixtureRequest) -> ClassifierFeatures:
    with pytest.MonkeyPatch.context() as patch:  # a module's fixture comes before `clean_environment`
        patch.setenv("GANRT_CACHE_DIR", str(request.getfixturevalue("_cache")))
        network = open_features("train", real, epochs=EPOCHS)
    assert isinstance(network, ClassifierFeatures)
    return network


def test_train_learns_the_classes_of_the_data(real: RealPictures, trained: ClassifierFeatures) -> None:
    part = real.held_out
    answers = trained.classify(trained.embed(part.pixels(0, len(part))))
    assert (answers == part.labels).mean() > 0.95
    assert trained.names == real.names == ("0", "1", "2")
    assert trained.dimensions == 128


def test_what_was_trained_is_kept_and_is_the_same_from_its_file(
    real: RealPictures, trained: ClassifierFeatures
) -> None:
    told: list[str] = []
    again = open_features("train", real, epochs=EPOCHS, tell=told.append)
    assert again.digest == trained.digest
    assert not any("training" in line for line in told)
    kept = [open_features(str(file), real) for file in (cache.folder() / "judge").rglob("*.safetensors")]
    (from_file,) = [network for network in kept if network.digest == trained.digest]
    given = real.training.pixels(0, 9)
    np.testing.assert_array_equal(from_file.embed(given), trained.embed(given))


def test_a_classifier_refuses_pictures_of_another_size_or_colour(trained: ClassifierFeatures) -> None:
    with pytest.raises(ArgumentError, match="of 12 x 12 with 1 channels, not of 12 x 12 with 3"):
        trained.embed(pictures(2, channels=3))


def test_coloured_pictures_of_any_size_can_be_learnt(tmp_path: Path) -> None:
    images, labels = bars(60, 0)
    coloured = np.repeat(np.repeat(images, 2, axis=1), 2, axis=2)[..., None].repeat(3, axis=3)
    np.savez(tmp_path / "coloured.npz", images=coloured[:, :20, :20], labels=labels)
    network = open_features("train", open_data(tmp_path / "coloured.npz", None, Image(20, 20, 3)), epochs=1)
    assert network.embed(pictures(4, 20, 3)).shape == (4, 128)


# Inception


def torch_fidelity() -> Any:
    try:
        from torch_fidelity import feature_extractor_inceptionv3
    except (ImportError, RuntimeError) as problem:  # RuntimeError: a torchvision of another PyTorch
        pytest.skip(f"torch-fidelity cannot be loaded: {problem}")
    return feature_extractor_inceptionv3


@pytest.mark.filterwarnings("ignore")
def test_inception_takes_weights_from_a_file_and_says_that_they_are_not_the_published_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = torch_fidelity()
    with monkeypatch.context() as patch:  # a network of random weights, where no published ones are
        patch.setattr(module, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        torch.manual_seed(0)
        theirs = module.FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = InceptionFeatures(tmp_path / "weights.pth")
    given = pictures(3, 32, 3)
    with torch.inference_mode():
        (made,) = theirs(torch.from_numpy(given.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(ours.embed(given), made.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(ours.embed(given[..., :1]), ours.embed(given[..., :1].repeat(3, axis=3)))
    assert "in weights other than published" in ours.says


@pytest.mark.filterwarnings("ignore")
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch_fidelity()
    torch.save({"layer.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="does not hold the weights of FID's Inception-V3"):
        InceptionFeatures(tmp_path / "other.pth")


def test_weights_are_read_and_never_executed(tmp_path: Path) -> None:
    import pickle  # noqa: TID251  # to make a hostile file

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"layer": Evil()}, tmp_path / "evil.pth", pickle_module=pickle)
    with pytest.raises(CheckpointError, match="must not run code"):
        InceptionFeatures(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()


def test_inception_without_its_weights_says_where_to_get_them_and_fetches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: RealPictures
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ArgumentError, match=r"which are not in .*; fetch https://.* there, or name the file"):
        open_features("inception", real)
    assert list(tmp_path.iterdir()) == []
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / "weights-inception-2015-12-05-6726825d.pth").touch()
    assert find_weights().parent == folder


def test_inception_without_torch_fidelity_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("torch_fidelity", "torch_fidelity.feature_extractor_inceptionv3"):
        monkeypatch.setitem(sys.modules, name, None)
    torch.save({"layer.weight": torch.zeros(2, 2)}, tmp_path / "weights.pth")
    with pytest.raises(MissingExtra, match=r"needs torch-fidelity .*: pip install 'ganrt\[inception\]'"):
        InceptionFeatures(tmp_path / "weights.pth")


# Random weights


def test_random_features_are_the_same_everywhere() -> None:
    assert [RandomFeatures(channels).digest[:8] for channels in (1, 3)] == ["217e0fec", "76a8e812"]


def test_random_features_tell_noisy_pictures_from_clean_ones() -> None:
    network = RandomFeatures(1)
    clean, other = (bars(300, seed)[0][..., None] for seed in (0, 1))
    noisy = [np.clip(other + np.random.default_rng(2).normal(0, by, other.shape), 0, 255) for by in (0, 10, 30)]
    real = network.embed(clean)
    distances = [frechet(real, network.embed(some.astype(np.uint8))).unbiased.value for some in noisy]
    assert distances == sorted(distances)
    assert distances[2] > 5 * abs(distances[0])


@pytest.mark.parametrize("network", [RandomFeatures(3)])
def test_features_do_not_depend_on_how_many_are_asked_for(network: RandomFeatures) -> None:
    given = pictures(300, channels=3)
    np.testing.assert_allclose(network.embed(given)[290:], network.embed(given[290:]), rtol=1e-4, atol=1e-5)


# Which


def test_auto_is_train_where_there_are_classes(real: RealPictures, trained: ClassifierFeatures) -> None:
    assert open_features("auto", real, epochs=EPOCHS).digest == trained.digest


def test_auto_asks_where_there_are_none(unlabelled: RealPictures) -> None:
    with pytest.raises(ArgumentError, match="have no classes to train features on; choose --features inception"):
        open_features("auto", unlabelled)


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("resnet", {}, "There are no features 'resnet'; choose digits, train, inception, random, or a file"),
        ("lost.onnx", {}, "There are no features 'lost.onnx'"),
        ("random", {"value_range": (0.0, 1.0)}, "--feature-range is for features in an .onnx file"),
        ("random", {"epochs": 3}, "--epochs is for --features train"),
        (__file__, {}, "is no network of features: give an .onnx, a .safetensors or a .pth"),
    ],
)
def test_features_that_cannot_be_are_one_sentence(
    real: RealPictures, name: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ArgumentError, match=sentence):
        open_features(name, real, **options)


def test_train_needs_classes(unlabelled: RealPictures) -> None:
    with pytest.raises(ArgumentError, match="needs the class of each picture: a folder for each class"):
        open_features("train", unlabelled)


def test_a_file_of_no_classifier_is_refused(tmp_path: Path, real: RealPictures) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="holds no classifier that ganrt has trained"):
        open_features(str(tmp_path / "other.safetensors"), real)
