"""Picture -> picture by attention and by moved pixels: windows, patches, flows, kernels that the picture predicts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from awkward_case import Case, holes, normal, uniform
from torch import Tensor, nn


def window_partition(x: Tensor, size: int) -> Tensor:
    b, h, w, c = x.shape
    x = x.view(b, h // size, size, w // size, size, c)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size, size, c)


def window_reverse(windows: Tensor, size: int, h: int, w: int) -> Tensor:
    b = int(windows.shape[0] / (h * w / size / size))
    x = windows.view(b, h // size, w // size, size, size, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(b, h, w, -1)


class WindowAttention(nn.Module):
    """Attention in windows with a relative bias and a mask a window, batch and windows in one dimension."""

    def __init__(self, dim: int = 8, size: int = 4, heads: int = 2) -> None:
        super().__init__()
        self.num_heads, self.scale = heads, (dim // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * size - 1) ** 2, heads))
        coords = torch.flatten(torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")), 1)
        relative = (coords[:, :, None] - coords[:, None, :]).permute(1, 2, 0).contiguous()
        relative[:, :, 0] += size - 1
        relative[:, :, 1] += size - 1
        relative[:, :, 0] *= 2 * size - 1
        self.register_buffer("relative_position_index", relative.sum(-1))
        self.qkv, self.proj = nn.Linear(dim, dim * 3), nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        b_, n, c = x.shape
        qkv = self.qkv(x).reshape(b_, n, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        attn = (q * self.scale) @ k.transpose(-2, -1)
        bias = self.relative_position_bias_table[self.relative_position_index.view(-1)].view(n, n, -1)
        attn = attn + bias.permute(2, 0, 1).contiguous().unsqueeze(0)
        if mask is not None:
            nw = mask.shape[0]
            attn = attn.view(b_ // nw, nw, self.num_heads, n, n) + mask.unsqueeze(1).unsqueeze(0)
            attn = attn.view(-1, self.num_heads, n, n)
        return self.proj((attn.softmax(dim=-1) @ v).transpose(1, 2).reshape(b_, n, c))


class SwinIr(nn.Module):
    """Shifted windows: torch.roll, and a mask made from the input's size wherever it is not the trained one."""

    def __init__(self, window_size: int = 4) -> None:
        super().__init__()
        self.window_size, self.shift_size = window_size, window_size // 2
        self.input_resolution = (8, 8)
        self.conv_first = nn.Conv2d(3, 8, 3, 1, 1)
        self.norm1, self.norm2 = nn.LayerNorm(8), nn.LayerNorm(8)
        self.attn1, self.attn2 = WindowAttention(), WindowAttention()
        self.register_buffer("attn_mask", self.calculate_mask(self.input_resolution))
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.upsample = nn.Sequential(nn.Conv2d(8, 12, 3, 1, 1), nn.PixelShuffle(2))

    def calculate_mask(self, x_size: tuple[int, int]) -> Tensor:
        h, w = x_size
        img_mask = torch.zeros((1, h, w, 1))
        slices = (
            slice(0, -self.window_size),
            slice(-self.window_size, -self.shift_size),
            slice(-self.shift_size, None),
        )
        cnt = 0
        for rows in slices:
            for columns in slices:
                img_mask[:, rows, columns, :] = cnt
                cnt += 1
        windows = window_partition(img_mask, self.window_size).view(-1, self.window_size**2)
        mask = windows.unsqueeze(1) - windows.unsqueeze(2)
        return mask.masked_fill(mask != 0, -100.0).masked_fill(mask == 0, 0.0)

    def attend(self, x: Tensor, size: tuple[int, int], attention: WindowAttention, shift: int) -> Tensor:
        h, w = size
        b, _, c = x.shape
        x = x.view(b, h, w, c)
        if shift > 0:
            x = torch.roll(x, shifts=(-shift, -shift), dims=(1, 2))
        windows = window_partition(x, self.window_size).view(-1, self.window_size**2, c)
        mask = None
        if shift > 0:
            mask = self.attn_mask if self.input_resolution == size else self.calculate_mask(size).to(x.device)
        windows = attention(windows, mask).view(-1, self.window_size, self.window_size, c)
        x = window_reverse(windows, self.window_size, h, w)
        if shift > 0:
            x = torch.roll(x, shifts=(shift, shift), dims=(1, 2))
        return x.view(b, h * w, c)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        x = F.pad(x, (0, -w % self.window_size, 0, -h % self.window_size), "reflect")
        x = self.conv_first(x)
        size = (x.shape[2], x.shape[3])
        tokens = x.flatten(2).transpose(1, 2)
        tokens = tokens + self.attend(self.norm1(tokens), size, self.attn1, 0)
        tokens = tokens + self.attend(self.norm1(tokens), size, self.attn2, self.shift_size)
        tokens = tokens + self.mlp(self.norm2(tokens))
        x = x + tokens.transpose(1, 2).view(tokens.shape[0], -1, *size)
        return self.upsample(x)[:, :, : h * 2, : w * 2]


class Restormer(nn.Module):
    """Attention over channels: normalised queries and keys, a temperature a head, a layer norm on a permuted view."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.LayerNorm(8)
        self.temperature = nn.Parameter(torch.ones(2, 1, 1))
        self.qkv, self.qkv_dwconv = nn.Conv2d(8, 24, 1), nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.out, self.last = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, img: Tensor) -> Tensor:
        x = self.embed(img)
        b, c, h, w = x.shape
        y = self.norm(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(b, c, h, w)
        q, k, v = self.qkv_dwconv(self.qkv(y)).chunk(3, dim=1)
        q, k, v = (t.unflatten(1, (2, -1)).flatten(3) for t in (q, k, v))
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        attn = ((q @ k.transpose(-2, -1)) * self.temperature).softmax(dim=-1)
        return self.last(x + self.out((attn @ v).flatten(1, 2).unflatten(2, (h, w)))) + img


class ContextualAttention(nn.Module):
    """DeepFill: patches of each picture are the filters of its own convolution, in a loop over the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fuse = torch.eye(3).view(1, 1, 3, 3)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        f = self.conv(image * mask)
        b, c, h, w = f.size()
        patches = F.unfold(f, 3, padding=1).view(b, c, 3, 3, -1).permute(0, 4, 1, 2, 3)
        raw = F.unfold(f, 4, stride=2, padding=1).view(b, c, 4, 4, -1).permute(0, 4, 1, 2, 3)
        small = F.interpolate(f, scale_factor=0.5, mode="nearest")
        known = F.max_pool2d(mask, 2).view(b, 1, -1)
        outputs = []
        for x, wi, raw_wi, valid in zip(
            torch.split(small, 1), torch.split(patches, 1), torch.split(raw, 1), torch.split(known, 1), strict=True
        ):
            wi = wi[0][:: h * w // raw_wi.shape[1]]
            wi = wi / torch.clamp(torch.sqrt((wi * wi).sum(dim=[1, 2, 3], keepdim=True)), min=1e-4)
            score = F.conv2d(x, wi, stride=1, padding=1)
            _, n, hs, ws = score.shape
            score = F.conv2d(score.view(1, 1, n, hs * ws), self.fuse, padding=1).view(1, n, hs, ws)
            score = F.softmax(score * valid.view(1, -1, 1, 1) * 10, dim=1)
            outputs.append(F.conv_transpose2d(score, raw_wi[0], stride=2, padding=1) / 4.0)
        return torch.tanh(self.last(torch.cat([f, torch.cat(outputs, dim=0)], 1)))


class CodeFormer(nn.Module):
    """Logits over a codebook, topk, lookup, AdaIN towards the encoder; a weight w as a Python number."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 4, stride=4)
        self.position_emb = nn.Parameter(torch.zeros(16, 8))
        self.attention = nn.MultiheadAttention(8, 2)
        self.idx_pred_layer = nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 12, bias=False))
        self.codebook = nn.Embedding(12, 8)
        self.generator = nn.Sequential(nn.Conv2d(8, 48, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, x: Tensor, w: float = 0, adain: bool = True) -> tuple[Tensor, Tensor, Tensor]:
        lq_feat = self.encoder(x)
        pos_emb = self.position_emb.unsqueeze(1).repeat(1, x.shape[0], 1)
        query = lq_feat.flatten(2).permute(2, 0, 1)
        query = query + self.attention(query + pos_emb, query + pos_emb, value=query)[0]
        logits = self.idx_pred_layer(query).permute(1, 0, 2)
        _, top_idx = torch.topk(F.softmax(logits, dim=2), 1, dim=2)
        one_hot = torch.zeros(top_idx.numel(), 12).to(top_idx.device).scatter_(1, top_idx.reshape(-1, 1), 1)
        quant = torch.matmul(one_hot, self.codebook.weight).view(x.shape[0], 4, 4, 8).permute(0, 3, 1, 2).contiguous()
        if adain:
            std, mean = torch.std_mean(lq_feat.flatten(2), dim=2, keepdim=True)
            qstd, qmean = torch.std_mean(quant.flatten(2), dim=2, keepdim=True)
            quant = ((quant.flatten(2) - qmean) / (qstd + 1e-3) * std + mean).view_as(quant)
        return self.generator(quant + w * lq_feat), logits, lq_feat


class NearestCode(nn.Module):
    """VQ-VAE: the nearest code by expanded distances and argmin, the straight-through sum, cdist beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Conv2d(3, 6, 2, stride=2), nn.ConvTranspose2d(6, 3, 2, stride=2)
        self.embedding = nn.Embedding(9, 6)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.encoder(x).permute(0, 2, 3, 1).contiguous()
        flat = z.view(-1, 6)
        d = (
            flat.pow(2).sum(1, keepdim=True)
            + self.embedding.weight.pow(2).sum(1)
            - 2 * flat @ self.embedding.weight.t()
        )
        indices = torch.argmin(d, dim=1)
        z_q = self.embedding(indices).view(z.shape)
        z_q = z + (z_q - z).detach()
        distances = torch.cdist(z.flatten(1, 2), self.embedding.weight.unsqueeze(0))
        return self.decoder(z_q.permute(0, 3, 1, 2)), indices.view(x.shape[0], -1), distances


class Warp(nn.Module):
    """A flow of pixels added to a grid made in forward, sampled with every padding and both corner rules."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = nn.Conv2d(3, 2, 3, padding=1)
        self.offsets = nn.Conv2d(3, 18, 3, padding=1)
        self.weight = nn.Parameter(torch.randn(4, 27))

    @staticmethod
    def move(x: Tensor, flow: Tensor, padding: str, corners: bool, mode: str = "bilinear") -> Tensor:
        _, _, h, w = x.size()
        grid_y, grid_x = torch.meshgrid(torch.arange(0, h).type_as(x), torch.arange(0, w).type_as(x), indexing="ij")
        grid = torch.stack((grid_x, grid_y), 2).float()
        grid.requires_grad = False
        vgrid = grid + flow.permute(0, 2, 3, 1)
        vgrid_x = 2.0 * vgrid[:, :, :, 0] / max(w - 1, 1) - 1.0
        vgrid_y = 2.0 * vgrid[:, :, :, 1] / max(h - 1, 1) - 1.0
        scaled = torch.stack((vgrid_x, vgrid_y), dim=3)
        return F.grid_sample(x, scaled, mode=mode, padding_mode=padding, align_corners=corners)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        flow = self.flow(x) * 3
        found = {
            f"{padding}_{corners}": self.move(x, flow, padding, corners)
            for padding in ("zeros", "border", "reflection")
            for corners in (True, False)
        }
        found["bicubic"] = self.move(x, flow, "border", True, "bicubic")
        taps = self.offsets(x).view(x.size(0), 9, 2, *x.shape[2:])
        moved = torch.cat([self.move(x, taps[:, i], "zeros", True) for i in range(9)], dim=1)
        found["deformable"] = torch.einsum("oc,bchw->bohw", self.weight, moved)
        return found


class PredictedKernels(nn.Module):
    """Kernel prediction: unfold, a softmax a pixel, an einsum; then a fold of overlapping patches and its divisor."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = nn.Conv2d(3, 9, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        b, c, h, w = x.size()
        kernels = torch.softmax(self.kernels(x), dim=1).view(b, 9, h, w)
        patches = F.unfold(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel_size=3).view(b, c, 9, h, w)
        filtered = torch.einsum("bckhw,bkhw->bchw", patches, kernels)
        columns = F.unfold(filtered, kernel_size=4, stride=2)
        ones = F.fold(torch.ones_like(columns), (h, w), kernel_size=4, stride=2)
        return filtered, F.fold(torch.tanh(columns), (h, w), kernel_size=4, stride=2) / ones


class ConvexUpsampling(nn.Module):
    """RAFT: a flow upsampled by convex combinations of its neighbours; SPyNet's pyramid below it."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = nn.Conv2d(4, 2**2 * 9, 3, padding=1)

    def forward(self, flow: Tensor, feature: Tensor) -> Tensor:
        n, _, h, w = flow.shape
        mask = torch.softmax(self.mask(feature).view(n, 1, 9, 2, 2, h, w), dim=2)
        up_flow = F.unfold(2 * flow, [3, 3], padding=1).view(n, 2, 9, 1, 1, h, w)
        up_flow = torch.sum(mask * up_flow, dim=2).permute(0, 1, 4, 2, 5, 3)
        return up_flow.reshape(n, 2, 2 * h, 2 * w)


class LookupTables(nn.Module):
    """Image-adaptive 3-D colour tables and HDRNet's bilateral grid: grid_sample in three dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.Parameter(torch.rand(3, 3, 5, 5, 5))
        self.weights = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 3))
        self.grid, self.guide = nn.Conv2d(3, 12 * 4, 4, stride=4), nn.Conv2d(3, 1, 1)

    def forward(self, img: Tensor) -> tuple[Tensor, Tensor]:
        table = torch.einsum("bk,kcxyz->bcxyz", self.weights(img), self.tables)
        colours = (img.permute(0, 2, 3, 1)[:, None] - 0.5) * 2.0
        mapped = F.grid_sample(table, colours, mode="bilinear", padding_mode="border", align_corners=True).squeeze(2)
        n, _, h, w = img.shape
        grid = self.grid(img).view(n, 12, 4, h // 4, w // 4)
        hg, wg = torch.meshgrid([torch.arange(0, h), torch.arange(0, w)], indexing="ij")
        hg = (hg / (h - 1) * 2 - 1).repeat(n, 1, 1).unsqueeze(3)
        wg = (wg / (w - 1) * 2 - 1).repeat(n, 1, 1).unsqueeze(3)
        guide = torch.tanh(self.guide(img)).permute(0, 2, 3, 1)
        sliced = F.grid_sample(grid, torch.cat([wg, hg, guide], dim=3).unsqueeze(1), align_corners=False).squeeze(2)
        affine = sliced.view(n, 3, 4, h, w)
        return mapped, (affine[:, :, :3] * img.unsqueeze(1)).sum(2) + affine[:, :, 3]


class FilteredSpectrum(nn.Module):
    """GFNet and phase-only priors: a complex weight stored as real pairs, angle, abs, fftshift, polar."""

    def __init__(self) -> None:
        super().__init__()
        self.complex_weight = nn.Parameter(torch.randn(3, 8, 5, 2) * 0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = torch.fft.rfft2(x.to(torch.float32), dim=(2, 3), norm="ortho")
        filtered = torch.fft.irfft2(spectrum * torch.view_as_complex(self.complex_weight), s=(8, 8), norm="ortho")
        full = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1))
        swapped = torch.polar(torch.abs(full) * 0.5, torch.angle(full))
        return filtered, torch.fft.ifft2(torch.fft.ifftshift(swapped, dim=(-2, -1))).real


CASES = [
    Case("swinir_trained_size", SwinIr, uniform(3, 8, 8)),
    Case("swinir_mask_from_the_size", SwinIr, uniform(3, 12, 10)),
    Case("restormer_channel_attention", Restormer, normal(3, 8, 12)),
    Case("contextual_attention_loop", ContextualAttention, (normal(3, 8, 8), holes(1, 8, 8))),
    Case("codeformer_topk_lookup", CodeFormer, (normal(3, 16, 16), 0.5)),
    Case("vqvae_nearest_code", NearestCode, normal(3, 8, 8)),
    Case("flow_warp_every_padding", Warp, normal(3, 8, 10)),
    Case("predicted_kernels_unfold_fold", PredictedKernels, normal(3, 8, 8)),
    Case("raft_convex_upsampling", ConvexUpsampling, (normal(2, 5, 6), normal(4, 5, 6))),
    Case("colour_tables_3d_grid_sample", LookupTables, uniform(3, 8, 8, low=0.05, high=0.95)),
    Case("spectrum_complex_weights", FilteredSpectrum, normal(3, 8, 8)),
]
