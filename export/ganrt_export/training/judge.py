"""The judge of digit generators: a classifier that learnt from real digits only, kept in a file.

Its answers tell whether a sample is the digit that was asked for; its penultimate features are the space in which
ganrt measures precision, recall and the Frechet distance. A network of strided 3 x 3 convolutions in the manner of
Springenberg et al. 2014 (arXiv:1412.6806), trained on shifted, turned and scaled digits; its weights are averaged.
The same network, for pictures of other sizes and in colour, judges other data by their own classes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ganrt.errors import CheckpointError, TrainingError

from .datasets import LabelledImages

__all__ = ["Classifier", "JudgeSettings", "features", "judge", "load", "recognised", "train_classifier"]

_FILE = "judge.safetensors"
_LARGEST = 8  # side of the last feature maps, at most
_WIDTH = 24  # of the first ones; doubled with each halving of the side


@dataclass(frozen=True)
class JudgeSettings:
    """How the judge is trained; written beside its weights, and other settings train it anew."""

    epochs: int = 12
    batch: int = 128  # images a step
    learning_rate: float = 4e-3  # the top of one cycle
    weight_decay: float = 1e-2
    ema_decay: float = 0.998  # of the weights, a step
    shift_pixels: float = 2.0
    turn_degrees: float = 12.0
    scale: float = 0.1  # up to this much larger or smaller
    seed: int = 0


class Classifier(nn.Module):
    """Images to scores: `forward(images)` float32 [batch, channels, size, size] in [0, 1] -> float32 [batch, classes].

    `embed(images)` gives the penultimate features, float32 [batch, 128], not negative.
    """

    def __init__(self, classes: int = 10, channels: int = 1, size: int = 28) -> None:
        super().__init__()
        self.channels, self.size = channels, size
        width, side = _WIDTH, size
        blocks = _block(channels, width, stride=1)
        while side > _LARGEST:
            blocks += _block(width, width, stride=1) if side < size else []
            blocks += _block(width, 2 * width, stride=2)
            width, side = 2 * width, -(-side // 2)
        self.trunk = nn.Sequential(
            *blocks,
            nn.Flatten(),
            nn.Linear(width * side**2, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.ReLU(),
        )
        self.dropout = nn.Dropout(0.3)
        self.score = nn.Linear(128, classes)

    def embed(self, images: Tensor) -> Tensor:
        embedded: Tensor = self.trunk(images)
        return embedded

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.score(self.dropout(self.embed(images)))
        return scores


def _block(channels_in: int, channels_out: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def judge(
    folder: Path,
    data: LabelledImages,
    settings: JudgeSettings | None = None,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
    classes: int = 10,
) -> Classifier:
    """The classifier kept in `folder`, or a new one trained on `data` with `settings` and kept there.

    One that was trained on other data or with other settings is replaced. Raises as `train_classifier` does.
    """
    settings = settings or JudgeSettings()
    path = folder / _FILE
    facts = {"settings": asdict(settings), "data": _digest(data), "format": 1}
    if _metadata(path, "judge") == facts:
        return load(path)
    classifier = train_classifier(data, settings, on_step, classes)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    network = {"classes": classes, "channels": classifier.channels, "size": classifier.size}
    metadata = {"judge": json.dumps(facts), "network": json.dumps(network)}
    save_file(classifier.state_dict(), temporary, metadata=metadata)
    os.replace(temporary, path)
    return classifier


def load(path: Path) -> Classifier:
    """The classifier in a file that `judge` kept, in eval mode. Raises CheckpointError when it holds none."""
    try:
        classifier = Classifier(**(_metadata(path, "network") or {}))
        classifier.load_state_dict(load_file(path))
    except (SafetensorError, OSError, TypeError, RuntimeError) as problem:
        raise CheckpointError(f"{path} holds no classifier that ganrt has trained, or is damaged.") from problem
    return classifier.eval()


def train_classifier(
    data: LabelledImages,
    settings: JudgeSettings,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
    classes: int = 10,
) -> Classifier:
    """The averaged classifier after `settings.epochs` passes over `data`, in eval mode.

    The images of `data` are squares, uint8 [n, size, size] or [n, channels, size, size]. `on_step` hears the steps done
    and the steps in all. Raises TrainingError when the loss stops being a number.
    """
    torch.manual_seed(settings.seed)  # initial weights and dropout
    draws = torch.Generator().manual_seed(settings.seed)
    images, labels = torch.tensor(data.images), torch.from_numpy(data.labels)
    images = images if images.ndim == 4 else images.unsqueeze(1)
    network = Classifier(classes, *images.shape[1:3]).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay), use_buffers=True)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=settings.weight_decay)
    an_epoch = max(1, math.ceil((len(images) - 1) / settings.batch))  # batch norm refuses a last batch of one
    steps = settings.epochs * an_epoch
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=steps)
    for step in range(steps):
        if step % an_epoch == 0:
            order = torch.randperm(len(images), generator=draws)
        chosen = order[step % an_epoch * settings.batch :][: settings.batch]
        loss = F.cross_entropy(network(_augment(images[chosen].float().div(255), settings, draws)), labels[chosen])
        if not math.isfinite(loss.item()):
            raise TrainingError(f"The judge diverged at step {step}; try a lower learning rate.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        cycle.step()
        averaged.update_parameters(network)
        on_step(step + 1, steps)
    classifier: Classifier = averaged.module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return classifier.eval()


def features(classifier: Classifier, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Penultimate features float32 [n, 128] of `images` uint8 [n, size, size] or [n, channels, size, size]."""
    with torch.inference_mode():
        return np.concatenate(
            [classifier.embed(_tensor(part)).numpy() for part in np.split(images, range(500, len(images), 500))]
        )


def recognised(classifier: Classifier, embedded: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row of features is taken for its label, bool [n]."""
    with torch.inference_mode():
        answers = classifier.score(torch.from_numpy(embedded)).argmax(dim=1).numpy()
    right: NDArray[np.bool_] = answers == labels
    return right


def _tensor(images: NDArray[np.uint8]) -> Tensor:
    tensor = torch.tensor(images)
    return (tensor if tensor.ndim == 4 else tensor.unsqueeze(1)).float().div(255)


def _augment(images: Tensor, settings: JudgeSettings, draws: torch.Generator) -> Tensor:
    """Each image shifted, turned and scaled at random; what comes in from outside is black."""
    count, size = len(images), images.shape[-1]
    uniform = torch.rand(4, count, generator=draws) * 2 - 1
    angle = uniform[0] * math.radians(settings.turn_degrees)
    factor = 1 + uniform[1] * settings.scale
    shift = uniform[2:].T * (2 * settings.shift_pixels / size)
    cosine, sine = torch.cos(angle) * factor, torch.sin(angle) * factor
    turn = torch.stack([cosine, -sine, sine, cosine], dim=1).view(count, 2, 2)
    grid = F.affine_grid(torch.cat([turn, shift.unsqueeze(2)], dim=2), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _digest(data: LabelledImages) -> str:
    return hashlib.sha256(data.images.tobytes() + data.labels.tobytes()).hexdigest()


def _metadata(path: Path, key: str) -> dict[str, Any] | None:
    """What is written beside kept weights: how they came about ("judge"), of what sizes they are ("network").

    None where nothing can be read.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            read: dict[str, Any] | None = json.loads((file.metadata() or {}).get(key, "null"))
            return read
    except (SafetensorError, json.JSONDecodeError):
        return None
