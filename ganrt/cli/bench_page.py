"""What `ganrt bench --html` and `--profile` measure beyond the rows: where the time goes, the roofline, samples."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.acceptance import References, to_uint8
from ..bundle import Bundle
from ..errors import BackendError, FidelityError, MissingExtra
from ..generator import Generator
from ..latency.html import Exhibit
from ..latency.html.text import number
from ..latency.results import Asked, Report, in_words
from ..latency.roofline import measure_roof
from ..media.image import encode_image, grid
from ..spec import Audio, Image, Output

__all__ = ["commands", "explain", "profile_lines"]

_SECONDS = 1.0  # of profiling a row
_WIDTH = 880  # pixels of the page for a line of samples
_COMFORTABLE = 84  # pixels of a sample there
_KINDS = 4  # in a line
_MOST = 12  # samples in a line
_SHOWN = 256  # pixels; a larger picture is shown in a smaller copy


def explain(report: Report, source: str, tell: Callable[[str], None], *, roofs: bool) -> list[Exhibit]:
    """Profiles every row that was timed, into the row; with `roofs` the machine is measured at its best, too.

    Returns the same samples as each way makes them. Ctrl-C ends it, and `report.interrupted` says so.
    """
    exhibits = list[Exhibit]()
    if report.interrupted:
        return exhibits
    try:
        exhibits.extend(_profiles(report, source, tell))
        if roofs:
            kinds = sorted({"fp32", *(call.precision for row in report.rows for call in row.ran)})
            threads = sorted({call.threads for row in report.rows for call in row.ran})
            report.roofs = [measure_roof(count, kinds, tell) for count in threads]
    except KeyboardInterrupt:
        report.interrupted = True
    return exhibits


def _profiles(report: Report, source: str, tell: Callable[[str], None]) -> Iterator[Exhibit]:
    bundle = Bundle.open(source)
    yield from _references(bundle)
    for asked in dict.fromkeys(row.asked for row in report.rows if row.samples_ms):
        name = f"{asked.backend} {asked.precision}"
        tell(f"{name}: loading")
        try:
            with _load(source, asked) as generator:
                for row in report.rows:
                    if row.asked == asked and row.samples_ms:
                        tell(f"{name}: profiling batch {row.batch}")
                        row.profile = generator.profile(row.batch, seconds=_SECONDS, seed=report.settings.seed)
                yield from _samples(generator, bundle)
        except (BackendError, FidelityError) as problem:
            report.skipped[f"The inside of {name}"] = str(problem)


def profile_lines(report: Report) -> Iterator[str]:
    """The profile of each row in a line: stages, and the kinds of operations that take most."""
    for row in report.rows:
        if row.profile is None:
            continue
        stages = ", ".join(f"{stage.name} {number(stage.ms)}" for stage in row.profile.stages.stages)
        told = row.profile.operations
        kinds = told.kinds[:_KINDS] if told else []
        shares = ", ".join(f"{kind.operation} {kind.ms / told.call_ms:.0%}" for kind in kinds if told)
        yield f"batch {row.batch}, {in_words(row.ran)}: {stages} ms; {shares or row.profile.note}"


def commands(report: Report, typed: Sequence[str]) -> list[tuple[str, str]]:
    """What to type to see it again, each after a remark; `typed`: what was typed after "ganrt"."""
    return [
        ("This page", shlex.join(["ganrt", *typed])),
        ("With the same versions", shlex.join(["pip", "install", *_versions(report)])),
        (
            "Every engine of a machine against the bundle's references",
            shlex.join(["ganrt", "verify", typed[1], "--run"]),
        ),
    ]


def _versions(report: Report) -> list[str]:
    used = {"numpy"} | {call.backend.lower() for row in report.rows for call in row.ran}
    held = [one for one in report.environment.packages if one.version and one.name.split("-")[0].lower() in used]
    return [f"ganrt=={report.ganrt}", *(f"{one.name}=={one.version}" for one in held)]


def _load(source: str, asked: Asked) -> Generator:
    return Generator.load(
        source, backend=asked.backend, precision=asked.precision, form=asked.form, threads=asked.threads
    )


def _references(bundle: Bundle) -> Iterator[Exhibit]:
    references, output = References(bundle), bundle.manifest.spec.output
    if references.available:
        raw = references.raw[:_MOST]
        made = to_uint8(raw, output).astype(np.uint8) if isinstance(output, Image) else raw
        yield from _exhibits("The bundle's references", output, made)


def _samples(generator: Generator, bundle: Bundle) -> Iterator[Exhibit]:
    """The references' inputs through this generator; its first samples where the bundle has none."""
    references, spec = References(bundle), bundle.manifest.spec
    if references.available:
        made = generator.run(references.feeds(min(_MOST, references.count)))[spec.output_ports()[0].name]
    elif not spec.signals:
        made = generator.sample(_MOST)
    else:
        return
    yield from _exhibits(generator.way, spec.output, made)


def _exhibits(name: str, output: Output, made: NDArray[Any]) -> Iterator[Exhibit]:
    """Pictures in a line; of sounds the first; of anything else nothing."""
    if isinstance(output, Image):
        yield _line(name, made)
    elif isinstance(output, Audio):
        from ..media.audio import encode_audio

        with suppress(MissingExtra):
            yield Exhibit(name, "audio/wav", bytes(encode_audio(made[0], output.sample_rate, "wav")))


def _line(name: str, pictures: NDArray[Any]) -> Exhibit:
    """Pictures beside each other, as many as there is room for."""
    step = max(1, -(-max(pictures.shape[1:3]) // _SHOWN))
    pictures = pictures[:, ::step, ::step]
    scale = max(1, round(_COMFORTABLE / pictures.shape[2]))
    count = max(1, min(len(pictures), _WIDTH // (pictures.shape[2] * scale)))
    made = grid(pictures[:count], count, 1)
    return Exhibit(name, "image/png", bytes(encode_image(made, "png")), made.shape[1] * scale, scale > 1)
