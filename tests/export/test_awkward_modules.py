"""Strangers' generators: what the export writes is the module at every batch, or it says in one sentence why not.

The networks are in tests/awkward, one file a kind. A few run always; all of them with `-m slow`.
"""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from awkward_case import Case, call, flat
from torch import Tensor, nn

import ganrt_export
from ganrt import Generator
from ganrt.errors import ExportError
from ganrt.spec import Spec

BATCHES = (1, 2, 3, 8)
TOLERANCE = 1e-4  # of the largest magnitude of an output
KINDS = (
    "unconditional",
    "conditional",
    "progressive",
    "style_based",
    "restoration",
    "restoration_attention",
    "vocoder",
    "waveform",
    "tabular",
    "video",
    "odd_habits",
    "odd_interfaces",
    "odd_modules",
    "odd_values",
    "refused",
)
ALL: list[Case] = [case for kind in KINDS for case in importlib.import_module(f"awkward.{kind}").CASES]
SERVED = [case for case in ALL if case.refused is None]
REFUSED = [case for case in ALL if case.refused is not None]
QUICK = [case for case in SERVED if case.quick]


def with_slow(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case.name, marks=() if case.quick else pytest.mark.slow) for case in cases]


def named(name: str) -> Case:
    return next(case for case in ALL if case.name == name)


def one_row(tree: Any, row: int) -> Any:
    if isinstance(tree, dict):
        return {name: one_row(part, row) for name, part in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)(one_row(part, row) for part in tree)
    return tree[row : row + 1] if isinstance(tree, Tensor) else tree


def assert_near(found: Any, expected: Any, what: str, tolerance: float = TOLERANCE) -> None:
    """Equal shape and type; whole numbers and bools equal, floats within `tolerance` of the largest magnitude."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, what
    assert found.dtype == expected.dtype, what
    if expected.dtype.kind != "f":
        assert (found == expected).all(), what
        return
    error = np.abs(found.astype(np.float64) - expected).max()
    largest = np.abs(expected.astype(np.float64)).max()
    assert error <= tolerance * largest, f"{what}: off by {error / largest:.1e} of its largest magnitude"


def given(inputs: Any) -> Any:
    """The inputs as `Generator.run` takes them: by name when all have one, else in order."""
    if isinstance(inputs, dict) and all(not isinstance(part, (tuple, list, dict)) for part in inputs.values()):
        return {name: part.numpy() for name, part in inputs.items() if isinstance(part, Tensor)}
    return tuple(part.numpy() for part in flat(inputs))


def answers(generator: Generator, inputs: Any) -> list[np.ndarray]:
    """What the network gives, in its order, without the pixels that a picture has beside."""
    found = generator.run(given(inputs))
    spec: Spec = generator.spec
    return [found[name] for name in (spec.output.raw, *(one.raw for one in spec.also))]


def assert_same(path: Path, case: Case, module: nn.Module) -> None:
    """The bundle at `path` gives what `module` gives, for fresh inputs at every batch."""
    with Generator.load(path, backend="onnxruntime", threads=1) as generator:
        for batch in BATCHES:
            inputs = case.inputs(batch, seed=7)
            expected = flat(call(module, inputs))
            found = answers(generator, inputs)
            assert len(found) == len(expected)
            for index, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
                assert_near(ours, theirs.detach().numpy(), f"{case.name}, batch {batch}, output {index}")


def state(module: nn.Module) -> dict[str, Any]:
    """What an export must leave as it was."""
    return {
        "weights": {name: value.clone() for name, value in module.state_dict().items()},
        "training": [part.training for part in module.modules()],
        "gradients": [value.requires_grad for value in module.parameters()],
        "hooks": [len(part._forward_pre_hooks) + len(part._forward_hooks) for part in module.modules()],
        "types": [type(part) for part in module.modules()],
    }


@pytest.mark.parametrize("case", with_slow(SERVED))
def test_the_bundle_gives_what_the_module_gives_at_every_batch(case: Case, tmp_path: Path) -> None:
    module, example = case.build()
    ganrt_export.export_generator(module, tmp_path / "g.ganrt", example_inputs=example)
    assert_same(tmp_path / "g.ganrt", case, case.build()[0])


@pytest.mark.parametrize("case", with_slow(REFUSED))
def test_what_cannot_be_exported_is_refused_in_one_sentence(case: Case, tmp_path: Path) -> None:
    module, example = case.build()
    with pytest.raises(ExportError, match=case.refused) as caught:
        ganrt_export.export_generator(module, tmp_path / "g.ganrt", example_inputs=example)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert not list(tmp_path.iterdir())


def test_every_case_is_a_fair_one() -> None:
    """Each has a name of its own, gives the same twice, and gives each row of a batch what it gives the row alone."""
    assert [name for name, count in Counter(case.name for case in ALL).items() if count > 1] == []
    for case in SERVED:
        module, _ = case.build()
        for batch in BATCHES:
            inputs = case.inputs(batch)
            together = flat(call(module, inputs))
            assert together, case.name
            if batch == 3:
                for first, again in zip(together, flat(call(module, inputs)), strict=True):
                    assert torch.equal(first, again), case.name
            if case.rowwise:
                assert all(len(output) == batch for output in together), case.name
            if case.rowwise and batch == 3:
                alone = [flat(call(module, one_row(inputs, row))) for row in range(batch)]
                for output, rows in zip(together, zip(*alone, strict=True), strict=True):
                    assert_near(torch.cat(rows), output, f"{case.name}, row by row", tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3, 5])
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in QUICK])
def test_an_example_of_any_batch_does_as_well(case: Case, batch: int, tmp_path: Path) -> None:
    module, _ = case.build()
    ganrt_export.export_generator(module, tmp_path / "g.ganrt", example_inputs=case.inputs(batch))
    assert_same(tmp_path / "g.ganrt", case, case.build()[0])


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in QUICK])
def test_a_module_is_left_as_it_was(case: Case, tmp_path: Path) -> None:
    module, example = case.build()
    next(module.modules()).training = True  # a mixture: the children stay in eval mode
    before, kept = state(module), [value.clone() for value in flat(example)]
    random_state = torch.get_rng_state()
    ganrt_export.export_generator(module, tmp_path / "g.ganrt", example_inputs=example)
    after = state(module)
    weights, weights_after = before.pop("weights"), after.pop("weights")
    assert weights.keys() == weights_after.keys()
    assert all(torch.equal(value, weights_after[name]) for name, value in weights.items())
    assert after == before
    assert all(map(torch.equal, flat(example), kept))
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.slow
def test_dropout_in_train_mode_is_refused_with_the_remedy(tmp_path: Path) -> None:
    module, example = named("dropout_and_identity").build()
    with pytest.raises(ExportError, match="eval"):
        ganrt_export.export_generator(module.train(), tmp_path / "g.ganrt", example_inputs=example)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stylegan2_random_noise", "rosinality_randomize_noise", "ctgan_gumbel_inside"])
def test_frozen_noise_is_the_same_for_every_sample_and_call(name: str, tmp_path: Path) -> None:
    case = named(name)
    module, example = case.build()
    ganrt_export.export_generator(module, tmp_path / "g.ganrt", example_inputs=example, noise="freeze")
    with Generator.load(tmp_path / "g.ganrt", backend="onnxruntime", threads=1) as generator:
        alone = answers(generator, case.inputs(1))
        twins = answers(generator, tuple(part.repeat(3, 1) for part in flat(case.inputs(1))))
    for one, three in zip(alone, twins, strict=True):
        assert_near(three, np.repeat(one, 3, axis=0), name, tolerance=1e-5)


@pytest.mark.slow
def test_one_tensor_given_twice_is_two_inputs(tmp_path: Path) -> None:
    case = named("forward_positional_only")
    module, _ = case.build()
    z = torch.randn(2, 6)
    ganrt_export.export_generator(module, tmp_path / "g.ganrt", example_inputs=(z, z))
    assert_same(tmp_path / "g.ganrt", case, case.build()[0])


@pytest.mark.slow
def test_examples_may_be_views_with_gradients(tmp_path: Path) -> None:
    case = named("forward_positional_only")
    module, _ = case.build()
    z = torch.randn(6, 4, requires_grad=True).T[::2]
    ganrt_export.export_generator(module, tmp_path / "g.ganrt", example_inputs=(z, z.expand(2, 6)[:, :1].expand(2, 6)))
    assert_same(tmp_path / "g.ganrt", case, case.build()[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("cgan_mlp_concat", ["noise", "labels"]),
        ("forward_keyword_only", ["z", "truncation"]),
        ("biggan_with_shared_embedding", ["z", "y"]),
        ("names_args_kwargs", ["args", "kwargs"]),
        ("names_of_weights_and_nodes", ["fc", "weight", "linear", "add"]),
        ("decorated_with_wraps", ["z", "shift"]),
        ("dict_in_dict_out", ["batch_z", "batch_more_style"]),
    ],
)
def test_inputs_keep_the_names_that_the_forward_gives_them(name: str, names: list[str], tmp_path: Path) -> None:
    module, example = named(name).build()
    bundle = ganrt_export.export_generator(module, tmp_path / "g.ganrt", example_inputs=example)
    assert [port.name for port in bundle.manifest.spec.input_ports()] == names


@pytest.mark.slow
def test_equal_weights_give_equal_graphs(tmp_path: Path) -> None:
    case = named("stylegan2_grouped")
    graphs = []
    for turn in range(2):
        module, example = case.build()
        bundle = ganrt_export.export_generator(module, tmp_path / f"{turn}.ganrt", example_inputs=example)
        graphs.append(bundle.graph("fp32"))
    assert graphs[0] == graphs[1]
