"""Noise -> picture: the DCGAN line, ResNet generators, attention generators, coordinates."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from awkward_case import Case, normal, whole
from torch import Tensor, nn
from torch.nn.utils import parametrizations, spectral_norm


class Dcgan(nn.Module):
    """The tutorial's: the latent comes as [batch, z, 1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(16, 16, 4, 1, 0, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(True),
            nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input: Tensor) -> Tensor:
        return self.main(input)


class UpsamplingDcgan(nn.Module):
    """The second batch norm's eps is 0.8, a positional slip of the repository that its weights were trained with."""

    def __init__(self) -> None:
        super().__init__()
        self.init_size = 4
        self.l1 = nn.Sequential(nn.Linear(10, 16 * self.init_size**2))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(16),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(16, 16, 3, stride=1, padding=1),
            nn.BatchNorm2d(16, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(16, 1, 3, stride=1, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        out = self.l1(z)
        out = out.view(out.shape[0], 16, self.init_size, self.init_size)
        return self.conv_blocks(out)


class Lsgan(nn.Module):
    """The batch as a Python number in a view, the size of an upsampling given as a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Sequential(nn.Linear(12, 3 * 3 * 16), nn.BatchNorm1d(3 * 3 * 16), nn.ReLU())
        self.deconv = nn.ConvTranspose2d(16, 8, 5, stride=2, padding=2, output_padding=1)
        self.conv = nn.Conv2d(8, 3, 5, padding=2)

    def forward(self, z: Tensor) -> Tensor:
        batch_size = z.size(0)
        h = self.fc(z).view(batch_size, 16, 3, 3)
        h = F.relu(self.deconv(h))
        h = F.interpolate(h, size=(14, 14))
        return torch.tanh(self.conv(h))


class DepthToSpace(nn.Module):
    """Blocks of channels to blocks of pixels by views, a split and a stack."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        out = x.permute(0, 2, 3, 1)
        n, height, width, depth = out.size()
        s_depth = depth // self.block**2
        groups = out.view(n, height, width, self.block**2, s_depth)
        rows = groups.split(self.block, 3)
        stack = torch.stack([row.reshape(n, height, width * self.block, s_depth) for row in rows], 0)
        out = stack.transpose(0, 1).permute(0, 2, 1, 3, 4).reshape(n, height * self.block, width * self.block, s_depth)
        return out.permute(0, 3, 1, 2)


class WganGpResnet(nn.Module):
    """Upsampling is four copies of the input and a depth to space, as in the first WGAN-GP code."""

    def __init__(self) -> None:
        super().__init__()
        self.ln = nn.Linear(12, 4 * 4 * 8)
        self.norm1, self.norm2 = nn.BatchNorm2d(8), nn.BatchNorm2d(4)
        self.up = DepthToSpace(2)
        self.conv1, self.conv2 = nn.Conv2d(8, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1)
        self.shortcut = nn.Conv2d(8, 4, 1)
        self.out = nn.Conv2d(4, 3, 3, padding=1)

    def quadruple(self, x: Tensor) -> Tensor:
        return self.up(torch.cat((x, x, x, x), 1))

    def forward(self, noise: Tensor) -> Tensor:
        x = self.ln(noise.contiguous()).view(-1, 8, 4, 4)
        h = self.conv1(self.quadruple(F.relu(self.norm1(x))))
        h = self.conv2(F.relu(self.norm2(h))) + self.shortcut(self.quadruple(x))
        out = torch.tanh(self.out(h))
        return out.reshape(-1, 3 * 8 * 8)  # what a permuted input leaves is no plain layout


class MlpGan(nn.Module):
    """The picture's shape is an attribute, unpacked into the view; eps 0.8 in one-dimensional batch norms."""

    def __init__(self, img_shape: tuple[int, int, int] = (1, 8, 8)) -> None:
        super().__init__()
        self.img_shape = img_shape

        def block(wide_in: int, wide_out: int, normalize: bool = True) -> list[nn.Module]:
            layers: list[nn.Module] = [nn.Linear(wide_in, wide_out)]
            if normalize:
                layers.append(nn.BatchNorm1d(wide_out, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(
            *block(10, 16, normalize=False), *block(16, 32), nn.Linear(32, math.prod(img_shape)), nn.Tanh()
        )

    def forward(self, z: Tensor) -> Tensor:
        img = self.model(z)
        return img.view(img.shape[0], *self.img_shape)


class Sngan(nn.Module):
    """Spectral norm on every layer, by the hook of old or the parametrisation of today."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.dense = norm(nn.Linear(12, 4 * 4 * 8))
        self.c1, self.c2 = norm(nn.Conv2d(8, 8, 3, padding=1)), norm(nn.Conv2d(8, 8, 3, padding=1))
        self.sc = norm(nn.Conv2d(8, 8, 1))
        self.bn = nn.BatchNorm2d(8)
        self.last = norm(nn.ConvTranspose2d(8, 3, 4, 2, 1))

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z).reshape(z.shape[0], -1, 4, 4)
        up = F.interpolate(x, scale_factor=2.0, mode="nearest")
        h = self.c2(F.relu(self.c1(up))) + self.sc(up)
        return torch.tanh(self.last(F.relu(self.bn(h))))


class Sagan(nn.Module):
    """Self-attention over pixels with bmm and views of -1; gamma is a one-element parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Sequential(spectral_norm(nn.ConvTranspose2d(12, 16, 4)), nn.BatchNorm2d(16), nn.ReLU())
        self.query_conv, self.key_conv = nn.Conv2d(16, 2, 1), nn.Conv2d(16, 2, 1)
        self.value_conv = nn.Conv2d(16, 16, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.softmax = nn.Softmax(dim=-1)
        self.last = nn.Sequential(nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh())

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        z = z.view(z.size(0), z.size(1), 1, 1)
        x = self.l1(z)
        m_batchsize, c, width, height = x.size()
        query = self.query_conv(x).view(m_batchsize, -1, width * height).permute(0, 2, 1)
        key = self.key_conv(x).view(m_batchsize, -1, width * height)
        attention = self.softmax(torch.bmm(query, key))
        value = self.value_conv(x).view(m_batchsize, -1, width * height)
        out = torch.bmm(value, attention.permute(0, 2, 1)).view(m_batchsize, c, width, height)
        return self.last(self.gamma * out + x), attention


class SkipLatent(nn.Module):
    """The latent is expanded over the pixels of every layer, by sizes taken from the tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.ConvTranspose2d(6, 8, 4)
        self.blocks = nn.ModuleList(nn.ConvTranspose2d(8 + 6, 8, 4, 2, 1) for _ in range(2))
        self.last = nn.Conv2d(8 + 6, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        b, c = z.shape

        def beside(x: Tensor) -> Tensor:
            _, _, h, w = x.size()
            return torch.cat([x, z.view(b, c, 1, 1).expand(b, c, h, w)], dim=1)

        x = self.start(z[:, :, None, None])
        for block in self.blocks:
            x = F.leaky_relu(block(beside(x)), 0.2)
        return torch.sigmoid(self.last(beside(x)))


class FastGan(nn.Module):
    """Skip-layer excitation across scales, gated linear units, weight-free swish, both scales given back."""

    def __init__(self) -> None:
        super().__init__()
        sn = spectral_norm
        self.init = nn.Sequential(sn(nn.ConvTranspose2d(16, 32, 4, bias=False)), nn.BatchNorm2d(32), nn.GLU(dim=1))
        self.up8 = self.up(16, 8)
        self.up16 = self.up(8, 8)
        self.up32 = self.up(8, 4)
        self.se = nn.Sequential(nn.AdaptiveAvgPool2d(4), sn(nn.Conv2d(16, 4, 4)), nn.SiLU(), sn(nn.Conv2d(4, 4, 1)))
        self.to_128 = sn(nn.Conv2d(8, 3, 1))
        self.to_big = sn(nn.Conv2d(4, 3, 3, padding=1))

    @staticmethod
    def up(wide: int, out: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            spectral_norm(nn.Conv2d(wide, out * 2, 3, 1, 1, bias=False)),
            nn.BatchNorm2d(out * 2),
            nn.GLU(dim=1),
        )

    def forward(self, input: Tensor) -> list[Tensor]:
        noise = F.normalize(input, dim=1)
        feat_4 = self.init(noise.view(noise.shape[0], -1, 1, 1))
        feat_16 = self.up16(self.up8(feat_4))
        feat_32 = self.up32(feat_16) * torch.sigmoid(self.se(feat_4))
        return [torch.tanh(self.to_big(feat_32)), torch.tanh(self.to_128(feat_16))]


class LightweightGan(nn.Module):
    """Pixel shuffle, blur by a stored kernel, linear attention, a context gate, clamp in place of tanh."""

    def __init__(self, heads: int = 2, head: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.initial = nn.Sequential(nn.ConvTranspose2d(16, 32, 4), nn.BatchNorm2d(32), nn.GLU(dim=1))
        self.shuffle = nn.Sequential(nn.Conv2d(16, 32, 1), nn.SiLU(), nn.PixelShuffle(2))
        f = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("f", (f[:, None] * f[None, :] / 16)[None, None])
        self.to_qkv = nn.Conv2d(8, heads * head * 3, 1, bias=False)
        self.to_out = nn.Conv2d(heads * head, 8, 1)
        self.to_k, self.net = nn.Conv2d(8, 1, 1), nn.Sequential(nn.Conv2d(8, 4, 1), nn.SiLU(), nn.Conv2d(4, 8, 1))
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def attend(self, fmap: Tensor) -> Tensor:
        b, _, x, y = fmap.shape
        q, k, v = (t.reshape(b * self.heads, -1, x * y) for t in self.to_qkv(fmap).chunk(3, dim=1))
        q = q.transpose(1, 2).softmax(dim=-1) * q.shape[1] ** -0.5
        context = torch.einsum("b d n, b e n -> b d e", k.softmax(dim=-1), v)
        out = torch.einsum("b n d, b d e -> b n e", q, context)
        out = out.reshape(b, self.heads, x, y, -1).permute(0, 1, 4, 2, 3).flatten(1, 2)
        return self.to_out(F.gelu(out))

    def context(self, x: Tensor) -> Tensor:
        weights = self.to_k(x).flatten(2).softmax(dim=-1)
        return torch.sigmoid(self.net(torch.einsum("b i n, b c n -> b c i", weights, x.flatten(2)).unsqueeze(-1)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.normalize(x[..., None, None], dim=1)
        x = self.shuffle(self.initial(x))
        kernel = self.f.expand(x.shape[1], -1, -1, -1)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, groups=x.shape[1])
        x = x + self.attend(x)
        return self.last(x * self.context(x)).clamp_(0.0, 1.0)


class R3Gan(nn.Module):
    """A learned basis times a linear layer, grouped 3x3s, depthwise FIR upsampling by ConvTranspose, no tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(16, 4, 4))
        self.linear = nn.Linear(8, 16, bias=False)
        self.a, self.b = nn.Conv2d(16, 16, 1, bias=False), nn.Conv2d(16, 16, 3, padding=1, groups=4, bias=False)
        self.c = nn.Conv2d(16, 16, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(16))
        fir = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("kernel", torch.outer(fir, fir)[None, None] / 4, persistent=False)
        self.down = nn.Conv2d(16, 8, 1, bias=False)
        self.to_rgb = nn.Conv2d(8, 3, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.basis.view(1, -1, 4, 4) * self.linear(x).view(x.shape[0], -1, 1, 1)
        y = F.leaky_relu(self.a(x) + self.bias.view(1, -1, 1, 1), 0.2) * math.sqrt(2)
        y = F.leaky_relu(self.b(y) + self.bias.view(1, -1, 1, 1), 0.2)
        x = self.down(x + self.c(y))
        kernel = self.kernel.to(x.dtype).repeat(x.shape[1], 1, 1, 1)
        x = F.conv_transpose2d(x, kernel, stride=2, padding=1, output_padding=1, groups=x.shape[1])
        return self.to_rgb(x)


class RelativeAttention(nn.Module):
    """Multi-head attention with a table of relative positions, looked up by an index buffer."""

    def __init__(self, dim: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, dim * 3), nn.Linear(dim, dim)
        self.table = nn.Parameter(torch.randn((2 * side - 1) ** 2, heads))
        grid = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
        offset = (grid[:, :, None] - grid[:, None, :]).permute(1, 2, 0) + side - 1
        self.register_buffer("index", offset[..., 0] * (2 * side - 1) + offset[..., 1])

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        bias = self.table[self.index.view(-1)].view(n, n, -1).permute(2, 0, 1).contiguous()
        attention = ((q @ k.transpose(-2, -1)) * self.scale + bias.unsqueeze(0)).softmax(dim=-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(b, n, c))


class TransGan(nn.Module):
    """Tokens to pixels to tokens: pixel shuffle between the stages, views of -1 for the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Linear(12, 4 * 4 * 16)
        self.pos1, self.pos2 = nn.Parameter(torch.zeros(1, 16, 16)), nn.Parameter(torch.zeros(1, 64, 4))
        self.norm1, self.norm2 = nn.LayerNorm(16), nn.LayerNorm(4)
        self.block1, self.block2 = RelativeAttention(16, 4, 4), RelativeAttention(4, 2, 8)
        self.deconv = nn.Conv2d(4, 3, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.l1(z).view(-1, 16, 16) + self.pos1
        x = x + self.block1(self.norm1(x))
        x = F.pixel_shuffle(x.permute(0, 2, 1).view(-1, 16, 4, 4), 2)
        _, c, h, w = x.size()
        x = x.view(-1, c, h * w).permute(0, 2, 1) + self.pos2
        x = x + self.block2(self.norm2(x))
        return self.deconv(x.permute(0, 2, 1).view(-1, c, h, w))


class Gansformer(nn.Module):
    """Bipartite attention between the grid and several latents of one sample; the grid starts as a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(1, 8, 4, 4))
        self.attention = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)
        self.modulate = nn.Linear(8, 16)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.rgb = nn.Conv2d(8, 3, 1)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.const.repeat(latents.size(0), 1, 1, 1)
        for _ in range(2):
            tokens = x.flatten(2).transpose(1, 2)
            found, _ = self.attention(tokens, latents, latents)
            gain, shift = self.modulate(found).transpose(1, 2).reshape(-1, 16, *x.shape[2:]).chunk(2, 1)
            x = F.instance_norm(x) * (1 + gain) + shift
            x = F.leaky_relu(self.conv(F.interpolate(x, scale_factor=2, mode="bilinear")), 0.2)
        return self.rgb(x)


class VitDecoder(nn.Module):
    """nn.TransformerEncoder, which has a fast path of its own in eval mode, and an einsum to put patches back."""

    def __init__(self) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, 16))
        self.embed = nn.Linear(12, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True, norm_first=False)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.pred = nn.Linear(16, 2 * 2 * 3)

    def forward(self, z: Tensor) -> Tensor:
        tokens = self.mask_token.expand(len(z), 16, -1)
        x = self.encoder(torch.cat([self.embed(z).unsqueeze(1), tokens], dim=1))
        x = self.pred(x[:, 1:, :])
        h = w = int(x.shape[1] ** 0.5)
        x = x.reshape(shape=(x.shape[0], h, w, 2, 2, 3))
        return torch.einsum("nhwpqc->nchpwq", x).reshape(shape=(x.shape[0], 3, h * 2, w * 2))


class QueryDecoder(nn.Module):
    """nn.TransformerDecoder, sequence first: learned queries repeated over the batch, a causal mask made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Embedding(9, 16)
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, 32), 1)
        self.memory, self.head = nn.Linear(6, 16), nn.Linear(16, 4)

    def forward(self, z: Tensor) -> Tensor:
        bs = z.shape[0]
        queries = self.query.weight.unsqueeze(1).repeat(1, bs, 1)
        mask = nn.Transformer.generate_square_subsequent_mask(9)
        out = self.decoder(queries, self.memory(z).unsqueeze(0), tgt_mask=mask).transpose(0, 1)
        return self.head(out).reshape(bs, 3, 3, 2, 2).permute(0, 1, 3, 2, 4).reshape(bs, 1, 6, 6)


class VqganDecoder(nn.Module):
    """Indices of a codebook -> picture: lookup by flat index, group norm, swish, attention with bmm."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(32, 8)
        self.post_quant_conv = nn.Conv2d(8, 16, 1)
        self.norm = nn.GroupNorm(4, 16, eps=1e-6)
        self.q, self.k, self.v, self.proj = (nn.Conv2d(16, 16, 1) for _ in range(4))
        self.conv = nn.Conv2d(16, 16, 3, padding=1)
        self.conv_out = nn.Conv2d(16, 3, 3, padding=1)

    def forward(self, indices: Tensor) -> Tensor:
        shape = (indices.shape[0], 4, 4, 8)
        flat = torch.zeros(indices.numel(), 32, device=indices.device)
        flat.scatter_(1, indices.reshape(-1, 1), 1)
        z_q = torch.matmul(flat, self.embedding.weight).view(shape).permute(0, 3, 1, 2).contiguous()
        h = self.post_quant_conv(z_q)
        h_ = self.norm(h)
        b, c, height, width = h_.shape
        q = self.q(h_).reshape(b, c, height * width).permute(0, 2, 1)
        w_ = torch.bmm(q, self.k(h_).reshape(b, c, height * width)) * (int(c) ** (-0.5))
        w_ = F.softmax(w_, dim=2).permute(0, 2, 1)
        h = h + self.proj(torch.bmm(self.v(h_).reshape(b, c, height * width), w_).reshape(b, c, height, width))
        h = self.norm(h)
        h = h * torch.sigmoid(h)
        return self.conv_out(self.conv(F.interpolate(h, scale_factor=2.0, mode="nearest")))


class Coordinates(nn.Module):
    """CIPS / INR-GAN: a grid made in forward and repeated over the batch, sines, a hypernetwork's weights by bmm."""

    def __init__(self) -> None:
        super().__init__()
        self.fourier = nn.Linear(2, 8)
        self.hyper = nn.Linear(6, 8 * 8)
        self.film = nn.Linear(6, 16)
        self.rgb = nn.Linear(8, 3)

    def forward(self, z: Tensor) -> Tensor:
        b, side = z.shape[0], 8
        line = torch.linspace(-1, 1, side, device=z.device)
        ys, xs = torch.meshgrid(line, line, indexing="ij")
        grid = torch.stack([xs, ys], dim=-1).view(1, -1, 2).repeat(b, 1, 1)
        x = torch.sin(30 * self.fourier(grid))
        x = torch.baddbmm(x, x, self.hyper(z).view(b, 8, 8), alpha=0.35)
        frequency, phase = self.film(z).unsqueeze(1).split(8, dim=-1)
        x = torch.sin((frequency + 1) * x + phase)
        return self.rgb(x).transpose(1, 2).view(b, 3, side, side)


class CoordConv(nn.Module):
    """Coordinate channels made by new_ones and cumsum, then concatenated before each convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 8 * 4 * 4)
        self.conv1, self.conv2 = nn.Conv2d(11, 8, 3, padding=1), nn.Conv2d(11, 1, 3, padding=1)

    @staticmethod
    def with_coordinates(x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        ys = x.new_ones(b, 1, h, w).cumsum(2) / h * 2 - 1
        xs = x.new_ones(b, 1, h, w).cumsum(3) / w * 2 - 1
        return torch.cat([x, ys, xs, torch.sqrt(ys**2 + xs**2)], 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.fc(z).unflatten(1, (8, 4, 4))
        x = F.elu(self.conv1(self.with_coordinates(x)))
        x = F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
        return self.conv2(self.with_coordinates(x))


class DeepSixty(nn.Module):
    """Sixty convolutions with batch norm in a chain of residual blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.ConvTranspose2d(8, 4, 4)
        self.body = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.PReLU()) for _ in range(60)
        )

    def forward(self, z: Tensor) -> Tensor:
        x = self.head(z[..., None, None])
        for layer in self.body:
            x = x + 0.1 * layer(x)
        return x


CASES = [
    Case("dcgan_tutorial", Dcgan, normal(16, 1, 1), quick=True),
    Case("dcgan_upsampling_eps_slip", UpsamplingDcgan, normal(10)),
    Case("lsgan", Lsgan, normal(12)),
    Case("wgan_gp_resnet_depth_to_space", WganGpResnet, normal(12)),
    Case("gan_mlp_image_shape", MlpGan, normal(10)),
    Case("sngan_old_spectral_norm", lambda: Sngan(spectral_norm), normal(12)),
    Case("sngan_new_spectral_norm", lambda: Sngan(parametrizations.spectral_norm), normal(12)),
    Case("sagan_attention_map_too", Sagan, normal(12)),
    Case("skip_latent_expanded", SkipLatent, normal(6)),
    Case("fastgan_two_scales", FastGan, normal(16)),
    Case("lightweight_gan_linear_attention", LightweightGan, normal(16)),
    Case("r3gan", R3Gan, normal(8)),
    Case("transgan_relative_bias", TransGan, normal(12)),
    Case("gansformer_bipartite", Gansformer, normal(3, 6)),
    Case("vit_decoder_fast_path", VitDecoder, normal(12)),
    Case("query_decoder_sequence_first", QueryDecoder, normal(6)),
    Case("vqgan_decoder_from_indices", VqganDecoder, whole(32, 16)),
    Case("cips_coordinates", Coordinates, normal(6)),
    Case("coordconv_cumsum", CoordConv, normal(6)),
    Case("sixty_layers", DeepSixty, normal(8)),
]
