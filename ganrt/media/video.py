"""Films: uint8 [frames, height, width, channels] to GIF (Pillow) or MP4 (PyAV, ganrt[media])."""

from __future__ import annotations

import io
import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, MissingExtra
from .atomic import write_bytes
from .image import check_pictures, enlarge, factor_for

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["FORMATS", "check_film", "encode_video", "write_video"]

FORMATS = ("gif", "mp4")
_FASTEST_GIF = 50  # browsers slow a frame of less than 20 ms down to 100 ms
_LONGEST_SIDE = {"gif": 65_535, "mp4": 8_192}


def write_video(path: str | Path, frames: NDArray[np.uint8], fps: float = 30, scale: int | None = None) -> None:
    """Writes a film as .gif, which repeats for ever, or .mp4 (H.264, yuv420p: every player takes it).

    `frames`: uint8 [frames, height, width, channels], 1 to 4 channels; transparency goes onto white. `fps`: frames a
    second, at most 50 in a .gif. `scale`: each pixel becomes scale x scale of them; by default 1, or what brings a
    small film to 300 pixels. Raises ArgumentError, MissingExtra without PyAV, OutputError when it cannot be written.
    """
    path = Path(path)
    write_bytes(path, encode_video(frames, path.suffix.lower().removeprefix("."), fps, scale))


def encode_video(frames: NDArray[np.uint8], format: str, fps: float, scale: int | None) -> memoryview:
    """The bytes of a film; `format` is one of FORMATS. Raises ArgumentError, MissingExtra."""
    check_pictures(frames)
    scale = check_film(format, frames.shape[1], frames.shape[2], fps, scale)
    frames = enlarge(_on_white(frames), scale)
    return _gif(frames, fps) if format == "gif" else _mp4(frames, fps)


def check_film(format: str, height: int, width: int, fps: float, scale: int | None) -> int:
    """How many times to enlarge. Raises ArgumentError when there can be no such film, MissingExtra without PyAV."""
    if format not in FORMATS:
        raise ArgumentError(f"There is no film format '{format}'; choose one of {', '.join(FORMATS)}.")
    if not (math.isfinite(fps) and 0 < fps <= 240):
        raise ArgumentError(f"fps is {fps:g}; it must be above 0 and at most 240.")
    if format == "gif" and fps > _FASTEST_GIF:
        raise ArgumentError(f"fps is {fps:g}; a .gif shows at most {_FASTEST_GIF}, so lower it or write an .mp4.")
    if scale is not None and scale < 1:
        raise ArgumentError(f"scale is {scale}; it must be at least 1.")
    scale = scale or factor_for(height, width)
    if max(height, width) * scale > _LONGEST_SIDE[format]:
        raise ArgumentError(
            f"A .{format} of {width * scale} x {height * scale} pixels is too large; "
            f"at most {_LONGEST_SIDE[format]} a side. Use a smaller scale."
        )
    if format == "mp4":
        _av()
    return scale


def _on_white(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames of 1 or 3 channels, what shows when they lie on white paper."""
    if frames.shape[-1] in (1, 3):
        return frames
    colour, alpha = frames[..., :-1].astype(np.uint32), frames[..., -1:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _gif(frames: NDArray[np.uint8], fps: float) -> memoryview:
    """Grey frames exactly as they are; coloured ones in 256 colours common to all, so that nothing flickers."""
    pictures = _grey(frames) if frames.shape[-1] == 1 else _paletted(frames)
    ends = np.rint(np.arange(1, len(frames) + 1) * (100 / fps)).astype(int)  # GIF counts in 10 ms; the sum stays right
    durations = [int(step) * 10 for step in np.diff(ends, prepend=0)]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=durations, loop=0, optimize=False
    )
    return buffer.getbuffer()


def _grey(frames: NDArray[np.uint8]) -> list[Picture]:
    from PIL import Image

    return [Image.fromarray(frame[..., 0]) for frame in frames]


def _paletted(frames: NDArray[np.uint8]) -> list[Picture]:
    from PIL import Image

    shown = frames[np.linspace(0, len(frames) - 1, min(len(frames), 16)).astype(int)]
    step = max(1, max(shown.shape[1:3]) // 128)  # colours need no more pixels than that
    sample = shown[:, ::step, ::step]
    palette = Image.fromarray(sample.reshape(-1, sample.shape[2], 3)).quantize(256, Image.Quantize.MEDIANCUT)
    return [Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]


def _mp4(frames: NDArray[np.uint8], fps: float) -> memoryview:
    av = _av()
    odd = [(0, 0), (0, frames.shape[1] % 2), (0, frames.shape[2] % 2), (0, 0)]
    frames = np.pad(frames, odd, mode="edge") if frames.shape[1] % 2 or frames.shape[2] % 2 else frames
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
        stream.options = {"crf": "16", "preset": "medium"} if codec == "libx264" else {"qscale": "2"}
        for frame in frames:  # three channels always: the encoder's own grey would keep the full range and look pale
            picture = av.VideoFrame.from_ndarray(
                np.repeat(frame, 3, axis=-1) if frame.shape[-1] == 1 else frame, "rgb24"
            )
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return buffer.getbuffer()


def _av() -> Any:
    try:
        import av
    except (ImportError, OSError) as problem:
        raise MissingExtra(
            "Writing an .mp4 needs PyAV; install it with: pip install 'ganrt[media]', or write a .gif."
        ) from problem
    return av
