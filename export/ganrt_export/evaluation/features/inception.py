"""The features of FID: Inception-V3 in the weights of 2015-12-05, through torch-fidelity, whose scores are bit-exact.

The weights are 91 MiB and are never fetched from here. They are read by the one loader that runs nothing of a file, and
handed to torch-fidelity, which would unpickle them, as a file that was written by us.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ganrt.errors import ArgumentError, CheckpointError, MissingExtra, legible

from ...checkpoints import read_checkpoint

__all__ = ["InceptionFeatures", "find_weights"]

_NAMES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")
_URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{_NAMES[0]}"
_PUBLISHED = "6726825d"  # the first digits of the SHA-256 of the published weights
_AT_ONCE = 32  # pictures, which it enlarges to 299 x 299


class InceptionFeatures:
    """2,048 features of Inception-V3 with the weights in a file.

    Raises MissingExtra without torch-fidelity, CheckpointError when the file is not of that network.
    """

    name = "inception"
    dimensions = 2_048

    def __init__(self, weights: Path) -> None:
        state = read_checkpoint(weights)
        make = _extractor()
        written = io.BytesIO()
        torch.save(state, written)
        written.seek(0)
        try:
            self._network: Any = make("inception-v3-compat", ["2048"], feature_extractor_weights_path=written)
        except (RuntimeError, TypeError, AttributeError) as problem:
            raise CheckpointError(f"{weights} does not hold the weights of FID's Inception-V3.") from problem
        self.digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        published = self.digest.startswith(_PUBLISHED)
        self.says = "Inception-V3 of FID, by torch-fidelity" + (
            "" if published else ", in weights other than published"
        )

    def embed(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        planes = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
        planes = planes.expand(-1, 3, -1, -1) if planes.shape[1] == 1 else planes
        with torch.inference_mode():
            made = [self._network(part)[0].float().numpy() for part in torch.split(planes, _AT_ONCE)]
        return np.concatenate(made)


def find_weights() -> Path:
    """The published weights in torch's hub cache. Raises ArgumentError, with what to do, when they are not there."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    found = next((folder / name for name in _NAMES if (folder / name).is_file()), None)
    if found is None:
        raise ArgumentError(
            f"--features inception needs the weights of Inception-V3 (91 MiB), which are not in {folder}; fetch {_URL} "
            "there, or name the file: --features FILE.pth."
        )
    return found


def _extractor() -> Any:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as problem:
        raise MissingExtra(
            f"--features inception needs torch-fidelity ({legible(problem, 80)}): pip install 'ganrt[inception]'"
        ) from problem
    except RuntimeError as problem:  # torchvision built for another PyTorch
        raise MissingExtra(
            f"torch-fidelity cannot be loaded ({legible(problem, 80)}): install the torchvision that goes with torch "
            f"{torch.__version__}."
        ) from problem
    return FeatureExtractorInceptionV3
