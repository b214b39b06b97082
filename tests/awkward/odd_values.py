"""The batch as a Python number, loops over samples, outputs that are inputs, views, complex numbers, sizes like 2."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from awkward_case import Case, normal, truth, uniform, whole
from torch import Tensor, nn

from .odd_interfaces import Small


class PythonBatch(Small):
    """int(), len(), size(0) and numel() in views, expansions and new tensors."""

    def forward(self, x: Tensor) -> Tensor:
        n = int(x.shape[0])
        base = x.new_zeros(n, 3, 2, 2) + torch.ones((len(x), 1, 1, 1)).expand(n, 3, 2, 2)
        image = self.fc(x).view(n, x.numel() // n // 2, -1)
        return base + image.reshape([x.size(0), *image.shape[1:-1], 2, 2]) * torch.full([n, 1, 1, 1], 0.5).to(x)


class LoopOverSamples(Small):
    def forward(self, x: Tensor) -> Tensor:
        rows = []
        for i in range(x.shape[0]):
            row = self.draw(x[i].unsqueeze(0))[0]
            rows.append(row * x[i].abs().max())
        return torch.stack(rows)


class IterateSamples(Small):
    """for row in x, zip of two, unbind, split, list."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        a = torch.stack([self.fc(row) for row in x])
        b = torch.cat([p * q for p, q in zip(x.split(1), y.unbind(0), strict=True)], 0)
        c = torch.stack(list(map(torch.flip, list(y), [[0]] * len(y))))
        return torch.cat([a, b, c], 1)


class SampleWrites(Small):
    """Every sample is written into its row of a new tensor."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.empty(x.shape[0], 12)
        for b in range(x.size(0)):
            out[b] = self.fc(x[b]) / x[b].norm()
        return out


class InPlace(nn.Module):
    """The inputs themselves are changed, by slices and by operators with an underscore."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x *= 2
        x[:, 0] = 0.5
        x[:, 1:3].add_(1).clamp_(max=2)
        x[mask] = -1.0
        x.relu_()
        return x + 0


class GivesInput(Small):
    """One output is an input, one an input's view, one the same tensor twice."""

    def forward(self, z: Tensor, label: Tensor) -> tuple[Tensor, ...]:
        image = self.draw(z)
        return image, z, label, image, z.view(z.shape[0], 2, 3), image


class GivesOnlyInput(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z


class Views(Small):
    """Transposed, strided, flipped and expanded views as outputs."""

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        image = self.draw(z)
        strided = torch.as_strided(image, (z.shape[0], 2, 2), (12, 2, 5))
        return (
            image.permute(0, 3, 1, 2),
            image[..., ::2],
            image.flip(1).T.T,
            image[:, :1].expand(-1, 4, -1, -1),
            strided,
        )


class ConstantRows(Small):
    """An output that no input reaches, repeated over the batch, beside one with rows that are all equal."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w_avg", torch.randn(5))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.draw(z), self.w_avg.repeat(z.shape[0], 1), torch.arange(4).expand(z.shape[0], 4)


class BatchLikeSizes(nn.Module):
    """Every size is the batch of the example: 2 in, 2 x 2 out."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 4)
        self.mix = nn.Parameter(torch.randn(2, 2))

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.fc(z)).view(-1, 2, 2) @ self.mix + z.unsqueeze(2)


class LatentOfOne(nn.Module):
    """Sizes of 1 everywhere but in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(1, 1)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        return self.fc(z).squeeze().reshape(-1, 1, 1) * t.view(-1, 1, 1) + z.unsqueeze(-1)


class FlatBatch(nn.Module):
    """One number a sample in, one out: tensors of rank 1."""

    def forward(self, angle: Tensor, step: Tensor) -> Tensor:
        return torch.atan2(torch.sin(angle), torch.cos(2 * angle)) + step.remainder(3) * 0.1


class Polar(nn.Module):
    """Complex numbers inside: polar, view_as_real, conjugate, products, powers, angle."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 8)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        magnitude, phase = self.fc(z).chunk(2, 1)
        feature = torch.polar(F.softplus(magnitude), phase)
        turned = feature * torch.exp(1j * phase.sum(1, keepdim=True)) + feature.conj() / 2
        return torch.view_as_real(turned), torch.stack([turned.real, turned.imag, turned.abs(), turned.angle()], 1)


class RotaryEmbedding(nn.Module):
    """Rotary positions through view_as_complex."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 5 * 8)
        angles = torch.outer(torch.arange(5.0), 0.1 ** torch.arange(4.0))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        x = torch.view_as_complex(self.fc(z).float().reshape(z.shape[0], 5, 4, 2))
        return torch.view_as_real(x * self.turns).flatten(2)


class MaskedAssignment(nn.Module):
    """Writes where a mask is true: index_put by bool, masked_scatter's plain cousin, where with numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(4))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x.clone()
        x[mask] = self.token
        x[x > 2] = 2
        return torch.where(mask.unsqueeze(-1), x, x.sigmoid()) + mask.any(1).view(-1, 1, 1) * 1


class OddMath(Small):
    """Operators that few exporters meet: erfinv, lgamma, logit, xlogy, remainder, frac, trunc, hypot, logaddexp."""

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        p = torch.sigmoid(z) * 0.8 + 0.1
        return {
            "gauss": torch.special.ndtr(z),
            "logit": torch.logit(p),
            "xlogy": torch.xlogy(p, p),
            "remainder": torch.remainder(z, 0.7) + torch.fmod(z, 0.3),
            "hypot": torch.hypot(z, p) + torch.logaddexp(z, p),
            "trunc": torch.frac(z) + z.trunc() + torch.round(z, decimals=1),
            "cross": torch.linalg.cross(z[:, :3], z[:, 3:]),
            "norm": torch.linalg.vector_norm(z, ord=3, dim=1) + torch.norm(z, p=float("inf"), dim=1),
            "variance": torch.stack([*torch.var_mean(z, 1), z.std(1), z.median(1)[0], z.logsumexp(1)], 1),
            "powers": torch.float_power(p, 3).float() + 2**z + p**-1.5 + torch.pow(2.0, p),
            "selu": F.selu(z) + F.mish(z) + F.softshrink(z) + F.hardtanh(z) + F.logsigmoid(z) + F.relu6(z) + F.celu(z),
            "glu": F.glu(z, 1).repeat_interleave(2, dim=1) + F.threshold(z, 0.1, 0.2) + F.tanhshrink(z),
        }


class OddShapes(Small):
    """tile, rot90, roll over two axes, movedim, swapaxes, narrow, diagonal, kron, tensordot, einsum with dots."""

    def __init__(self) -> None:
        super().__init__()
        self.square = nn.Parameter(torch.randn(2, 2))

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        image = self.draw(z)
        rows = z.unflatten(1, (2, 3))
        return {
            "tile": image.tile(1, 1, 2, 3),
            "roll": torch.roll(image, (1, -1), (2, 3)).movedim(1, -1).swapaxes(1, 2),
            "tensordot": torch.tensordot(image, self.square, dims=([3], [0])),
            "einsum": torch.einsum("...ij,jk->...ik", image, self.square),
            "kron": torch.einsum("bij,kl->bikjl", image[:, 0], self.square).reshape(-1, 4, 4),
            "outer": torch.einsum("bi,bj->bij", rows[:, 0], rows[:, 1]),
            "diagonal": image.diagonal(dim1=2, dim2=3).narrow(1, 1, 2),
            "unfold": z.unfold(1, 3, 2),
            "gather": torch.stack(torch.broadcast_tensors(z[:, :1], rows[:, 0])).transpose(0, 1),
            "fancy": image[:, [0, 2]][:, :, [1, 0]][:, torch.tensor([1, 0, 1])],
            "bmm": torch.matmul(rows, rows.mT).tril().flatten(1),
            "atleast": torch.hstack([z, torch.column_stack([z[:, 0], z[:, 1]])]),
            "index": z[torch.arange(len(z)), 2][:, None] + z.index_select(1, torch.tensor([5, 0])),
            "ellipsis": image[..., None, 0] + image[:, -1:, ..., -1, None],
        }


class WholeNumbers(nn.Module):
    """Arithmetic of int64: floor division of negatives, remainder, shifts, bitwise masks, true division."""

    def forward(self, n: Tensor, m: Tensor) -> tuple[Tensor, ...]:
        n = n - 20
        return (
            n // m,
            n % m,
            (n & 7) ^ (m | 8),
            n / m,
            torch.div(n, m, rounding_mode="trunc"),
            (n << 2) >> 1,
            n.clamp(-3, 3),
        )


class Clamped(nn.Module):
    """Bounds that are tensors a sample, nan and infinity handled, a min and a max of the row."""

    def forward(self, x: Tensor, low: Tensor) -> Tensor:
        y = torch.clamp(x, min=low, max=low + 1) - x.min(1, keepdim=True).values + x.aminmax(dim=1)[1][:, None]
        share = low / torch.where(x.abs() > 0.5, x, torch.zeros(()))
        return y + torch.nan_to_num(share, nan=0.5, posinf=2.0, neginf=-2.0)


class Positions(nn.Module):
    """A sinusoidal table of the needed length, made in forward from the input's size."""

    def forward(self, x: Tensor) -> Tensor:
        _, length, width = x.shape
        position = torch.arange(0, length, dtype=torch.float).unsqueeze(1)
        rate = torch.exp(torch.arange(0, width, 2).float() * (-math.log(10000.0) / width))
        table = torch.zeros(length, width)
        table[:, 0::2], table[:, 1::2] = torch.sin(position * rate), torch.cos(position * rate)
        return x + table.unsqueeze(0).type_as(x)


class WithoutBatch(Small):
    """A scalar beside the picture."""

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.draw(z), torch.tensor(0.7)


class MeanOverBatch(Small):
    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z).mean(0)


class TimeFirst(nn.Module):
    """[time, batch, 4]: the batch is not the first dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(6, 4)

    def forward(self, z: Tensor) -> Tensor:
        return self.rnn(z.unsqueeze(0).repeat(3, 1, 1))[0]


class CentredOverBatch(Small):
    """The batch's mean is taken off: a sample depends on its neighbours."""

    def forward(self, z: Tensor) -> Tensor:
        return self.draw(z - z.mean(0, keepdim=True))


Z = normal(6)
CASES = [
    Case("python_batch_in_views", PythonBatch, Z, quick=True),
    Case("loop_over_samples_stack", LoopOverSamples, Z),
    Case("iterate_zip_unbind_samples", IterateSamples, (Z, Z)),
    Case("samples_written_into_rows", SampleWrites, Z),
    Case("inputs_changed_in_place", InPlace, (Z, truth(6, share=0.3))),
    Case("outputs_are_inputs_and_doubles", GivesInput, (Z, whole(9))),
    Case("output_is_the_input", GivesOnlyInput, Z),
    Case("outputs_are_strided_views", Views, Z),
    Case("outputs_that_no_input_reaches", ConstantRows, Z),
    Case("every_size_is_the_batch", BatchLikeSizes, normal(2)),
    Case("sizes_of_one_squeezed", LatentOfOne, (normal(1), normal())),
    Case("tensors_of_rank_one", FlatBatch, (normal(), whole(7))),
    Case("complex_polar_features", Polar, Z),
    Case("complex_rotary_positions", RotaryEmbedding, Z),
    Case("masked_assignment", MaskedAssignment, (normal(5, 4), truth(5, share=0.4))),
    Case("odd_mathematics", OddMath, Z),
    Case("rrelu_in_eval", lambda: nn.Sequential(nn.Linear(6, 4), nn.RReLU()), Z),
    Case("odd_shapes", OddShapes, Z),
    Case("whole_number_arithmetic", WholeNumbers, (whole(40, 6), whole(7, 6, low=1))),
    Case("clamped_by_tensors_nan_to_num", Clamped, (normal(6), uniform(1))),
    Case("positions_made_from_the_size", Positions, normal(7, 6)),
    Case("scalar_beside_the_picture", WithoutBatch, Z, rowwise=False),
    Case("mean_over_the_batch", MeanOverBatch, Z, rowwise=False),
    Case("time_first_out", TimeFirst, Z, rowwise=False),
    Case("centred_over_the_batch", CentredOverBatch, Z, rowwise=False),
]
