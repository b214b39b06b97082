"""Noise and a condition -> picture: labels, embeddings, codes, words, attributes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from awkward_case import Case, normal, one_hot, truth, uniform, whole
from torch import Tensor, nn


class Cgan(nn.Module):
    """An MLP on the label's embedding beside the noise; the picture's shape is an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(10, 10)
        self.model = nn.Sequential(
            nn.Linear(6 + 10, 32),
            nn.BatchNorm1d(32, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(32, 64),
            nn.Tanh(),
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        gen_input = torch.cat((self.label_emb(labels), noise), -1)
        img = self.model(gen_input)
        return img.view(img.size(0), *(1, 8, 8))


class Acgan(nn.Module):
    """The embedding is multiplied with the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(10, 8)
        self.l1 = nn.Sequential(nn.Linear(8, 8 * 2**2))
        self.conv_blocks = nn.Sequential(
            nn.BatchNorm2d(8), nn.Upsample(scale_factor=2), nn.Conv2d(8, 3, 3, padding=1), nn.Tanh()
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        out = self.l1(torch.mul(self.label_emb(labels), noise))
        return self.conv_blocks(out.view(out.shape[0], 8, 2, 2))


class InfoGan(nn.Module):
    """Three inputs side by side: noise, a categorical and a continuous code."""

    def __init__(self) -> None:
        super().__init__()
        self.l1 = nn.Linear(6 + 10 + 2, 8 * 4 * 4)
        self.last = nn.Sequential(nn.BatchNorm2d(8), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh())

    def forward(self, noise: Tensor, labels: Tensor, code: Tensor) -> Tensor:
        return self.last(self.l1(torch.cat((noise, labels, code), -1)).view(-1, 8, 4, 4))


class SnConv(nn.Conv2d):
    """BigGAN's own spectral norm: power iteration in forward, vectors updated in training only."""

    def __init__(self, wide: int, out: int, kernel: int, padding: int = 0) -> None:
        super().__init__(wide, out, kernel, padding=padding)
        self.register_buffer("u0", torch.randn(1, out))
        self.register_buffer("sv0", torch.ones(1))

    def normed(self) -> Tensor:
        matrix = self.weight.view(self.weight.size(0), -1)
        with torch.no_grad():
            v = F.normalize(torch.matmul(self.u0, matrix), eps=1e-12)
            u = F.normalize(torch.matmul(v, matrix.t()), eps=1e-12)
            if self.training:
                self.u0[:] = u
        sigma = torch.squeeze(torch.matmul(torch.matmul(v, matrix.t()), u.t()))
        if self.training:
            with torch.no_grad():
                self.sv0[:] = sigma
        return self.weight / sigma

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.normed(), self.bias, self.stride, self.padding, self.dilation, self.groups)


class ConditionalNorm(nn.Module):
    """Gain and bias from the condition around a functional batch norm with stored statistics."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.gain, self.bias = nn.Linear(condition, width, bias=False), nn.Linear(condition, width, bias=False)
        self.register_buffer("stored_mean", torch.zeros(width))
        self.register_buffer("stored_var", torch.ones(width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gain = (1 + self.gain(y)).view(y.size(0), -1, 1, 1)
        bias = self.bias(y).view(y.size(0), -1, 1, 1)
        out = F.batch_norm(x, self.stored_mean, self.stored_var, None, None, self.training, 0.1, 1e-5)
        return out * gain + bias


class BigGanBlock(nn.Module):
    def __init__(self, wide: int, out: int, condition: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = ConditionalNorm(wide, condition), ConditionalNorm(out, condition)
        self.conv1, self.conv2 = SnConv(wide, out, 3, 1), SnConv(out, out, 3, 1)
        self.conv_sc = SnConv(wide, out, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = F.relu(self.bn1(x, y))
        h, x = F.interpolate(h, scale_factor=2), F.interpolate(x, scale_factor=2)
        return self.conv2(F.relu(self.bn2(self.conv1(h), y))) + self.conv_sc(x)


class BigGanAttention(nn.Module):
    """Keys and values are max-pooled; theta, phi and g of a fraction of the channels."""

    def __init__(self, ch: int) -> None:
        super().__init__()
        self.ch = ch
        self.theta, self.phi = SnConv(ch, ch // 8, 1), SnConv(ch, ch // 8, 1)
        self.g, self.o = SnConv(ch, ch // 2, 1), SnConv(ch // 2, ch, 1)
        self.gamma = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        theta = self.theta(x).view(-1, self.ch // 8, x.shape[2] * x.shape[3])
        phi = F.max_pool2d(self.phi(x), [2, 2]).view(-1, self.ch // 8, x.shape[2] * x.shape[3] // 4)
        g = F.max_pool2d(self.g(x), [2, 2]).view(-1, self.ch // 2, x.shape[2] * x.shape[3] // 4)
        beta = F.softmax(torch.bmm(theta.transpose(1, 2), phi), -1)
        o = self.o(torch.bmm(g, beta.transpose(1, 2)).view(-1, self.ch // 2, x.shape[2], x.shape[3]))
        return self.gamma * o + x


class BigGan(nn.Module):
    """The latent in chunks, one a block, each beside the shared embedding of the class.

    `shared_inside` False: the caller embeds the label, `G(z, G.shared(y))`, and y is a vector here.
    """

    def __init__(self, shared_inside: bool) -> None:
        super().__init__()
        self.shared_inside, self.z_chunk_size = shared_inside, 4
        self.shared = nn.Embedding(10, 6)
        self.linear = nn.Linear(4, 16 * 4 * 4)
        self.blocks = nn.ModuleList(
            [
                nn.ModuleList([BigGanBlock(16, 16, 10), BigGanAttention(16)]),
                nn.ModuleList([BigGanBlock(16, 8, 10)]),
            ]
        )
        self.output_layer = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(True), SnConv(8, 3, 3, 1))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        if self.shared_inside:
            y = self.shared(y)
        zs = torch.split(z, self.z_chunk_size, 1)
        z = zs[0]
        ys = [torch.cat([y, item], 1) for item in zs[1:]]
        h = self.linear(z)
        h = h.view(h.size(0), -1, 4, 4)
        for index, blocklist in enumerate(self.blocks):
            for block in blocklist:
                h = block(h, ys[index])
        return torch.tanh(self.output_layer(h))


class LabelMap(nn.Module):
    """A one-hot row made in forward, then repeated over the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 4 * 4 * 4)
        self.conv = nn.Conv2d(4 + 5, 3, 3, padding=1)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        x = self.fc(z).view(z.size(0), 4, 4, 4)
        hot = F.one_hot(c, num_classes=5).type_as(x)
        hot = hot[:, :, None, None].repeat(1, 1, x.size(2), x.size(3))
        return self.conv(torch.cat([x, hot], dim=1))


class PerClassWeights(nn.Module):
    """Every class has matrices of its own, chosen by indexing, index_select and gather."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 6, 8))
        self.bias = nn.Parameter(torch.randn(5, 8))
        self.scale = nn.Parameter(torch.randn(8, 5))
        self.head = nn.Linear(8, 12)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        x = torch.bmm(z.unsqueeze(1), self.weight[label]).squeeze(1)
        x = x + torch.index_select(self.bias, 0, label)
        table = self.scale.unsqueeze(0).expand(x.shape[0], -1, -1)
        x = x * torch.gather(table, 2, label.view(-1, 1, 1).expand(-1, 8, 1)).squeeze(2)
        return self.head(x).view(-1, 3, 2, 2)


class ConditionalEmbeddingNorm(nn.Module):
    """cGAN with projection: an embedding of twice the width, cut into gain and bias by chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 8 * 4 * 4)
        self.bn = nn.BatchNorm2d(8, affine=False)
        self.embed = nn.Embedding(4, 16)
        self.conv = nn.ConvTranspose2d(8, 3, 4, 2, 1)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        out = self.bn(self.fc(z).view(-1, 8, 4, 4))
        gamma, beta = self.embed(y).chunk(2, 1)
        out = gamma.view(-1, 8, 1, 1) * out + beta.view(-1, 8, 1, 1)
        return torch.tanh(self.conv(F.relu(out)))


class TextGan(nn.Module):
    """AttnGAN / StackGAN: tokens through an LSTM, padding masked out of the attention, the mean as condition."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Embedding(50, 8, padding_idx=0)
        self.rnn = nn.LSTM(8, 6, 1, batch_first=True, bidirectional=True)
        self.augment = nn.Linear(12, 8)
        self.fc = nn.Linear(6 + 4, 12 * 4 * 4)
        self.up = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(24, 3, 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        words, (hidden, _) = self.rnn(self.encoder(tokens))
        sentence = hidden.transpose(0, 1).contiguous().view(-1, 12)
        mean, _ = self.augment(sentence).chunk(2, dim=1)
        x = F.glu(torch.cat([self.fc(torch.cat([z, mean], 1))] * 2, 1), 1).view(-1, 12, 4, 4)
        ih, iw = x.size(2), x.size(3)
        target = x.view(x.size(0), -1, ih * iw).transpose(1, 2)
        attention = torch.bmm(target, words.transpose(1, 2))
        attention = attention.masked_fill((tokens == 0)[:, None, :], -float("inf")).softmax(-1)
        context = torch.bmm(attention, words).transpose(1, 2).view(-1, 12, ih, iw)
        return self.up(torch.cat([x, context], 1)), attention


class MaskedWords(nn.Module):
    """Word features with a bool mask: additive -inf by torch.where, a mean over the words that count."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8 + 8, 12)

    def forward(self, z: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        found, _ = self.attention(z.unsqueeze(1), words, words, key_padding_mask=~mask)
        count = mask.sum(dim=1, keepdim=True).clamp(min=1)
        mean = (words * mask.unsqueeze(-1)).sum(1) / count
        return self.head(torch.cat([found.squeeze(1), mean], -1)).view(-1, 3, 2, 2)


class StarGan(nn.Module):
    """A picture and a target domain, repeated over the pixels and concatenated; instance norm with affine."""

    def __init__(self) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(3 + 5, 8, 7, padding=3, bias=False),
            nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 3, 7, padding=3, bias=False),
            nn.Tanh(),
        )

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        c = c.view(c.size(0), c.size(1), 1, 1)
        c = c.repeat(1, 1, x.size(2), x.size(3))
        return self.main(torch.cat([x, c], dim=1))


class AttributeHeads(nn.Module):
    """Several labels in one dict, one embedding each; a missing one would be a zero."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleDict({"hair": nn.Embedding(4, 6), "age": nn.Embedding(3, 6)})
        self.fc = nn.Linear(6, 12)

    def forward(self, z: Tensor, attributes: dict[str, Tensor]) -> Tensor:
        for name, table in self.tables.items():
            z = z + (table(attributes[name]) if name in attributes else 0)
        return self.fc(z).reshape(len(z), 3, 2, 2)


class OptionalLabel(nn.Module):
    """The label may be left out, and here it is."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fc = nn.Embedding(4, 6), nn.Linear(6, 12)

    def forward(self, z: Tensor, label: Tensor | None = None, scale: float = 2.0) -> Tensor:
        if label is not None:
            z = z + self.embed(label)
        return torch.tanh(scale * self.fc(z)).view(-1, 3, 2, 2)


class Experts(nn.Module):
    """A mixture of experts: all are computed, torch.where and a gather choose by label and by noise."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(6, 12) for _ in range(3))
        self.gate = nn.Linear(6, 3)

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        every = torch.stack([expert(z) for expert in self.experts], dim=1)
        by_label = every[torch.arange(z.shape[0], device=z.device), label]
        best = self.gate(z).argmax(dim=1)
        by_gate = torch.gather(every, 1, best[:, None, None].expand(-1, 1, every.shape[2])).squeeze(1)
        return torch.where((label > 0).unsqueeze(1), by_label, by_gate).view(-1, 3, 2, 2)


class GigaGan(nn.Module):
    """Sample-adaptive kernels: a softmax over a bank of filters, then one convolution with a group a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(8, 4, 4))
        self.bank = nn.Parameter(torch.randn(3, 8, 8, 3, 3))
        self.choose, self.style = nn.Linear(6, 3), nn.Linear(6, 8)
        self.rgb = nn.Conv2d(8, 3, 1)

    def forward(self, w: Tensor) -> Tensor:
        b = w.shape[0]
        x = self.const.expand(b, -1, -1, -1)
        attention = self.choose(w).softmax(dim=-1).view(b, 3, 1, 1, 1, 1)
        weights = (self.bank[None] * attention).sum(1) * (self.style(w).view(b, 1, 8, 1, 1) + 1)
        inverse = weights.square().sum(dim=(2, 3, 4), keepdim=True).clamp(min=1e-8).rsqrt()
        weights = (weights * inverse).view(b * 8, 8, 3, 3)
        x = F.conv2d(x.reshape(1, b * 8, 4, 4), weights, padding="same", groups=b)
        return self.rgb(x.reshape(-1, 8, 4, 4))


class DiffusionGan(nn.Module):
    """One step of a denoising diffusion GAN: a sinusoidal time embedding of an int64 t, adaptive group norm."""

    def __init__(self) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 16))
        self.latent = nn.Linear(6, 16)
        self.conv_in, self.conv_out = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8, affine=False, eps=1e-6)

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        half = 4
        rates = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * (-math.log(10000) / (half - 1)))
        angles = t.float()[:, None] * rates[None, :]
        embedding = self.time(torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)) + self.latent(z)
        gamma, beta = embedding[:, :, None, None].chunk(2, 1)
        h = F.silu(self.norm(self.conv_in(x)) * (1 + gamma) + beta)
        return x + self.conv_out(h)


class Continuous(nn.Module):
    """CcGAN: a regression label [batch, 1], cosine similarity to anchors, 32-bit labels used as an index too."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors, self.embed = nn.Parameter(torch.randn(7, 4)), nn.Linear(1, 4)
        self.fc = nn.Linear(6 + 7, 12)
        self.kind = nn.Embedding(3, 12)

    def forward(self, z: Tensor, angle: Tensor, kind: Tensor) -> Tensor:
        near = F.cosine_similarity(self.embed(angle)[:, None], self.anchors[None], dim=-1)
        return (self.fc(torch.cat([z, near], 1)) + self.kind(kind.squeeze(1))).view(-1, 3, 2, 2)


CASES = [
    Case("cgan_mlp_concat", Cgan, (normal(6), whole(10)), quick=True),
    Case("acgan_embedding_times_noise", Acgan, (normal(8), whole(10))),
    Case("infogan_three_inputs", InfoGan, (normal(6), one_hot(10), uniform(2))),
    Case("biggan_with_labels", lambda: BigGan(True), (normal(12), whole(10))),
    Case("biggan_with_shared_embedding", lambda: BigGan(False), {"z": normal(12), "y": normal(6)}),
    Case("label_one_hot_map", LabelMap, (normal(6), whole(5))),
    Case("weights_of_each_class", PerClassWeights, (normal(6), whole(5))),
    Case("conditional_batch_norm_chunk", ConditionalEmbeddingNorm, (normal(6), whole(4))),
    Case("attngan_tokens_lstm", TextGan, (normal(6), whole(50, 7, low=1))),
    Case("masked_words_attention", MaskedWords, (normal(8), normal(5, 8), truth(5))),
    Case("stargan_domain_map", StarGan, (normal(3, 8, 8), one_hot(5))),
    Case("attributes_in_a_dict", AttributeHeads, (normal(6), {"age": whole(3), "hair": whole(4)})),
    Case("label_left_out", OptionalLabel, normal(6)),
    Case("label_given_by_name", OptionalLabel, {"z": normal(6), "label": whole(4)}),
    Case("mixture_of_experts", Experts, (normal(6), whole(3))),
    Case("gigagan_adaptive_kernels", GigaGan, normal(6)),
    Case("diffusion_gan_step", DiffusionGan, (normal(3, 8, 8), whole(4), normal(6))),
    Case("ccgan_int32_kind", Continuous, (normal(6), uniform(1), whole(3, 1, dtype=torch.int32))),
]
