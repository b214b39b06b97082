"""Noise -> rows: CTGAN and its kin, one-hot columns, inverse transforms, survival curves, records of some length."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from awkward_case import Case, lengths, normal, one_hot, truth, uniform, whole
from torch import Tensor, nn


class Residual(nn.Module):
    def __init__(self, wide: int, out: int) -> None:
        super().__init__()
        self.fc, self.bn, self.relu = nn.Linear(wide, out), nn.BatchNorm1d(out), nn.ReLU()

    def forward(self, input_: Tensor) -> Tensor:
        return torch.cat([self.relu(self.bn(self.fc(input_))), input_], dim=1)


COLUMNS = [(1, "tanh"), (4, "softmax"), (3, "softmax"), (1, "tanh"), (2, "softmax")]


class Ctgan(nn.Module):
    """Residuals by concatenation; each span of columns gets its activation: tanh, softmax, one-hot, Gumbel."""

    def __init__(self, choose: str, conditional: int = 0) -> None:
        super().__init__()
        self.choose = choose
        self.seq = nn.Sequential(Residual(8 + conditional, 6), Residual(14 + conditional, 6))
        self.seq.append(nn.Linear(20 + conditional, sum(width for width, _ in COLUMNS)))

    def forward(self, z: Tensor, extra: Tensor | None = None) -> Tensor:
        data = self.seq(z if extra is None or self.choose == "gumbel given" else torch.cat([z, extra], 1))
        data_t = []
        st = 0
        for width, activation in COLUMNS:
            ed = st + width
            part = data[:, st:ed]
            if activation == "tanh":
                data_t.append(torch.tanh(part))
            elif self.choose == "softmax":
                data_t.append(F.softmax(part / 0.2, dim=1))
            elif self.choose == "argmax":
                data_t.append(F.one_hot(part.argmax(dim=1), width).float())
            elif self.choose == "scatter":
                index = part.max(-1, keepdim=True)[1]
                data_t.append(torch.zeros_like(part).scatter_(-1, index, 1.0))
            elif self.choose == "gumbel given":
                gumbel = -torch.log(-torch.log(extra[:, st:ed] + 1e-20) + 1e-20)
                data_t.append(((part + gumbel) / 0.5).softmax(-1))
            else:
                data_t.append(F.gumbel_softmax(part, tau=0.2, hard=False, eps=1e-10, dim=-1))
            st = ed
        return torch.cat(data_t, dim=1)


class ColumnsApart(nn.Module):
    """SDV's way: one result a column, of different types: float, whole numbers, bool, a date as days."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 12), nn.SELU(), nn.AlphaDropout(0.1))
        self.heads = nn.ModuleDict({"income": nn.Linear(12, 1), "job": nn.Linear(12, 5), "day": nn.Linear(12, 1)})

    def forward(self, z: Tensor) -> dict[str, Tensor]:
        x = self.body(z)
        income = F.softplus(self.heads["income"](x)).squeeze(1)
        job = self.heads["job"](x).argmax(-1)
        day = torch.round(self.heads["day"](x) * 3650 + 18000).to(torch.int32)
        return {"income": income, "job": job, "day": day, "rich": income > 0.7}


class ModeNormal(nn.Module):
    """Mode-specific normalisation undone: the means and deviations of the argmax mode are gathered from buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3 * (1 + 4))
        self.register_buffer("means", torch.randn(3, 4) * 5)
        self.register_buffer("stds", torch.rand(3, 4) + 0.5)

    def forward(self, z: Tensor) -> Tensor:
        out = self.fc(z).view(-1, 3, 5)
        alpha, beta = torch.tanh(out[..., 0]), out[..., 1:]
        mode = beta.argmax(-1)
        means = torch.gather(self.means.expand(z.shape[0], 3, 4), 2, mode.unsqueeze(-1)).squeeze(-1)
        stds = torch.take_along_dim(self.stds.unsqueeze(0), mode.unsqueeze(-1), 2).squeeze(-1)
        return alpha * 4 * stds + means


class Survival(nn.Module):
    """Hazards -> a survival curve by cumprod, its time by a masked sum, logcumsumexp beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(7, 10)

    def forward(self, z: Tensor, covariates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.fc(torch.cat([z, covariates], 1))
        hazard = torch.sigmoid(logits - 1)
        survival = torch.cumprod(1 - hazard, dim=1)
        return survival, (survival > 0.5).sum(dim=1), torch.logcumsumexp(logits, dim=1)


class Quantiles(nn.Module):
    """Copula: the normal distribution function, then an inverse by searchsorted and bucketize on stored quantiles."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.register_buffer("edges", torch.linspace(0, 1, 9))
        self.register_buffer("values", torch.sort(torch.randn(3, 9), dim=1)[0])

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        u = 0.5 * (1 + torch.erf(self.fc(z) / 2**0.5))
        high = torch.searchsorted(self.edges, u.contiguous()).clamp(1, 8)
        low = high - 1
        rows = torch.arange(3).expand_as(high)
        share = (u - self.edges[low]) / (self.edges[high] - self.edges[low])
        value = self.values[rows, low] + share * (self.values[rows, high] - self.values[rows, low])
        return value, torch.bucketize(value, torch.tensor([-1.0, 0.0, 1.0]))


class Records(nn.Module):
    """Rows up to a length, int64, compared with an arange; the rest filled, a mean over what counts."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, z: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        b, t, _ = z.shape
        mask = torch.arange(t, device=lengths.device).expand(b, t) < lengths.unsqueeze(1)
        x = torch.sigmoid(self.fc(z)).masked_fill(~mask[..., None], -1)
        mean = (x * mask.unsqueeze(-1)).sum(1) / lengths.unsqueeze(-1)
        last = x[torch.arange(b), lengths - 1]
        return x, mean, last


class Gain(nn.Module):
    """Missing values: nan in the data, noise in their place, the known ones kept."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(10, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor, m: Tensor, noise: Tensor) -> Tensor:
        x = torch.where(m, x, torch.full_like(x, float("nan")))
        known = (~torch.isnan(x)).float()
        x = torch.nan_to_num(x, nan=0.0)
        inputs = torch.cat([known * x + (1 - known) * noise, known], dim=1)
        h = torch.sigmoid(self.fc2(F.relu(self.fc1(inputs))))
        return known * x + (1 - known) * h


class MedGan(nn.Module):
    """Shortcuts of batch norm around linear layers, then a frozen decoder of binary codes, thresholded to int32."""

    def __init__(self) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(6, 6, bias=False) for _ in range(2))
        self.bns = nn.ModuleList(nn.BatchNorm1d(6, eps=0.001, momentum=0.01) for _ in range(2))
        self.decoder = nn.Linear(6, 9).requires_grad_(False)

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        temp = noise
        for linear, bn in zip(self.linears, self.bns, strict=True):
            temp = F.relu(bn(linear(temp))) + temp
        codes = torch.sigmoid(self.decoder(temp))
        return codes, codes.round().int()


class DoppelGanger(nn.Module):
    """Attributes first, then a series in steps of several values, ended by a generation flag, scaled by min and max."""

    def __init__(self) -> None:
        super().__init__()
        self.attribute, self.addi = nn.Linear(4, 3), nn.Linear(4 + 3, 2)
        self.rnn, self.head = nn.LSTM(3 + 2 + 2, 5, batch_first=True), nn.Linear(5, 2 * 3)

    def forward(self, z: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        attribute = F.softmax(self.attribute(z), -1)
        extremes = torch.sigmoid(self.addi(torch.cat([z, attribute], 1)))
        fixed = torch.cat([attribute, extremes], 1)[:, None].expand(-1, steps.shape[1], -1)
        out = self.head(self.rnn(torch.cat([fixed, steps], -1))[0])
        series = out.reshape(z.shape[0], steps.shape[1] * 2, 3)
        alive = torch.cumprod((series[..., 1:].argmax(-1) == 0).int(), dim=1)
        low, high = extremes.amin(1, keepdim=True), extremes.amax(1, keepdim=True)
        values = torch.sigmoid(series[..., 0]) * (high - low) + low
        return torch.cat([attribute, extremes], 1), values * alive


class TableGan(nn.Module):
    """A row as a small square picture, flattened and cut back to its columns, labels by index_select."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(6, 4, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.ConvTranspose2d(4, 1, 3)
        )
        self.register_buffer("order", torch.randperm(13))

    def forward(self, z: Tensor) -> Tensor:
        square = torch.tanh(self.main(z[:, :, None, None]))
        row = square.view(-1, square.size(2) ** 2)[:, :13]
        return torch.index_select(row, 1, self.order)


class Correlated(nn.Module):
    """A covariance of a sample's own: triangular by tril_indices, written in place, multiplied out, its log-volume."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 10)

    def forward(self, z: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        entries = self.fc(z)
        factor = torch.zeros(z.shape[0], 4, 4, dtype=z.dtype, device=z.device)
        rows, columns = torch.tril_indices(4, 4)
        factor[:, rows, columns] = entries
        factor = factor.tril(-1) + torch.diag_embed(F.softplus(factor.diagonal(dim1=-2, dim2=-1)))
        drawn = (factor @ noise.unsqueeze(-1)).squeeze(-1)
        return drawn, 2 * torch.log(torch.diagonal(factor, dim1=1, dim2=2)).sum(-1)


class TopColumns(nn.Module):
    """The k largest kept, the rest zero, by topk and scatter; then ranks by argsort of argsort."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 8)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = self.fc(z)
        values, index = x.topk(3, dim=-1)
        kept = torch.zeros_like(x).scatter(1, index, values.softmax(-1))
        return kept, x.argsort(dim=-1).argsort(dim=-1)


class Multinomial(nn.Module):
    """Draws its categories inside."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 8)

    def forward(self, z: Tensor) -> Tensor:
        return torch.multinomial(self.fc(z).softmax(-1), 1).squeeze(1)


class BatchStatistics(nn.Module):
    """Batch norm without running statistics: a row depends on the others of its batch, in eval mode as well."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(2, 4, 1), nn.BatchNorm1d(4, track_running_stats=False), nn.Conv1d(4, 3, 1))

    def forward(self, z: Tensor) -> Tensor:
        return self.body(z)


def ctgan(choose: str, conditional: int = 0) -> Any:
    return lambda: Ctgan(choose, conditional)


CASES = [
    Case("ctgan_softmax_spans", ctgan("softmax"), normal(8), quick=True),
    Case("ctgan_conditional_vector", ctgan("softmax", 5), (normal(8), one_hot(5))),
    Case("ctgan_argmax_one_hot", ctgan("argmax"), normal(8)),
    Case("ctgan_scatter_one_hot", ctgan("scatter"), normal(8)),
    Case("ctgan_gumbel_of_given_noise", ctgan("gumbel given"), (normal(8), uniform(11, low=0.01, high=0.99))),
    Case("ctgan_gumbel_inside", ctgan("gumbel"), normal(8), refused="random"),
    Case("columns_apart_of_many_types", ColumnsApart, normal(8)),
    Case("mode_specific_normalisation", ModeNormal, normal(6)),
    Case("survival_cumulative_product", Survival, (normal(4), normal(3))),
    Case("copula_searchsorted", Quantiles, normal(6)),
    Case("records_masked_by_lengths", Records, (normal(6, 4), lengths(6))),
    Case("gain_missing_values", Gain, (normal(5), truth(5), uniform(5))),
    Case("medgan_binary_codes", MedGan, normal(6)),
    Case("doppelganger_series", DoppelGanger, (normal(4), normal(4, 2))),
    Case("tablegan_square", TableGan, normal(6)),
    Case("covariance_written_in_place", Correlated, (normal(6), normal(4))),
    Case("top_columns_and_ranks", TopColumns, normal(6)),
    Case("categories_drawn_inside", Multinomial, normal(6), refused="random"),
    Case("row_ids_by_index", lambda: nn.Sequential(nn.Embedding(30, 6), nn.Linear(6, 4)), whole(30)),
]
