"""Sounds as training data: files of any format, rate and length, as stretches of one length."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ganrt.errors import DataError, legible

from .pyav import pyav
from .skipped import Skipped
from .sound_arrays import npz_sounds

__all__ = ["Sounds", "open_sounds", "stretches"]

SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff", ".m4a"))
_SILENT = 1e-3  # of full scale: a stretch that is nowhere louder teaches nothing
MEMORY = 1 << 30  # bytes of 16-bit sounds, at most


class Sounds:
    """Sounds int16 [n, length], with a class each (int64 [n]) where `labels` are given.

    A batch is (sounds float32 [batch, 1, length] in [-1, 1],), or (sounds, labels int64 [batch]).
    `names`: of the classes. `facts`: where they come from. `notes`: what their user should know.
    """

    decodes = False

    def __init__(
        self,
        sounds: NDArray[np.int16],
        labels: NDArray[np.int64] | None = None,
        names: Sequence[str] = (),
        facts: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.sounds = torch.from_numpy(sounds)
        self.labels = None if labels is None else torch.from_numpy(labels)
        self.names, self.notes = tuple(names), tuple(notes)
        digest = hashlib.sha256(np.ascontiguousarray(sounds).data)
        self.facts = {**(facts or {}), "sounds": len(sounds), "sha256": digest.hexdigest()}

    def __len__(self) -> int:
        return len(self.sounds)

    def __getitem__(self, indices: list[int]) -> tuple[Tensor, ...]:
        sounds = self.sounds[indices].float().div(32768).unsqueeze(1)
        return (sounds,) if self.labels is None else (sounds, self.labels[indices])


def open_sounds(source: Path, *, length: int, sample_rate: int, labelled: bool = False) -> Sounds:
    """The sounds in a folder and those below it, mixed to one channel, at `sample_rate`, in stretches of `length`.

    A shorter sound is followed by silence; a longer one is cut into stretches one after the other, and a rest of less
    than half is left out, as is a stretch that is silent. `labelled`: those in each folder directly below `source` are
    a class, called after that folder. An .npz will do where no classes are wanted; `npz_sounds` says what is in it.
    Raises DataError, MissingExtra without PyAV.
    """
    if source.suffix == ".npz" and not labelled:
        return _from_arrays(source, length, sample_rate)
    if not source.is_dir():
        raise DataError(f"{source} {'is no folder' if source.exists() else 'does not exist'}; give a folder of sounds.")
    files = sorted(file for file in source.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        raise DataError(f"{source} holds no sounds; looked for {', '.join(sorted(SUFFIXES))}.")
    skipped, found, classes = Skipped(), [], []
    for file in files:
        if labelled and file.parent == source:
            skipped.add(file, "in no class's folder")
            continue
        try:
            parts = stretches(_decode(file, sample_rate), length)
        except DataError:
            skipped.add(file, "damaged")
            continue
        if not len(parts):
            skipped.add(file, "silent")
        found.append(parts)
        classes += [file.relative_to(source).parts[0]] * len(parts)
        if sum(map(len, found)) * length * 2 > MEMORY:
            raise DataError(
                f"{source} holds more than {MEMORY >> 30} GiB of sound, the most that is trained on at once."
            )
    if sum(map(len, found)) < 2:
        told = f"; skipped {skipped}" if skipped else ""
        raise DataError(f"{source} has too few usable sounds to learn from{told}.")
    names, labels = np.unique(classes, return_inverse=True)
    if labelled and len(names) < 2:
        raise DataError(f"All usable sounds in {source} are of the class '{legible(names[0], 60)}'.")
    return Sounds(
        np.concatenate(found),
        labels.astype(np.int64) if labelled else None,
        tuple(map(str, names)) if labelled else (),
        {"name": source.name, "sample_rate": sample_rate},
        [f"Skipped {skipped}."] if skipped else [],
    )


def _from_arrays(source: Path, length: int, sample_rate: int) -> Sounds:
    found = [stretches(sound, length) for sound in npz_sounds(source, sample_rate)]
    if sum(map(len, found)) < 2:
        raise DataError(f"{source} has too few usable sounds to learn from.")
    return Sounds(np.concatenate(found), facts={"name": source.name, "sample_rate": sample_rate})


def stretches(sound: NDArray[np.int16], length: int) -> NDArray[np.int16]:
    """int16 [samples] -> int16 [n, length], one after the other, without silent ones; n may be 0."""
    count = max(1, (len(sound) + length // 2) // length)
    padded = np.zeros((count, length), np.int16)
    padded.reshape(-1)[: len(sound)] = sound[: count * length]
    loud: NDArray[np.int16] = padded[np.abs(padded.astype(np.int32)).max(axis=1) > _SILENT * 32768]
    return loud


def _decode(file: Path, sample_rate: int) -> NDArray[np.int16]:
    """A sound file as int16 [samples], one channel. Raises DataError when it cannot be decoded."""
    av = pyav("Reading sounds")
    try:
        with av.open(str(file)) as container:
            if not container.streams.audio:
                raise DataError(f"{file} has no sound in it.")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate)
            decoded = (*container.decode(audio=0), None)  # None: what the resampler has left
            parts = [part.to_ndarray()[0] for frame in decoded for part in resampler.resample(frame)]
    except (av.FFmpegError, OSError, ValueError, EOFError) as problem:
        raise DataError(f"{file} cannot be decoded: {legible(problem)}.") from problem
    sound: NDArray[np.int16] = np.concatenate([np.zeros(0, np.int16), *parts])
    return sound
