"""A small generator of the digits' family with random weights, exported once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest
import torch

from ganrt.spec import Spec
from ganrt_export.families.cgan import FoldedGenerator, Generator, spec
from ganrt_export.half_weights import round_weights
from ganrt_export.to_onnx import export_onnx


class Exported(NamedTuple):
    """`trained` as training leaves it, `module` as it is exported, and both graphs of the latter."""

    trained: Generator
    module: FoldedGenerator
    spec: Spec
    graph: bytes
    half_graph: bytes


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def small_generator(seed: int = 0) -> Generator:
    """Random weights and batch-norm statistics: nothing in it is 0 or 1 by its initialisation."""
    torch.manual_seed(seed)
    generator = Generator(z_dim=6, classes=3, embedding_dim=4, width=8)
    with torch.no_grad():
        for norm in (module for module in generator.modules() if isinstance(module, torch.nn.BatchNorm2d)):
            for values in (norm.weight, norm.running_var):
                values.uniform_(0.5, 2)
            for values in (norm.bias, norm.running_mean):
                values.normal_()
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def exported() -> Exported:
    trained = small_generator()
    module = round_weights(FoldedGenerator(trained))
    described = spec(trained, ("zero", "one", "two"))
    plain, half = (export_onnx(module, described, half_weights=half) for half in (False, True))
    return Exported(trained, module, described, plain, half)
