"""Pictures in time: interpolation by warps, recurrent latents, 3-D convolutions, frames folded into the batch."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from awkward_case import Case, normal, uniform
from torch import Tensor, nn

_GRIDS: dict[tuple[str, str], Tensor] = {}


def warp(frame: Tensor, flow: Tensor) -> Tensor:
    """A flow in pixels; the grid is kept in a global cache by device and size, as the frame interpolators do."""
    key = (str(flow.device), str(flow.size()))
    if key not in _GRIDS:
        horizontal = torch.linspace(-1.0, 1.0, flow.shape[3], device=flow.device).view(1, 1, 1, flow.shape[3])
        horizontal = horizontal.expand(flow.shape[0], -1, flow.shape[2], -1)
        vertical = torch.linspace(-1.0, 1.0, flow.shape[2], device=flow.device).view(1, 1, flow.shape[2], 1)
        vertical = vertical.expand(flow.shape[0], -1, -1, flow.shape[3])
        _GRIDS[key] = torch.cat([horizontal, vertical], 1)
    scaled = torch.cat(
        [flow[:, 0:1] / ((frame.shape[3] - 1.0) / 2.0), flow[:, 1:2] / ((frame.shape[2] - 1.0) / 2.0)], 1
    )
    grid = (_GRIDS[key] + scaled).permute(0, 2, 3, 1)
    return F.grid_sample(frame, grid, mode="bilinear", padding_mode="border", align_corners=True)


class Rife(nn.Module):
    """Flow refined over two scales; the time between the frames is a number a sample, spread to a map."""

    def __init__(self) -> None:
        super().__init__()
        self.scale_list = [2, 1]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, 8, 3, 2, 1), nn.PReLU(8), nn.ConvTranspose2d(8, 5, 4, 2, 1))
            for wide in (7, 18)
        )

    def forward(self, img0: Tensor, img1: Tensor, timestep: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
        if not torch.is_tensor(timestep):
            timestep = (img0[:, :1].clone() * 0 + 1) * timestep
        else:
            timestep = timestep.reshape(-1, 1, 1, 1).repeat(1, 1, img0.shape[2], img0.shape[3])
        merged, warped0, warped1 = [], img0, img1
        flow = mask = None
        for block, scale in zip(self.blocks, self.scale_list, strict=True):
            if flow is None:
                x = torch.cat((img0, img1, timestep), 1)
                x = F.interpolate(x, scale_factor=1.0 / scale, mode="bilinear", align_corners=False)
                out = F.interpolate(block(x), scale_factor=scale, mode="bilinear", align_corners=False)
                flow, mask = out[:, :4] * scale, out[:, 4:5]
            else:
                x = torch.cat((img0, img1, warped0, warped1, timestep, mask, flow), 1)
                out = block(x)
                flow, mask = flow + out[:, :4], mask + out[:, 4:5]
            warped0, warped1 = warp(img0, flow[:, :2]), warp(img1, flow[:, 2:4])
            merged.append((warped0, warped1))
        mask = torch.sigmoid(mask)
        for i, (a, b) in enumerate(merged):
            merged[i] = a * mask + b * (1 - mask)
        return merged, flow, mask


class MocoGan(nn.Module):
    """A content latent repeated, a motion latent from a GRU cell fed with given noise, frames in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRUCell(3, 4)
        self.main = nn.Sequential(
            nn.ConvTranspose2d(6 + 4, 8, 4),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 3, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z_content: Tensor, e: Tensor) -> Tensor:
        num_samples, video_len = e.shape[0], e.shape[1]
        h_t = [torch.zeros(num_samples, 4, device=e.device)]
        for frame_num in range(video_len):
            h_t.append(self.recurrent(e[:, frame_num], h_t[-1]))
        z_motion = torch.cat([h.view(-1, 1, 4) for h in h_t[1:]], dim=1).view(-1, 4)
        content = z_content.unsqueeze(1).repeat(1, video_len, 1).view(num_samples * video_len, -1)
        z = torch.cat([content, z_motion], dim=1)
        h = self.main(z.view(z.size(0), z.size(1), 1, 1))
        h = h.view(int(h.size(0) / video_len), int(video_len), 3, h.size(3), h.size(3))
        return h.permute(0, 2, 1, 3, 4)


class Vgan(nn.Module):
    """Transposed 3-D convolutions for foreground and mask, a still background repeated over time."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.ConvTranspose3d(6, 8, (2, 4, 4)), nn.BatchNorm3d(8), nn.ReLU(True))
        self.video, self.mask = nn.ConvTranspose3d(8, 3, 4, 2, 1), nn.ConvTranspose3d(8, 1, 4, 2, 1)
        self.background = nn.Sequential(nn.ConvTranspose2d(6, 8, 4), nn.ConvTranspose2d(8, 3, 4, 2, 1))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        h = self.conv(z.view(z.size(0), z.size(1), 1, 1, 1))
        mask = torch.sigmoid(self.mask(h))
        background = torch.tanh(self.background(z[:, :, None, None])).unsqueeze(2)
        video = mask * torch.tanh(self.video(h)) + (1 - mask) * background.repeat(1, 1, h.size(2) * 2, 1, 1)
        return video, mask.expand_as(video)


class Voxels(nn.Module):
    """3D-GAN and HoloGAN: voxels turned by a matrix of given angles, 3-D grid_sample, depth folded into channels."""

    def __init__(self) -> None:
        super().__init__()
        self.const = nn.Parameter(torch.randn(1, 4, 4, 4, 4))
        self.style = nn.Linear(6, 8)
        self.norm, self.conv = nn.InstanceNorm3d(4), nn.ConvTranspose3d(4, 4, 4, 2, 1)
        self.project = nn.Conv2d(4 * 8, 8, 1)

    def forward(self, z: Tensor, angles: Tensor) -> tuple[Tensor, Tensor]:
        b = z.shape[0]
        scale, shift = self.style(z).view(b, 8, 1, 1, 1).chunk(2, 1)
        x = self.norm(self.const.expand(b, -1, -1, -1, -1) + 0 * scale) * scale + shift
        x = F.interpolate(self.conv(F.leaky_relu(x, 0.2)), size=(8, 8, 8), mode="trilinear", align_corners=False)
        cos, sin, zero = angles.cos(), angles.sin(), torch.zeros_like(angles[:, 0])
        rows = [
            cos[:, 0],
            -sin[:, 0],
            zero,
            zero,
            sin[:, 0],
            cos[:, 0],
            zero,
            zero,
            zero,
            zero,
            zero + 1,
            sin[:, 1] * 0.1,
        ]
        theta = torch.stack(rows, dim=1).view(-1, 3, 4)
        grid = F.affine_grid(theta, [b, 4, 8, 8, 8], align_corners=False)
        x = F.grid_sample(x, grid, align_corners=False)
        return torch.tanh(self.project(x.flatten(1, 2))), F.avg_pool3d(x, 2)


class ConvLstm(nn.Module):
    """A convolutional LSTM in a loop over the frames, its state made by the first of them."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden_dim = 4
        self.conv, self.last = nn.Conv2d(3 + 4, 16, 3, padding=1), nn.Conv2d(4, 3, 1)

    def init_hidden(self, batch_size: int, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        height, width = image_size
        device = self.conv.weight.device
        zeros = torch.zeros(batch_size, self.hidden_dim, height, width, device=device)
        return zeros, zeros.clone()

    def forward(self, input_tensor: Tensor, hidden_state: Any = None) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        b, _, _, h, w = input_tensor.size()
        if hidden_state is not None:
            raise NotImplementedError
        state = self.init_hidden(batch_size=b, image_size=(h, w))
        outputs = []
        for t in range(input_tensor.size(1)):
            gates = self.conv(torch.cat([input_tensor[:, t, :, :, :], state[0]], dim=1))
            i, f, o, g = torch.split(gates, self.hidden_dim, dim=1)
            cell = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
            state = (torch.sigmoid(o) * torch.tanh(cell), cell)
            outputs.append(self.last(state[0]))
        return torch.stack(outputs, dim=1), [state]


class TemporalShift(nn.Module):
    """Frames in the batch [batch x time]; an eighth of the channels moved one frame each way, written into zeros."""

    def __init__(self, n_segment: int = 4) -> None:
        super().__init__()
        self.n_segment, self.conv, self.last = n_segment, nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, video: Tensor) -> Tensor:
        b, t, c, h, w = video.shape
        x = self.conv(video.view(b * t, c, h, w))
        nt, c, h, w = x.size()
        x = x.view(nt // self.n_segment, self.n_segment, c, h, w)
        fold = c // 4
        out = torch.zeros_like(x)
        out[:, :-1, :fold] = x[:, 1:, :fold]
        out[:, 1:, fold : 2 * fold] = x[:, :-1, fold : 2 * fold]
        out[:, :, 2 * fold :] = x[:, :, 2 * fold :]
        return self.last(out.view(nt, c, h, w)).view(b, t, 3, h, w)


class BasicVsr(nn.Module):
    """Recurrence both ways: features carried along the frames, warped by flow, the backward list built by insert."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = nn.Conv2d(6, 2, 3, padding=1)
        self.backward_trunk, self.forward_trunk = nn.Conv2d(7, 4, 3, padding=1), nn.Conv2d(7, 4, 3, padding=1)
        self.fusion = nn.Sequential(nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        b, n, _, h, w = x.size()
        ahead, behind = x[:, :-1].reshape(-1, 3, h, w), x[:, 1:].reshape(-1, 3, h, w)
        flows_b = self.flow(torch.cat([ahead, behind], 1)).view(b, n - 1, 2, h, w)
        flows_f = self.flow(torch.cat([behind, ahead], 1)).view(b, n - 1, 2, h, w)
        out_l: list[Tensor] = []
        feat = x.new_zeros(b, 4, h, w)
        for i in range(n - 1, -1, -1):
            if i < n - 1:
                feat = warp(feat, flows_b[:, i])
            feat = F.leaky_relu(self.backward_trunk(torch.cat([x[:, i], feat], dim=1)), 0.1)
            out_l.insert(0, feat)
        feat = torch.zeros_like(feat)
        for i in range(n):
            if i > 0:
                feat = warp(feat, flows_f[:, i - 1])
            feat = F.leaky_relu(self.forward_trunk(torch.cat([x[:, i], feat], dim=1)), 0.1)
            out = self.fusion(torch.cat([out_l[i], feat], dim=1))
            base = F.interpolate(x[:, i], scale_factor=2, mode="bilinear", align_corners=False)
            out_l[i] = out + base
        return torch.stack(out_l, dim=1)


class FirstOrderMotion(nn.Module):
    """Keypoints from heat maps, gaussians on a grid, inverse 2x2 jacobians by hand, a warped source."""

    def __init__(self, keypoints: int = 3) -> None:
        super().__init__()
        self.num_kp = keypoints
        self.kp, self.jacobian = nn.Conv2d(3, keypoints, 7, padding=3), nn.Conv2d(3, keypoints * 4, 7, padding=3)
        self.mask, self.last = nn.Conv2d(keypoints + 1, keypoints + 1, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    @staticmethod
    def grid(h: int, w: int, like: Tensor) -> Tensor:
        x, y = 2 * (torch.arange(w).type_as(like) / (w - 1)) - 1, 2 * (torch.arange(h).type_as(like) / (h - 1)) - 1
        return torch.cat([x.view(1, -1).repeat(h, 1).unsqueeze_(2), y.view(-1, 1).repeat(1, w).unsqueeze_(2)], 2)

    def detect(self, x: Tensor) -> dict[str, Tensor]:
        heat = self.kp(x)
        shape = heat.shape
        heat = F.softmax(heat.view(shape[0], shape[1], -1) / 0.1, dim=2).view(*shape)
        grid = self.grid(shape[2], shape[3], heat).unsqueeze_(0).unsqueeze_(0)
        jacobian = self.jacobian(x).reshape(shape[0], self.num_kp, 4, shape[2], shape[3])
        jacobian = (heat.unsqueeze(2) * jacobian).view(shape[0], shape[1], 4, -1).sum(dim=-1)
        return {
            "value": (heat.unsqueeze(-1) * grid).sum(dim=(2, 3)),
            "jacobian": jacobian.view(shape[0], shape[1], 2, 2) * 0.2 + torch.eye(2),
        }

    def forward(self, source: Tensor, driving: Tensor) -> dict[str, Any]:
        kp_source, kp_driving = self.detect(source), self.detect(driving)
        bs, _, h, w = source.shape
        identity = self.grid(h, w, source).view(1, 1, h, w, 2)
        a, b, c, d = kp_driving["jacobian"].flatten(2).unbind(-1)
        inverse = torch.stack([d, -b, -c, a], -1).view(bs, -1, 2, 2) / (a * d - b * c)[..., None, None]
        jacobian = torch.matmul(kp_source["jacobian"], inverse).unsqueeze(-3).unsqueeze(-3).repeat(1, 1, h, w, 1, 1)
        offset = identity - kp_driving["value"].view(bs, self.num_kp, 1, 1, 2)
        moved = torch.matmul(jacobian, offset.unsqueeze(-1)).squeeze(-1)
        moved = moved + kp_source["value"].view(bs, self.num_kp, 1, 1, 2)
        motions = torch.cat([identity.repeat(bs, 1, 1, 1, 1), moved], dim=1)
        gauss = torch.exp(-0.5 * (offset**2).sum(-1) / 0.05)
        mask = F.softmax(self.mask(torch.cat([torch.zeros(bs, 1, h, w).type_as(gauss), gauss], dim=1)), dim=1)
        deformation = (motions.permute(0, 1, 4, 2, 3) * mask.unsqueeze(2)).sum(dim=1).permute(0, 2, 3, 1)
        moved_source = F.grid_sample(source, deformation, align_corners=False)
        return {"prediction": torch.sigmoid(self.last(moved_source)), "mask": mask, "kp": kp_driving}


class Splat(nn.Module):
    """Forward warping: each pixel added where its flow takes it, by index_add on a flattened batch, weights divided."""

    def forward(self, frame: Tensor, flow: Tensor) -> Tensor:
        b, c, h, w = frame.shape
        ys, xs = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        x = torch.round(xs + flow[:, 0]).clamp(0, w - 1).long()
        y = torch.round(ys + flow[:, 1]).clamp(0, h - 1).long()
        index = (y * w + x).view(b, 1, -1)
        total = torch.zeros(b, c, h * w).scatter_add_(2, index.expand(-1, c, -1), frame.view(b, c, -1))
        weight = torch.zeros(b * h * w)
        offsets = torch.arange(b).view(b, 1, 1) * (h * w)
        weight.index_add_(0, (index + offsets).view(-1), torch.ones(b * h * w))
        return (total / (weight.view(b, 1, -1) + 1e-6)).view(b, c, h, w)


class TemporalAttention(nn.Module):
    """DVD-GAN and video transformers: attention over time for each pixel and over pixels for each frame, both SDPA."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv3d(3, 8, (1, 2, 2), stride=(1, 2, 2))
        self.norm = nn.LayerNorm(8)
        self.time, self.space = nn.Linear(8, 24), nn.Linear(8, 24)
        self.head = nn.ConvTranspose3d(8, 3, (1, 2, 2), stride=(1, 2, 2))

    @staticmethod
    def attend(x: Tensor, qkv: nn.Module, causal: bool) -> Tensor:
        q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in qkv(x).chunk(3, -1))
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal).transpose(1, 2).flatten(2)

    def forward(self, video: Tensor) -> Tensor:
        x = self.embed(video)
        b, c, t, h, w = x.shape
        tokens = x.permute(0, 3, 4, 2, 1).reshape(b * h * w, t, c)
        tokens = tokens + self.attend(self.norm(tokens), self.time, True)
        tokens = tokens.view(b, h * w, t, c).transpose(1, 2).reshape(b * t, h * w, c)
        tokens = tokens + self.attend(self.norm(tokens), self.space, False)
        x = tokens.view(b, t, h, w, c).permute(0, 4, 1, 2, 3)
        return self.head(x)


FRAME = uniform(3, 8, 8, low=0.0)

CASES = [
    Case("rife_timestep_map", Rife, (FRAME, FRAME, uniform(1, low=0.2, high=0.8))),
    Case("rife_timestep_a_number", Rife, (FRAME, FRAME, 0.5)),
    Case("mocogan_recurrent_latents", MocoGan, (normal(6), normal(4, 3))),
    Case("vgan_transposed_3d", Vgan, normal(6)),
    Case("hologan_voxels_turned", Voxels, (normal(6), uniform(2))),
    Case("conv_lstm", ConvLstm, normal(3, 3, 6, 6)),
    Case("temporal_shift", TemporalShift, normal(4, 3, 6, 6)),
    Case("basicvsr_both_ways", BasicVsr, uniform(3, 3, 6, 8, low=0.0)),
    Case("first_order_motion_dicts", FirstOrderMotion, {"source": FRAME, "driving": FRAME}),
    Case("forward_splat", Splat, (FRAME, normal(2, 8, 8))),
    Case("temporal_attention_sdpa", TemporalAttention, normal(3, 3, 6, 4)),
]
