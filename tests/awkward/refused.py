"""What no graph of a dynamic batch can be: decisions by value, chance inside, results without a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from awkward_case import Case, lengths, normal
from torch import Tensor, nn

from .odd_interfaces import Small


class BranchByValue(Small):
    def forward(self, z: Tensor) -> Tensor:
        if z.mean() > 0:
            return self.draw(z)
        return self.draw(-z) * 2


class StopsByValue(Small):
    """Fixed-point iteration until the change is small."""

    def forward(self, z: Tensor) -> Tensor:
        x, change = z, 1.0
        while change > 1e-3:
            new = torch.tanh(0.5 * x + z)
            change = (new - x).abs().max().item()
            x = new
        return self.draw(x)


class LengthByValue(nn.Module):
    """The result is as long as the longest of the lengths."""

    def forward(self, z: Tensor, lengths: Tensor) -> Tensor:
        return z[:, : int(lengths.max())].tanh()


class Selects(nn.Module):
    """Rows where a mask is true, by bool indexing: how many is not known."""

    def forward(self, z: Tensor, mask: Tensor) -> Tensor:
        return z[mask]


class ThroughNumpy(Small):
    def forward(self, z: Tensor) -> Tensor:
        sorted_rows = np.sort(z.detach().cpu().numpy(), axis=1)
        return self.draw(torch.from_numpy(sorted_rows))


class ChecksValues(Small):
    """Raises on inputs that are out of range."""

    def forward(self, z: Tensor) -> Tensor:
        if not torch.isfinite(z).all():
            raise ValueError("the latent is not finite")
        return self.draw(z)


class DropoutLeftOn(Small):
    """F.dropout without `training`: it drops in eval too."""

    def forward(self, z: Tensor) -> Tensor:
        return self.draw(F.dropout(z, 0.5))


class MonteCarloDropout(Small):
    """train() keeps the dropout on, so eval does not switch it off."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.3)

    def train(self, mode: bool = True) -> MonteCarloDropout:
        super().train(mode)
        self.dropout.train(True)
        return self

    def forward(self, z: Tensor) -> Tensor:
        return self.draw(self.dropout(z))


class DrawsLatent(Small):
    """No input but one that gives the number of samples: the latent is drawn inside."""

    def forward(self, label: Tensor) -> Tensor:
        return self.draw(torch.randn(label.shape[0], 6) + label.view(-1, 1))


class SeededNoise(Small):
    """Seeds the global generator and then draws one noise for all: the same at every call, not in a graph."""

    def forward(self, z: Tensor) -> Tensor:
        torch.manual_seed(0)
        return self.draw(z) + torch.randn(1, 3, 2, 2)


class OwnGenerator(Small):
    """A generator of its own that goes on from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(1)

    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z) + torch.rand(3, 2, 2, generator=self.generator)


class NumpyNoise(Small):
    def __init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(0)

    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z) * float(self.random.uniform(0.5, 2))


class CountsCalls(Small):
    """The picture depends on how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        return self.draw(z) * self.calls


class FixedBatch(Small):
    """Only ever two samples: the batch is a number in the code."""

    def forward(self, z: Tensor) -> Tensor:
        return self.fc(z).view(2, 3, 2, 2)


class PairsUp(nn.Module):
    """Halves of the batch are mixed with each other."""

    def forward(self, z: Tensor) -> Tensor:
        a, b = z.chunk(2, 0)
        return torch.cat([a + b, a - b], 0)


class NoInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Parameter(torch.randn(1, 3, 2, 2))

    def forward(self) -> Tensor:
        return torch.tanh(self.picture)


class NoTensor(Small):
    def forward(self, z: Tensor) -> Any:
        return self.draw(z).tolist()


class NoResult(Small):
    def forward(self, z: Tensor) -> None:
        self.kept = self.draw(z)


class ComplexResult(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.fft.rfft(z)


class Gradients(Small):
    """Langevin steps: the gradient of an energy in forward."""

    def forward(self, z: Tensor) -> Tensor:
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            energy = self.fc(z).square().sum()
            (slope,) = torch.autograd.grad(energy, z)
        return self.draw((z - 0.1 * slope).detach())


class Broken(Small):
    """Raises whatever it is given."""

    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z) @ torch.ones(7, 7)


class NeedsCuda(Small):
    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z + torch.zeros(6).cuda())


Z = normal(6)
VALUE = "value"
CASES = [
    Case("branch_by_value", BranchByValue, Z, refused=VALUE, quick=True),
    Case("loop_until_small", StopsByValue, Z, refused=VALUE),
    Case("length_by_value", LengthByValue, (normal(6), lengths(6)), rowwise=False),
    Case("through_numpy", ThroughNumpy, Z, refused="value|[Nn]um[Pp]y"),
    Case("raises_by_value", ChecksValues, Z, refused=VALUE),
    Case("functional_dropout_left_on", DropoutLeftOn, Z, refused="random"),
    Case("dropout_kept_on_by_train", MonteCarloDropout, Z, refused="random"),
    Case("latent_drawn_inside", DrawsLatent, normal(), refused="random"),
    Case("noise_seeded_inside", SeededNoise, Z, refused="random"),
    Case("generator_of_its_own", OwnGenerator, Z, refused="random"),
    Case("numpy_noise", NumpyNoise, Z, refused="random|same"),
    Case("depends_on_the_call", CountsCalls, Z, refused="random|same|call"),
    Case("batch_of_two_in_the_code", FixedBatch, Z, refused="batch"),
    Case("halves_of_the_batch_mixed", PairsUp, Z, refused="batch"),
    Case("no_input", NoInput, (), refused="input"),
    Case("no_tensor_out", NoTensor, Z, refused="tensor"),
    Case("nothing_out", NoResult, Z, refused="tensor"),
    Case("complex_out", ComplexResult, Z, refused="complex"),
    Case("gradient_in_forward", Gradients, Z, refused="grad"),
    Case("raises_always", Broken, Z, refused="shapes cannot be multiplied|broadcast|size"),
    Case("needs_cuda", NeedsCuda, Z, refused="CUDA"),
]
