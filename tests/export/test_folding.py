"""Linear algebra of weights, computed before the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganrt_export.folding import fold, foldable

DYNAMIC = (({0: torch.export.Dim.DYNAMIC},),)


class Flow(nn.Module):
    """One inverse and log determinant of a weight, and one decomposition of what comes in."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(6, 6) + 3 * torch.eye(6))

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        (x,) = tensors
        inverse = torch.inverse(self.weight.double()).float()
        return x @ inverse + torch.slogdet(self.weight)[1], torch.linalg.qr(x)[1]


def test_what_depends_on_weights_alone_is_held_and_the_rest_stays() -> None:
    module, x = Flow().eval(), torch.randn(3, 6)
    program = torch.export.export(module, (x,), dynamic_shapes=DYNAMIC)
    assert foldable(program)
    folded = fold(program)
    left = [node.target.__name__ for node in folded.graph.nodes if hasattr(node.target, "__name__")]
    assert not any("inv" in name or "slogdet" in name for name in left)
    assert any("qr" in name for name in left)
    with torch.no_grad():
        for found, expected in zip(folded(x), module(x), strict=True):
            torch.testing.assert_close(found, expected)


def test_a_module_without_any_is_left_alone() -> None:
    assert not foldable(torch.export.export(nn.Linear(2, 2), (torch.randn(3, 2),)))
