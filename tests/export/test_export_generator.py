"""export_generator, as somebody with a module of their own meets it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganrt import ArgumentError, ExportError, Generator, OutputError, SpecError
from ganrt.spec import Audio, Image, Label, Latent, Signal, Spec
from ganrt_export import export_generator

BATCHES = (1, 2, 3, 8)


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.norm, self.outer = nn.Linear(6, 16), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 3, 4, 2, 1)
        self.by_label = nn.Embedding(5, 16)
        nn.init.uniform_(self.norm.running_mean)
        nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.inner(z) + self.by_label(label)).reshape(-1, 4, 2, 2)
        return torch.tanh(self.outer(self.norm(hidden)))


class Upscaler(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(self.last(F.relu(self.first(x))), 2) + F.interpolate(x, scale_factor=2)


class PerSample(nn.Module):
    """A Python loop over the batch, which no tracer follows for any batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv1d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.convolution(x[i : i + 1])[0] * (i + 1 - i) for i in range(x.shape[0])])


@dataclasses.dataclass
class Answer:
    picture: Tensor
    parts: list[Tensor]
    nothing: None = None


class Nested(nn.Module):
    def forward(self, batch: dict[str, Tensor], scale: float = 2.0, *, extra: tuple[Tensor, Tensor]) -> Answer:
        return Answer(batch["a"] * scale, [batch["b"] + extra[0], batch["a"], extra[1].sum()])


class Doubtful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5))
        self.body[2].train()

    def train(self, mode: bool = True) -> Doubtful:
        return self  # what upstream code does, so that eval() leaves the dropout on

    def forward(self, z: Tensor) -> Tensor:
        return self.body(z)


def held(path: Path, module: nn.Module, make) -> None:
    """The bundle gives what the module gives, at every batch."""
    with Generator.load(path, backend="onnxruntime", precision="fp32", threads=1) as generator:
        for batch in BATCHES:
            inputs = make(batch)
            with torch.no_grad():
                expected = module(*inputs).numpy()
            found = list(generator.run([tensor.numpy() for tensor in inputs]).values())[-1]
            np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_spec_makes_a_bundle_that_samples(tmp_path: Path) -> None:
    module = Tiny().eval()
    spec = Spec(
        inputs=(Latent(size=6), Label(classes=5, names=("a", "b", "c", "d", "e"))),
        output=Image(height=4, width=4, channels=3),
    )
    bundle = export_generator(module, tmp_path / "tiny.ganrt", spec, license="MIT")
    assert bundle.manifest.name == "tiny"
    assert bundle.manifest.family == "Tiny"
    assert bundle.manifest.provenance["traced"] == "traced"
    assert len(bundle.manifest.goldens.samples) == 5
    for figures in bundle.manifest.fidelity["fp32"].values():
        assert figures["samples"] >= 256
        assert figures["relative_error"] < 1e-5
    with Generator.load(bundle.path, precision="fp32") as generator:
        assert generator.sample(3, seed=1, label="c").shape == (3, 4, 4, 3)
    held(bundle.path, module, lambda n: (torch.randn(n, 6), torch.randint(5, (n,))))
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.ganrt"]


def test_examples_alone_derive_the_spec(tmp_path: Path) -> None:
    module = Tiny().eval()
    example = (torch.randn(2, 6), torch.tensor([1, 4]))
    bundle = export_generator(module, tmp_path / "tiny.ganrt", example_inputs=example)
    z, label = bundle.manifest.spec.inputs
    assert z == Signal(name="z", kind="tensor", shape=(6,))
    assert label == Label(classes=5, name="label")
    assert bundle.manifest.goldens.inputs == {"z": "goldens.z.npy", "label": "goldens.label.npy"}
    bundle.verify()
    held(bundle.path, module, lambda n: (torch.randn(n, 6), torch.randint(5, (n,))))


def test_a_picture_of_any_size_stays_one_of_any_size(tmp_path: Path) -> None:
    module = Upscaler().eval()
    bundle = export_generator(module, tmp_path / "up.ganrt", example_inputs=torch.rand(2, 3, 8, 8))
    assert bundle.manifest.spec.inputs[0].shape == (3, None, None)
    with Generator.load(bundle.path, precision="fp32") as generator:
        picture = torch.rand(1, 3, 13, 21)
        found = generator.run([picture.numpy()])["output"]
    np.testing.assert_allclose(found, module(picture).detach().numpy(), atol=1e-5)
    assert found.shape == (1, 3, 26, 42)
    fixed = export_generator(module, tmp_path / "fixed.ganrt", example_inputs=torch.rand(2, 3, 8, 8), sizes="fixed")
    assert fixed.manifest.spec.inputs[0].shape == (3, 8, 8)


def test_a_picture_to_picture_spec_gives_pixels(tmp_path: Path) -> None:
    spec = Spec(
        inputs=(Signal(name="image", kind="image", shape=(3, None, None)),),
        output=Image(height=None, width=None, channels=3, low=0, high=1, name="pixels"),
    )
    bundle = export_generator(Upscaler().eval(), tmp_path / "up.ganrt", spec)
    with Generator.load(bundle.path, precision="fp32") as generator:
        outputs = generator.run({"image": np.full((1, 3, 5, 7), 0.5, np.float32)})
    assert outputs["pixels"].dtype == np.uint8
    assert outputs["pixels"].shape == (1, 10, 14, 3)


def test_what_cannot_be_traced_for_any_batch_is_computed_sample_by_sample(tmp_path: Path) -> None:
    module = PerSample().eval()
    bundle = export_generator(module, tmp_path / "loop.ganrt", example_inputs=torch.randn(2, 2, 6), sizes="fixed")
    assert bundle.manifest.provenance["traced"] == "per sample"
    held(bundle.path, module, lambda n: (torch.randn(n, 2, 6),))


def test_nested_arguments_and_results_are_named_by_their_path(tmp_path: Path) -> None:
    example = {
        "batch": {"a": torch.randn(2, 3), "b": torch.randn(2, 4)},
        "extra": (torch.randn(2, 4), torch.randn(2, 2)),
    }
    bundle = export_generator(Nested().eval(), tmp_path / "nested.ganrt", example_inputs=example)
    assert [part.name for part in bundle.manifest.spec.inputs] == ["batch_a", "batch_b", "extra_0", "extra_1"]
    with Generator.load(bundle.path, precision="fp32") as generator:
        given = [np.random.default_rng(0).standard_normal((3, n), np.float32) for n in (3, 4, 4, 2)]
        outputs = generator.run(given)
    assert list(outputs) == ["picture", "parts_0", "parts_1", "parts_2"]
    np.testing.assert_allclose(outputs["picture"], given[0] * 2, rtol=1e-6)
    np.testing.assert_allclose(outputs["parts_1"], given[0])
    assert outputs["parts_2"].shape == ()


def test_dropout_left_on_is_found_and_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"different outputs for equal inputs.* 'body.2' \(Dropout\)"):
        export_generator(Doubtful(), tmp_path / "x.ganrt", example_inputs=torch.randn(2, 4))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "example", "sentence"),
    [
        (nn.Linear(4, 4), torch.randn(2, 5), "fails in PyTorch on its own example inputs"),
        (
            nn.Bilinear(4, 4, 2),
            {"y": torch.randn(2, 4), "x": torch.randn(2, 4)},
            "has no parameter y, x; it takes: input1",
        ),
        (nn.Linear(4, 4), (1.0,), "hold no tensor"),
        (nn.Identity(), torch.tensor(3.0), r"one number for the whole batch, .* give it as a Python number \(3\)"),
        (nn.Identity(), torch.zeros(0, 3), r"is \[0, 3\], which is empty"),
        (nn.Bilinear(3, 4, 5), (torch.randn(2, 3), torch.randn(3, 4)), "the same batch, .*: input1 2, input2 3"),
    ],
)
def test_bad_examples_are_one_sentence(tmp_path: Path, module: nn.Module, example: object, sentence: str) -> None:
    with pytest.raises(ExportError, match=sentence):
        export_generator(module.eval(), tmp_path / "x.ganrt", example_inputs=example)


def test_weights_that_are_not_finite_are_found(tmp_path: Path) -> None:
    module = nn.Linear(4, 4).eval()
    nn.init.constant_(module.bias, float("nan"))
    with pytest.raises(ExportError, match="not finite for the example inputs"):
        export_generator(module, tmp_path / "x.ganrt", example_inputs=torch.randn(2, 4))


def test_a_spec_that_does_not_fit_says_where(tmp_path: Path) -> None:
    module, target = Tiny().eval(), tmp_path / "x.ganrt"
    picture = Image(height=4, width=4, channels=3)
    with pytest.raises(SpecError, match=r"The spec has 1 inputs \(z\), the example inputs 2"):
        export_generator(
            module, target, Spec(inputs=(Latent(size=6),), output=picture), (torch.randn(2, 6), torch.tensor([1, 2]))
        )
    both = (Latent(size=6), Label(classes=5))
    with pytest.raises(
        SpecError,
        match=r"The spec says the output 'image_float' is \[batch, 3, 8, 8\]; the module gives \[2, 3, 4, 4\]",
    ):
        export_generator(module, target, Spec(inputs=both, output=Image(height=8, width=8, channels=3)))
    with pytest.raises(SpecError, match=r"the output 'audio' is \[batch, 1, 48\]; the module gives"):
        export_generator(module, target, Spec(inputs=both, output=Audio(length=48, sample_rate=8000)))
    with pytest.raises(ExportError, match="fails in PyTorch"):
        export_generator(module, target, Spec(inputs=(Latent(size=7), Label(classes=5)), output=picture))


def test_neither_spec_nor_example_and_no_place_to_write(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="needs a spec or example_inputs"):
        export_generator(Tiny(), tmp_path / "x.ganrt")
    with pytest.raises(OutputError, match="does not exist; make it"):
        export_generator(Tiny(), tmp_path / "no" / "x.ganrt", example_inputs=torch.randn(2, 4))
    with pytest.raises(ArgumentError, match=r"takes a torch.nn.Module, not a dict"):
        export_generator({}, tmp_path / "x.ganrt", example_inputs=torch.randn(2, 4))  # type: ignore[arg-type]


def test_the_module_of_the_user_is_left_as_it_was(tmp_path: Path) -> None:
    module = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4)).eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    export_generator(module, tmp_path / "x.ganrt", example_inputs=torch.randn(2, 4))
    assert list(module.state_dict()) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert not module.training


def test_noise_inside_is_refused_or_frozen(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn_like(x)

    with pytest.raises(ExportError, match="noise='freeze'"):
        export_generator(Noisy().eval(), tmp_path / "x.ganrt", example_inputs=torch.randn(2, 4))
    bundle = export_generator(Noisy().eval(), tmp_path / "x.ganrt", example_inputs=torch.randn(2, 4), noise="freeze")
    with Generator.load(bundle.path, precision="fp32") as generator:
        zero = generator.run([np.zeros((3, 4), np.float32)])["output"]
        np.testing.assert_allclose(generator.run([np.ones((8, 4), np.float32)])["output"][0], zero[0] + 1, rtol=1e-5)
        assert np.abs(zero[0] - zero[2]).max() == 0
        assert np.abs(zero).max() > 0.1


class Grainy(nn.Module):
    """Noise of every pixel, of every sample, and the same for all; dropout that is left on."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3 * 8 * 8)

    def forward(self, z: Tensor) -> Tensor:
        x = self.linear(z).view(-1, 3, 8, 8)
        x = x + 0.3 * torch.randn(x.shape[0], 1, 8, 8) + 0.1 * torch.rand_like(x) + 0.1 * torch.randn(1, 3, 1, 1)
        return F.dropout(x.tanh(), 0.3, training=True)


def test_noise_inside_becomes_latents_of_the_bundle(tmp_path: Path) -> None:
    torch.manual_seed(0)
    spec = Spec(inputs=(Latent(size=4),), output=Image(height=8, width=8, channels=3))
    export_generator(Grainy().eval(), tmp_path / "x.ganrt", spec, noise="input")
    with Generator.load(tmp_path / "x.ganrt", precision="fp32") as generator:
        assert [port.name for port in generator.spec.input_ports()] == ["z", "noise_0", "noise_1", "noise_2"]
        some = generator.sample(5, seed=3)
        np.testing.assert_array_equal(some[2:3], generator.sample(1, seed=3, start=2))
        z = np.zeros((2, 4), np.float32)
        rng = np.random.default_rng(0)
        same, other = (
            generator.run([z, *(rng.uniform(-1, 1, (2, n)).astype(np.float32) for n in (64, 192, 192))])["image_float"]
            for _ in range(2)
        )
        assert not np.array_equal(same, other)
        assert 0.6 < np.count_nonzero(same) / same.size < 0.8  # dropout keeps 70 %


def test_without_a_spec_noise_becomes_latents_too(tmp_path: Path) -> None:
    bundle = export_generator(Grainy().eval(), tmp_path / "x.ganrt", example_inputs=torch.randn(2, 4), noise="input")
    _, *noise = bundle.manifest.spec.inputs
    assert [(one.size, one.distribution) for one in noise if isinstance(one, Latent)] == [
        (64, "normal"),
        (192, "uniform"),
        (192, "uniform"),
    ]


def test_a_latent_of_one_pixel_stays_one_pixel(tmp_path: Path) -> None:
    module = nn.ConvTranspose2d(10, 3, 4).eval()
    bundle = export_generator(module, tmp_path / "x.ganrt", example_inputs=torch.randn(2, 10, 1, 1))
    assert bundle.manifest.provenance["traced"] == "traced"
    assert bundle.manifest.spec.input_ports()[0].shape == (None, 10, 1, 1)


def test_a_cut_at_a_share_of_the_size_follows_the_size(tmp_path: Path) -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            kept = int(x.shape[-1] * 0.7)
            return torch.cat([2 * x[..., :kept], x[..., kept:]], -1)

    bundle = export_generator(Cut().eval(), tmp_path / "x.ganrt", example_inputs=torch.randn(2, 3, 10))
    with Generator.load(bundle.path, precision="fp32") as generator:
        for size in range(3, 30):
            x = torch.randn(2, 3, size)
            np.testing.assert_array_equal(generator.run([x.numpy()])["output"], Cut()(x).numpy())


def test_batch_norm_with_the_batchs_own_statistics_becomes_instance_norm(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4, track_running_stats=False), nn.Tanh(), nn.Conv2d(4, 1, 1)
    ).eval()
    nn.init.uniform_(module[1].weight)
    nn.init.normal_(module[1].bias)
    bundle = export_generator(module, tmp_path / "x.ganrt", example_inputs=torch.randn(2, 1, 8, 8))
    assert any("instance norm" in note for note in bundle.manifest.provenance["notes"])
    pictures = torch.randn(3, 1, 8, 8)
    with Generator.load(bundle.path, precision="fp32") as generator:
        found = generator.run([pictures.numpy()])["output"]
    alone = torch.cat([module(picture[None]) for picture in pictures]).detach().numpy()
    np.testing.assert_allclose(found, alone, atol=1e-5)
