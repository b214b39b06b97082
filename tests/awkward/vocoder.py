"""Mel -> wave: transposed convolutions, snakes, predicted kernels, inverse Fourier transforms, harmonic sources."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from awkward_case import Case, normal, uniform, whole
from torch import Tensor, nn
from torch.nn.utils import parametrizations, remove_weight_norm, weight_norm


class ResBlock(nn.Module):
    def __init__(self, width: int, kernel: int, norm: Any) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            norm(nn.Conv1d(width, width, kernel, 1, dilation=d, padding=(kernel * d - d) // 2)) for d in (1, 3)
        )
        self.convs2 = nn.ModuleList(norm(nn.Conv1d(width, width, kernel, padding=kernel // 2)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for c1, c2 in zip(self.convs1, self.convs2, strict=True):
            x = c2(F.leaky_relu(c1(F.leaky_relu(x, 0.1)), 0.1)) + x
        return x


class HifiGan(nn.Module):
    """The mean of residual blocks of several kernels after each upsampling, summed from None."""

    def __init__(self, norm: Any = weight_norm, removed: bool = False) -> None:
        super().__init__()
        self.num_kernels = 2
        self.conv_pre = norm(nn.Conv1d(8, 8, 7, 1, padding=3))
        self.ups = nn.ModuleList(norm(nn.ConvTranspose1d(8 // 2**i, 4 // 2**i, 4, 2, padding=1)) for i in range(2))
        self.resblocks = nn.ModuleList(ResBlock(4 // 2**i, k, norm) for i in range(2) for k in (3, 5))
        self.conv_post = norm(nn.Conv1d(2, 1, 7, 1, padding=3))
        if removed:
            for layer in self.modules():
                if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
                    remove_weight_norm(layer)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_pre(x)
        for i in range(len(self.ups)):
            x = self.ups[i](F.leaky_relu(x, 0.1))
            xs = None
            for j in range(self.num_kernels):
                if xs is None:
                    xs = self.resblocks[i * self.num_kernels + j](x)
                else:
                    xs += self.resblocks[i * self.num_kernels + j](x)
            x = xs / self.num_kernels
        return torch.tanh(self.conv_post(F.leaky_relu(x)))


class SpeechHifiGan(nn.Module):
    """Time first, one without a batch is taken too, and so the result is squeezed; statistics as buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.randn(8))
        self.register_buffer("scale", torch.rand(8) + 0.5)
        self.body = HifiGan(parametrizations.weight_norm)

    def forward(self, spectrogram: Tensor) -> Tensor:
        spectrogram = (spectrogram - self.mean) / self.scale
        is_batched = spectrogram.dim() == 3
        if not is_batched:
            spectrogram = spectrogram.unsqueeze(0)
        hidden = self.body(spectrogram.transpose(2, 1))
        if not is_batched:
            return hidden.squeeze(0).transpose(1, 0).view(-1)
        return hidden.squeeze(1)


class SnakeBeta(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha, self.beta = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.no_div_by_zero = 0.000000001

    def forward(self, x: Tensor) -> Tensor:
        alpha = torch.exp(self.alpha.unsqueeze(0).unsqueeze(-1))
        beta = torch.exp(self.beta.unsqueeze(0).unsqueeze(-1))
        return x + (1.0 / (beta + self.no_div_by_zero)) * torch.pow(torch.sin(x * alpha), 2)


class AntiAliased(nn.Module):
    """Up by 2 with a windowed sinc, the snake, down by 2: replicate pads, depthwise, filters expanded to channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.act = SnakeBeta(width)
        time = torch.arange(-6, 6) + 0.5
        taps = torch.kaiser_window(12, beta=4.66, periodic=False) * torch.sinc(time * 0.5)
        self.register_buffer("filter", (taps / taps.sum()).view(1, 1, 12))

    def forward(self, x: Tensor) -> Tensor:
        _, c, _ = x.shape
        x = F.pad(x, (5, 5), mode="replicate")
        x = 2 * F.conv_transpose1d(x, self.filter.expand(c, -1, -1), stride=2, groups=c)
        x = self.act(x[..., 15:-15])
        x = F.pad(x, (5, 6), mode="replicate")
        return F.conv1d(x, self.filter.expand(c, -1, -1), stride=2, groups=c)


class BigVgan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv_pre = parametrizations.weight_norm(nn.Conv1d(8, 6, 7, padding=3))
        self.ups = nn.ModuleList([nn.ModuleList([parametrizations.weight_norm(nn.ConvTranspose1d(6, 4, 4, 2, 1))])])
        self.activations = nn.ModuleList([AntiAliased(4), AntiAliased(4)])
        self.conv, self.conv_post = nn.Conv1d(4, 4, 3, padding=1), nn.Conv1d(4, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_pre(x)
        for i in range(len(self.ups)):
            for i_up in range(len(self.ups[i])):
                x = self.ups[i][i_up](x)
        acts = self.activations[::2]
        x = x + self.conv(acts[0](x))
        return torch.clamp(self.conv_post(self.activations[-1](x)), min=-1.0, max=1.0)


class UnivNet(nn.Module):
    """Location-variable convolution: kernels predicted a frame, three unfolds, an einsum; the mel is padded first."""

    def __init__(self, hop: int = 4) -> None:
        super().__init__()
        self.hop = hop
        self.conv_pre = nn.Conv1d(4, 6, 7, padding=3, padding_mode="reflect")
        self.up = nn.ConvTranspose1d(6, 6, 2 * hop, stride=hop, padding=hop // 2, output_padding=hop % 2)
        self.input_conv = nn.Conv1d(8, 8, 5)
        self.kernel_conv, self.bias_conv = nn.Conv1d(8, 6 * 12 * 3, 3, padding=1), nn.Conv1d(8, 12, 3, padding=1)
        self.conv_post = nn.Conv1d(6, 1, 7, padding=3)

    def location_variable(self, x: Tensor, kernel: Tensor, bias: Tensor, dilation: int) -> Tensor:
        _, _, in_length = x.shape
        _, _, _, kernel_size, kernel_length = kernel.shape
        assert in_length == (kernel_length * self.hop)
        padding = dilation * int((kernel_size - 1) / 2)
        x = F.pad(x, (padding, padding), "constant", 0).unfold(2, self.hop + 2 * padding, self.hop)
        if self.hop < dilation:
            x = F.pad(x, (0, dilation), "constant", 0)
        x = x.unfold(3, dilation, dilation)[:, :, :, :, : self.hop].transpose(3, 4).unfold(4, kernel_size, 1)
        o = torch.einsum("bildsk,biokl->bolsd", x, kernel).to(memory_format=torch.channels_last_3d)
        o = o + bias.unsqueeze(-1).unsqueeze(-1).to(memory_format=torch.channels_last_3d)
        return o.contiguous().view(x.shape[0], o.shape[1], -1)

    def forward(self, c: Tensor, z: Tensor) -> Tensor:
        pad = torch.full((c.size(0), 8, 2), -2.5).to(c.device)
        mel = torch.cat((c, pad), dim=2)
        noise = torch.cat((z, torch.zeros(z.size(0), z.size(1), 2, device=z.device)), dim=2)
        x = self.up(F.leaky_relu(self.conv_pre(noise), 0.2))
        condition = F.leaky_relu(self.input_conv(F.pad(mel, (2, 2), mode="replicate")), 0.1)
        kernels = self.kernel_conv(condition).contiguous().view(x.size(0), 6, 12, 3, -1)
        biases = self.bias_conv(condition).contiguous().view(x.size(0), 12, -1)
        output = self.location_variable(F.leaky_relu(x, 0.2), kernels, biases, 1)
        x = x + torch.sigmoid(output[:, :6, :]) * torch.tanh(output[:, 6:, :])
        audio = torch.tanh(self.conv_post(F.leaky_relu(x, 0.2)))
        return audio[:, :, : -(self.hop * 2)].clamp(-1, 1)


class ConvNext(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv, self.norm = nn.Conv1d(dim, dim, 7, padding=3, groups=dim), nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1, self.pwconv2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.gamma = nn.Parameter(0.5 * torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).transpose(1, 2))
        y = self.gamma * self.pwconv2(F.gelu(self.pwconv1(y)))
        return x + y.transpose(1, 2)


class Vocos(nn.Module):
    """ConvNeXt, then a Fourier head: exp of the magnitude, cos and sin of the phase, an inverse STFT.

    `padding` "center" is torch.istft; "same" is irfft, a window, an overlap-add by fold and its envelope.
    """

    def __init__(self, padding: str, n_fft: int = 16, hop: int = 4) -> None:
        super().__init__()
        self.padding, self.n_fft, self.hop_length, self.win_length = padding, n_fft, hop, n_fft
        self.embed = nn.Conv1d(8, 12, 7, padding=3)
        self.norm, self.convnext, self.final = nn.LayerNorm(12), ConvNext(12), nn.LayerNorm(12)
        self.out = nn.Linear(12, n_fft + 2)
        self.register_buffer("window", torch.hann_window(n_fft))

    def istft_same(self, spec: Tensor) -> Tensor:
        pad = (self.win_length - self.hop_length) // 2
        _, _, t = spec.shape
        ifft = torch.fft.irfft(spec, self.n_fft, dim=1, norm="backward") * self.window[None, :, None]
        size = (t - 1) * self.hop_length + self.win_length
        shape = {"kernel_size": (1, self.win_length), "stride": (1, self.hop_length)}
        y = F.fold(ifft, output_size=(1, size), **shape)[:, 0, 0, pad:-pad]
        window_sq = self.window.square().expand(1, t, -1).transpose(1, 2)
        envelope = F.fold(window_sq, output_size=(1, size), **shape).squeeze()[pad:-pad]
        return y / envelope

    def forward(self, features: Tensor) -> Tensor:
        x = self.norm(self.embed(features).transpose(1, 2)).transpose(1, 2)
        x = self.final(self.convnext(x).transpose(1, 2))
        mag, p = self.out(x).transpose(1, 2).chunk(2, dim=1)
        mag = torch.clip(torch.exp(mag), max=1e2)
        spec = mag * (torch.cos(p) + 1j * torch.sin(p))
        if self.padding == "same":
            return self.istft_same(spec)
        return torch.istft(spec, self.n_fft, self.hop_length, self.win_length, self.window, center=True)


class IstftNet(nn.Module):
    """HiFi-GAN's trunk, one reflected sample, exp and sin of halves of the channels, torch.istft of a complex."""

    def __init__(self) -> None:
        super().__init__()
        self.n_fft, self.hop = 8, 2
        self.trunk = weight_norm(nn.ConvTranspose1d(8, 6, 4, 2, padding=1))
        self.reflection_pad = nn.ReflectionPad1d((1, 0))
        self.conv_post = weight_norm(nn.Conv1d(6, self.n_fft + 2, 7, padding=3))
        self.window = torch.hann_window(8)  # no buffer: a plain attribute

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_post(self.reflection_pad(F.leaky_relu(self.trunk(x))))
        spec = torch.exp(x[:, : self.n_fft // 2 + 1, :])
        phase = torch.sin(x[:, self.n_fft // 2 + 1 :, :])
        inverse = torch.istft(spec * torch.exp(phase * 1j), self.n_fft, self.hop, 8, window=self.window.to(x.device))
        return inverse.unsqueeze(-2)


class MelGan(nn.Module):
    """Reflection pads before each dilated convolution; odd strides with output padding; the sound stays a view."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(
            nn.ReflectionPad1d(3),
            weight_norm(nn.Conv1d(8, 8, 7)),
            nn.LeakyReLU(0.2),
            weight_norm(nn.ConvTranspose1d(8, 4, 6, stride=3, padding=3 // 2 + 3 % 2, output_padding=3 % 2)),
            nn.LeakyReLU(0.2),
            nn.ReflectionPad1d(9),
            weight_norm(nn.Conv1d(4, 4, 3, dilation=9)),
            nn.LeakyReLU(0.2),
            nn.ReflectionPad1d(3),
            weight_norm(nn.Conv1d(4, 1, 7)),
            nn.Tanh(),
        )

    def forward(self, mel: Tensor) -> Tensor:
        mel = (mel + 5.0) / 5.0
        return self.generator(mel)[:, :, 1:-1]


class MultiBand(nn.Module):
    """Four sub-bands through a pseudo-QMF synthesis: an upsampling by a diagonal kernel, cosine filters."""

    def __init__(self, bands: int = 4, taps: int = 14) -> None:
        super().__init__()
        self.bands, self.taps = bands, taps
        self.body = weight_norm(nn.ConvTranspose1d(8, bands, 4, 2, padding=1))
        n = torch.arange(taps + 1) - taps / 2
        prototype = torch.sinc(n * 0.14) * 0.14 * torch.kaiser_window(taps + 1, beta=9.0, periodic=False)
        k = torch.arange(bands).unsqueeze(1)
        phase = (2 * k + 1) * (math.pi / (2 * bands)) * n - (-1) ** k * math.pi / 4
        self.register_buffer("synthesis", (2 * prototype * torch.cos(phase)).unsqueeze(0))
        self.register_buffer("updown_filter", torch.eye(bands).unsqueeze(-1) * torch.eye(1, bands)[0])

    def forward(self, mel: Tensor) -> Tensor:
        x = torch.tanh(self.body(mel))
        x = F.conv_transpose1d(x, self.updown_filter * self.bands, stride=self.bands)
        return F.conv1d(F.pad(x, (self.taps // 2, self.taps // 2)), self.synthesis)


class SineGen(nn.Module):
    """NSF: f0 to harmonics, a phase by cumsum with its wraps taken out, voiced flags, noise that is given."""

    def __init__(self, sampling_rate: int = 400, harmonics: int = 3) -> None:
        super().__init__()
        self.sampling_rate, self.dim = sampling_rate, harmonics + 1
        self.linear = nn.Linear(self.dim, 1)

    def forward(self, f0: Tensor, noise: Tensor, upp: int) -> tuple[Tensor, Tensor]:
        f0 = f0[:, None].transpose(1, 2)
        f0_buf = torch.zeros(f0.shape[0], f0.shape[1], self.dim, device=f0.device)
        f0_buf[:, :, 0] = f0[:, :, 0]
        for idx in range(self.dim - 1):
            f0_buf[:, :, idx + 1] = f0_buf[:, :, 0] * (idx + 2)
        rad_values = (f0_buf / self.sampling_rate) % 1
        tmp_over_one = torch.cumsum(rad_values, 1) * upp
        tmp_over_one = F.interpolate(
            tmp_over_one.transpose(2, 1), scale_factor=float(upp), mode="linear", align_corners=True
        ).transpose(2, 1)
        rad_values = F.interpolate(rad_values.transpose(2, 1), scale_factor=float(upp), mode="nearest").transpose(2, 1)
        tmp_over_one %= 1
        wraps = (tmp_over_one[:, 1:, :] - tmp_over_one[:, :-1, :]) < 0
        shift = torch.zeros_like(rad_values)
        shift[:, 1:, :] = wraps * -1.0
        sine_waves = torch.sin(torch.cumsum(rad_values + shift, dim=1) * 2 * math.pi) * 0.1
        uv = (f0 > 10).float()
        uv = F.interpolate(uv.transpose(2, 1), scale_factor=float(upp), mode="nearest").transpose(2, 1)
        noise_amp = uv * 0.003 + (1 - uv) * 0.1 / 3
        sine_waves = sine_waves * uv + noise_amp * noise
        return torch.tanh(self.linear(sine_waves)), uv


class NsfHifiGan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.upp = 4
        self.m_source = SineGen()
        self.conv_pre, self.conv_post = nn.Conv1d(8, 8, 7, padding=3), nn.Conv1d(4, 1, 7, padding=3, bias=False)
        self.ups, self.noise_conv = nn.ConvTranspose1d(8, 4, 8, 4, padding=2), nn.Conv1d(1, 4, 1)
        self.cond = nn.Embedding(5, 8)

    def forward(self, x: Tensor, f0: Tensor, sid: Tensor, noise: Tensor) -> Tensor:
        har_source, _ = self.m_source(f0, noise, self.upp)
        x = self.conv_pre(x) + self.cond(sid).unsqueeze(-1)
        x = self.ups(F.leaky_relu(x, 0.1)) + self.noise_conv(har_source.transpose(1, 2))
        return torch.tanh(self.conv_post(F.leaky_relu(x)))


class ParallelWaveGan(nn.Module):
    """Noise as the input, the mel stretched by interpolation and a two-dimensional filter, gated dilated layers."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.ModuleList(nn.Conv2d(1, 1, (1, 5), padding=(0, 2), bias=False) for _ in range(2))
        self.conv_in = nn.Conv1d(8, 8, 5, bias=False)
        self.first_conv = weight_norm(nn.Conv1d(1, 4, 1))
        self.conv_layers = nn.ModuleList(
            weight_norm(nn.Conv1d(4, 8, 3, padding=2**layer, dilation=2**layer)) for layer in range(3)
        )
        self.aux = nn.ModuleList(nn.Conv1d(8, 8, 1, bias=False) for _ in range(3))
        self.skip, self.out = nn.Conv1d(4, 4, 1), nn.Conv1d(4, 4, 1)
        self.last_conv_layers = nn.ModuleList([nn.ReLU(inplace=True), nn.Conv1d(4, 1, 1)])

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        c = self.conv_in(c).unsqueeze(1)
        for layer in self.smooth:
            c = layer(F.interpolate(c, scale_factor=(1, 2), mode="nearest"))
        c = c.squeeze(1)
        assert c.size(-1) == z.size(-1)
        x = self.first_conv(z)
        skips: Any = 0
        for conv, aux in zip(self.conv_layers, self.aux, strict=True):
            residual = x
            a, b = conv(x).split(4, dim=1)
            ca, cb = aux(c).split(4, dim=1)
            x = torch.tanh(a + ca) * torch.sigmoid(b + cb)
            skips += self.skip(x)
            x = (self.out(x) + residual) * math.sqrt(0.5)
        x = skips * math.sqrt(1.0 / len(self.conv_layers))
        for last in self.last_conv_layers:
            x = last(x)
        return x


class StyleTts(nn.Module):
    """AdaIN in one dimension, snakes with an alpha a channel, a parametrised depthwise pool, duration-free decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc = nn.InstanceNorm1d(8, affine=False), nn.Linear(6, 16)
        self.alpha = nn.Parameter(torch.ones(1, 8, 1))
        self.pool = weight_norm(nn.ConvTranspose1d(8, 8, 3, stride=2, groups=8, padding=1, output_padding=1))
        self.f0_conv = weight_norm(nn.Conv1d(1, 1, 3, stride=2, padding=1))
        self.conv, self.last = weight_norm(nn.Conv1d(8, 8, 3, padding=1)), nn.Conv1d(9, 1, 3, padding=1)

    def forward(self, asr: Tensor, f0_curve: Tensor, s: Tensor) -> Tensor:
        h = self.fc(s)
        h = h.view(h.size(0), h.size(1), 1)
        gamma, beta = torch.chunk(h, chunks=2, dim=1)
        x = (1 + gamma) * self.norm(asr) + beta
        x = x + (1 / self.alpha) * (torch.sin(self.alpha * x) ** 2)
        f0 = self.f0_conv(f0_curve.unsqueeze(1))
        x = (self.conv(self.pool(x)) + F.interpolate(asr, scale_factor=2, mode="nearest")) / math.sqrt(2)
        return self.last(torch.cat([x, F.interpolate(f0, size=x.shape[-1], mode="linear")], dim=1)).squeeze(1)


class Codec(nn.Module):
    """EnCodec / DAC: codes [batch, books, time] looked up book by book and summed, an LSTM with a skip, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.codebooks = nn.ParameterList(nn.Parameter(torch.randn(11, 6)) for _ in range(3))
        self.lstm = nn.LSTM(6, 6, 2)
        self.decoder = nn.Sequential(nn.ELU(), weight_norm(nn.ConvTranspose1d(6, 4, 8, stride=4)), nn.Conv1d(4, 1, 3))

    def forward(self, codes: Tensor) -> Tensor:
        quantized_out: Any = 0.0
        for indices, codebook in zip(codes.transpose(0, 1), self.codebooks, strict=True):
            quantized_out = quantized_out + F.embedding(indices, codebook).transpose(1, 2)
        x = quantized_out.permute(2, 0, 1)
        y, _ = self.lstm(x)
        y = F.pad((y + x).permute(1, 2, 0), (1, 0), mode="reflect")
        out = self.decoder(y)
        return out[..., 3 : out.shape[-1] - 1]


class Enhancer(nn.Module):
    """MetricGAN / HiFi++: torch.stft of a wave, a mask on the magnitude, the phase kept, torch.istft to its length."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(16))
        self.lstm, self.fc = nn.LSTM(9, 6, batch_first=True, bidirectional=True), nn.Linear(12, 9)

    def forward(self, wave: Tensor) -> Tensor:
        spec = torch.stft(wave, 16, 4, 16, self.window, center=True, pad_mode="reflect", return_complex=True)
        mag = spec.abs()
        hidden, _ = self.lstm(torch.log1p(mag).transpose(1, 2))
        mask = torch.sigmoid(self.fc(hidden)).transpose(1, 2)
        phase = spec / (mag + 1e-6)
        return torch.istft(mask * mag * phase, 16, 4, 16, self.window, center=True, length=wave.shape[-1])


MEL = normal(8, 10)

CASES = [
    Case("hifigan_old_weight_norm", HifiGan, MEL, quick=True),
    Case("hifigan_new_weight_norm", lambda: HifiGan(parametrizations.weight_norm), MEL),
    Case("hifigan_weight_norm_removed", lambda: HifiGan(removed=True), MEL),
    Case("speecht5_time_first", SpeechHifiGan, {"spectrogram": normal(10, 8)}),
    Case("bigvgan_antialiased_snake", BigVgan, MEL),
    Case("univnet_location_variable", UnivNet, (MEL, normal(4, 10))),
    Case("vocos_istft_center", lambda: Vocos("center"), MEL),
    Case("vocos_istft_same", lambda: Vocos("same"), MEL),
    Case("istftnet", IstftNet, MEL),
    Case("melgan_reflection", MelGan, normal(8, 12)),
    Case("multiband_melgan_pqmf", MultiBand, MEL),
    Case("nsf_hifigan_given_noise", NsfHifiGan, (MEL, uniform(10, low=0, high=60), whole(5), normal(40, 4))),
    Case("parallel_wavegan", ParallelWaveGan, (normal(1, 24), normal(8, 10))),
    Case("styletts2_adain_snake", StyleTts, (MEL, uniform(20, low=0), normal(6))),
    Case("encodec_residual_codes", Codec, whole(11, 3, 9)),
    Case("enhancer_stft_and_istft", Enhancer, normal(40)),
]
