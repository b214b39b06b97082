"""Noise -> sound or a sequence, without a mel: WaveGAN, recurrent decoders, differentiable synthesis."""

from __future__ import annotations

import math
import random
from typing import Any

import torch
import torch.nn.functional as F
from awkward_case import Case, lengths, normal, uniform, whole
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class PhaseShuffle(nn.Module):
    """A random roll with reflection in training, nothing in eval."""

    def __init__(self, shift: int = 2) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        k = random.randint(-self.shift, self.shift)
        return F.pad(x, (max(k, 0), max(-k, 0)), mode="reflect")[..., max(-k, 0) : x.shape[-1] + max(-k, 0)]


class WaveGan(nn.Module):
    """Kernel 25, stride 4, by output padding or by upsampling and a padded convolution; a long filter after it."""

    def __init__(self, upsample: int | None = None, post_filter: bool = False) -> None:
        super().__init__()
        self.upsample = upsample
        self.fc1 = nn.Linear(10, 16 * 8)
        if upsample:
            self.layers = nn.ModuleList(nn.Conv1d(wide, out, 25) for wide, out in ((8, 4), (4, 1)))
            self.pad = nn.ConstantPad1d(25 // 2, value=0)
        else:
            self.layers = nn.ModuleList(
                nn.ConvTranspose1d(wide, out, 25, 4, padding=11, output_padding=1) for wide, out in ((8, 4), (4, 1))
            )
        self.shuffle = PhaseShuffle()
        self.post = nn.Conv1d(1, 1, 65) if post_filter else None

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x).view(-1, 8, 16))
        for index, layer in enumerate(self.layers):
            if self.upsample:
                x = self.pad(F.interpolate(x, scale_factor=self.upsample, mode="nearest"))
            x = layer(x)
            x = torch.tanh(x) if index == len(self.layers) - 1 else self.shuffle(F.relu(x))
        if self.post is not None:
            x = self.post(F.pad(x, (32, 32)))
        return x


class LstmDecoder(nn.Module):
    """The latent repeated over time, or as the first hidden state [layers, batch, hidden] by a reshape."""

    def __init__(self, kind: str, first_hidden: bool, batch_first: bool, bidirectional: bool = False) -> None:
        super().__init__()
        self.first_hidden, self.batch_first, self.steps = first_hidden, batch_first, 7
        ways = 2 if bidirectional else 1
        self.rnn = getattr(nn, kind)(6, 5, 2, batch_first=batch_first, bidirectional=bidirectional)
        self.to_hidden = nn.Linear(6, 2 * ways * 5)
        self.head = nn.Linear(5 * ways, 3)
        self.ways = ways

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        x = z.unsqueeze(1).repeat(1, self.steps, 1)
        if not self.batch_first:
            x = x.transpose(0, 1)
        state: Any = None
        if self.first_hidden:
            hidden = self.to_hidden(z).view(z.size(0), 2 * self.ways, 5).permute(1, 0, 2).contiguous()
            state = (hidden, torch.zeros_like(hidden)) if isinstance(self.rnn, nn.LSTM) else hidden
        out, last = self.rnn(x, state)
        out = torch.tanh(self.head(out))
        hidden = last[0] if isinstance(last, tuple) else last
        return (out if self.batch_first else out.transpose(0, 1)), hidden.transpose(0, 1)


class HiddenByBatch(nn.Module):
    """The first state is made in forward from the batch as a Python number."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden_dim = 5
        self.lstm, self.linear = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        batch_size, seq_len = int(x.size(0)), x.size(1)
        h_0 = torch.zeros(1, batch_size, self.hidden_dim).to(x.device)
        c_0 = x.new_zeros((1, batch_size, self.hidden_dim))
        features, _ = self.lstm(x, (h_0, c_0))
        out = self.linear(features.contiguous().view(batch_size * seq_len, self.hidden_dim))
        return torch.sigmoid(out).view(batch_size, seq_len, 2)


class Autoregressive(nn.Module):
    """C-RNN-GAN: LSTM cells in a Python loop, each step fed with the last one's result."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.cell1, self.cell2 = nn.Linear(4 + 3, 5), nn.LSTMCell(5, 5), nn.GRUCell(5, 5)
        self.fc2, self.dropout = nn.Linear(5, 3), nn.Dropout(0.4)

    def forward(self, z: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        batch_size, steps, _ = z.shape
        previous = torch.zeros([batch_size, 3], device=z.device)
        h1 = c1 = h2 = torch.zeros(batch_size, 5)
        generated = []
        for step in z.split(1, dim=1):
            joined = torch.cat((step.squeeze(dim=1), previous), dim=-1)
            h1, c1 = self.cell1(F.relu(self.fc1(joined)), (h1, c1))
            h2 = self.cell2(self.dropout(h1), h2)
            previous = self.fc2(h2)
            generated.append(previous)
        assert len(generated) == steps
        return torch.stack(generated, dim=1), (h1, c1)


class Packed(nn.Module):
    """TimeGAN: sequences packed by their lengths, and padded again."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.linear = nn.GRU(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        packed = pack_padded_sequence(z, t.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = self.rnn(packed)
        padded, _ = pad_packed_sequence(out, batch_first=True, padding_value=-1.0, total_length=z.size(1))
        return torch.sigmoid(self.linear(padded))


class Tcn(nn.Module):
    """QuantGAN: causal convolutions by padding and chomping, old weight norm, skips summed over a list."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.utils.weight_norm(nn.Conv1d(3 if i == 0 else 4, 4, 2, padding=2**i, dilation=2**i)) for i in range(3)
        )
        self.chomps, self.last = [1, 2, 4], nn.Conv1d(4, 1, 1)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for conv, chomp in zip(self.convs, self.chomps, strict=True):
            x = self.prelu(conv(x)[:, :, :-chomp].contiguous())
            skips.append(x)
        return self.last(x + sum(skips))


class Segan(nn.Module):
    """A wave in, a bottleneck joined with noise, skips from the encoder popped off a list."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = nn.ModuleList(nn.Conv1d(wide, out, 31, 2, 15) for wide, out in ((1, 4), (4, 8)))
        self.act = nn.ModuleList(nn.PReLU() for _ in range(3))
        self.dec = nn.ModuleList(nn.ConvTranspose1d(wide, out, 32, 2, 15) for wide, out in ((16, 4), (8, 1)))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        skips = []
        for index, layer in enumerate(self.enc):
            x = self.act[index](layer(x))
            skips.append(x)
        skips.pop()
        x = torch.cat((x, z), dim=1)
        x = self.act[2](self.dec[0](x))
        return torch.tanh(self.dec[1](torch.cat((x, skips.pop()), dim=1)))


class GanSynth(nn.Module):
    """Log magnitude and instantaneous frequency pictures -> unwrapped phase by cumsum -> istft."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 2 * 9 * 6)
        self.register_buffer("window", torch.hann_window(16))

    def forward(self, z: Tensor) -> Tensor:
        mag, frequency = torch.tanh(self.fc(z)).view(-1, 2, 9, 6).unbind(1)
        phase = torch.cumsum(frequency * math.pi, dim=-1)
        phase = (phase + math.pi) % (2 * math.pi) - math.pi
        return torch.istft(torch.polar(torch.exp(mag), phase), n_fft=16, hop_length=4, window=self.window)


class Ddsp(nn.Module):
    """Harmonics by a cumulative phase in float64, and a noise filtered with a predicted response, by FFT."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.amplitudes, self.filter = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 5), nn.Linear(6, 9)

    @staticmethod
    def scale(x: Tensor) -> Tensor:
        return 2 * torch.sigmoid(x) ** math.log(10) + 1e-7

    def forward(self, pitch: Tensor, features: Tensor, noise: Tensor) -> Tensor:
        hidden, _ = self.gru(torch.cat([features, torch.log2(pitch)], -1))
        amplitudes = self.scale(self.amplitudes(hidden))
        harmonics = pitch * torch.arange(1, 6, device=pitch.device)
        amplitudes = amplitudes * (harmonics < 50).float() + 1e-4
        amplitudes = amplitudes / amplitudes.sum(-1, keepdim=True)
        pitch, amplitudes = (
            F.interpolate(t.permute(0, 2, 1), scale_factor=16).permute(0, 2, 1) for t in (pitch, amplitudes)
        )
        omega = torch.cumsum(2 * math.pi * pitch.double() / 400, 1).float()
        harmonic = (torch.sin(omega * torch.arange(1, 6)) * amplitudes).sum(-1)
        response = self.scale(self.filter(hidden))
        impulse = torch.fft.irfft(torch.complex(response, torch.zeros_like(response)))
        impulse = torch.roll(impulse, 8, -1) * torch.hann_window(16)
        impulse = torch.roll(impulse, -8, -1)
        frames = F.pad(noise.view(noise.shape[0], -1, 16), (0, 16))
        kernel = F.pad(impulse, (16, 0))
        filtered = torch.fft.irfft(torch.fft.rfft(frames) * torch.fft.rfft(kernel))[..., 16:]
        return (harmonic + filtered.reshape(noise.shape[0], -1)).unsqueeze(1)


class MuLaw(nn.Module):
    """A wave as classes: argmax of logits, the mu law undone, and the piano roll of MuseGAN as bools."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.roll = nn.Linear(6, 12 * 16), nn.Linear(6, 3 * 8)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        codes = self.fc(z).view(-1, 16, 12).argmax(1)
        x = 2 * (codes.float() / 15) - 1
        wave = torch.sign(x) * (torch.exp(torch.abs(x) * math.log1p(15)) - 1) / 15
        return wave.unsqueeze(1), codes, self.roll(z).view(-1, 3, 8) > 0.5


class Summed(nn.Module):
    """An inverse of a rank: noise sorted along time, a rolling mean by cumsum, differences, an exponential walk."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 12)

    def forward(self, z: Tensor) -> Tensor:
        steps = 0.1 * self.fc(z)
        walk = torch.exp(torch.cumsum(steps, dim=1))
        padded = F.pad(torch.cumsum(walk, dim=1), (1, 0))
        mean = (padded[:, 3:] - padded[:, :-3]) / 3
        rising, _ = torch.sort(mean, dim=1)
        return torch.cat([mean, torch.diff(rising, dim=1)], dim=1)


class TokenBag(nn.Module):
    """EmbeddingBag over the tokens of a row."""

    def __init__(self) -> None:
        super().__init__()
        self.bag, self.fc = nn.EmbeddingBag(20, 6, mode="mean"), nn.Linear(6, 16)

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.tanh(self.fc(self.bag(tokens))).unsqueeze(1)


CASES = [
    Case("wavegan_k25_s4", WaveGan, uniform(10)),
    Case("wavegan_upsampled_post_filter", lambda: WaveGan(4, True), uniform(10)),
    Case("lstm_latent_repeated", lambda: LstmDecoder("LSTM", False, True), normal(6)),
    Case("lstm_latent_as_state_time_first", lambda: LstmDecoder("LSTM", True, False, True), normal(6)),
    Case("gru_latent_as_state", lambda: LstmDecoder("GRU", True, True), normal(6)),
    Case("plain_rnn_bidirectional", lambda: LstmDecoder("RNN", False, False, True), normal(6)),
    Case("lstm_state_from_python_batch", HiddenByBatch, normal(7, 4)),
    Case("crnn_gan_cells_in_a_loop", Autoregressive, normal(5, 4)),
    Case("timegan_packed_by_length", Packed, (normal(6, 4), lengths(6))),
    Case("quantgan_causal_chomp", Tcn, normal(3, 16)),
    Case("segan_wave_and_noise", Segan, (uniform(1, 32), normal(8, 8))),
    Case("gansynth_phase_cumsum_istft", GanSynth, normal(6)),
    Case("ddsp_harmonics_and_filtered_noise", Ddsp, (uniform(4, 1, low=5, high=20), normal(4, 2), uniform(64))),
    Case("mu_law_classes_and_piano_roll", MuLaw, normal(6)),
    Case("walk_sorted_and_differenced", Summed, normal(5)),
    Case("tokens_in_an_embedding_bag", TokenBag, whole(20, 4)),
]
