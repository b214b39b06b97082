"""`ganrt doctor`: what this machine can run, what is missing, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer

from .. import __version__
from ..environment import Environment, describe
from .options import Json
from .terminal import mark, print_json, rows, show, size, waiting

__all__ = ["Builder", "Diagnosis", "Engine", "Problem", "command"]


# name -> extra, what it builds, what running that takes
_BUILDERS = {
    "tensorrt-rtx": ("rtx", "builds engines here (ganrt build)", "running them needs a GPU"),
    "tensorrt": (
        "tensorrt",
        "builds engines on the GPU that runs them (ganrt build --engine tensorrt)",
        "it needs a GPU",
    ),
}


class Engine(msgspec.Struct, frozen=True):
    """`ok`: it drew the reference samples here. `note`: how, or why not. `install`: the command that brings it."""

    name: str
    ok: bool
    version: str | None
    note: str
    install: str


class Builder(msgspec.Struct, frozen=True):
    """A library that builds engines into bundles, `version` None where it is not installed."""

    name: str
    version: str | None
    note: str


class Problem(msgspec.Struct, frozen=True):
    """Something to mend, and the command that does."""

    problem: str
    command: str


class Diagnosis(msgspec.Struct, frozen=True):
    """What --json prints. `formats`: kind of file -> can be written here."""

    ganrt: str
    environment: Environment
    engines: list[Engine]
    builders: list[Builder]
    formats: dict[str, bool]
    cache_folder: str
    cache_bytes: int
    problems: list[Problem]


def command(json: Json = False) -> None:
    """Show what this machine can run, and what is missing.

    Missing parts come with the command that installs them. Each engine that is installed draws the reference samples
    of a bundled generator. Exits with 1 when none can.
    """
    with waiting("trying the engines"):
        found = diagnose()
    if json:
        print_json(found)
    else:
        _print(found)
    if not any(engine.ok for engine in found.engines):
        raise typer.Exit(1)


def diagnose() -> Diagnosis:
    """Everything that doctor tells."""
    from .. import cache

    environment = describe()
    versions = {package.name: package.version for package in environment.packages}
    engines = _engines()
    formats = {
        "png, jpg, webp, gif": versions["pillow"] is not None,
        "mp4": versions["av"] is not None,
        "wav, flac": versions["soundfile"] is not None,
        "npy, npz, csv": True,
    }
    return Diagnosis(
        __version__,
        environment,
        engines,
        [_builder(name, versions[name]) for name in _BUILDERS],
        formats,
        str(cache.folder()),
        cache.size(),
        list(_problems(versions, engines, formats)),
    )


def _builder(name: str, version: str | None) -> Builder:
    extra, built, runs = _BUILDERS[name]
    if version is None:
        return Builder(name, None, f"not installed; it {built}. Install it: pip install 'ganrt[{extra}]'")
    return Builder(name, version, f"{built}; {runs}")


def _engines() -> list[Engine]:
    from ..backends import NAMES, available
    from ..bundle import Bundle
    from .trial import trials

    tried = {trial.backend: trial for trial in trials(Bundle.open("digits")) if trial.precision == "fp32"}
    found = []
    for name in NAMES:
        here, trial = available(name), tried.get(name)
        if trial is None or trial.ok is None:
            found.append(Engine(name, False, None, here.reason, here.install))
        else:
            note = f"draws as it should, {trial.figures.psnr_db:.0f} dB" if trial.figures else trial.reason
            found.append(Engine(name, bool(trial.ok), here.version, note, here.install))
    return found


def _problems(versions: dict[str, str | None], engines: list[Engine], formats: dict[str, bool]) -> Iterator[Problem]:
    both = [name for name in ("onnxruntime", "onnxruntime-gpu") if versions[name] is not None]
    if len(both) == 2:
        keep = "ganrt[gpu]" if Path("/dev/nvidia0").exists() else "ganrt[cpu]"
        yield Problem(
            "onnxruntime and onnxruntime-gpu are both installed, and overwrite each other's files.",
            f"pip uninstall -y onnxruntime onnxruntime-gpu && pip install '{keep}'",
        )
    for engine in engines:
        if engine.version is None:
            yield Problem(f"{engine.note}.", engine.install)
        elif not engine.ok:
            yield Problem(f"{engine.name} {engine.version} does not work: {engine.note}", engine.install)
    missing = [kind for kind, possible in formats.items() if not possible]
    if missing:
        yield Problem(f"These files cannot be written: {', '.join(missing)}.", "pip install 'ganrt[media]'")


def _print(found: Diagnosis) -> None:
    machine = found.environment
    processor = machine.processor
    show(
        rows(
            [
                ("ganrt", found.ganrt),
                ("Python", machine.python),
                ("system", f"{machine.system}, {processor.architecture}"),
                ("processor", processor.name),
                ("features", ", ".join(processor.features) or "none that engines ask for"),
                ("cores", f"{processor.cores} usable"),
                ("memory", f"{machine.memory_gib:g} GiB" if machine.memory_gib else "unknown"),
                ("cache", f"{found.cache_folder} ({size(found.cache_bytes)})"),
            ]
        )
    )
    show("", "Engines", rows((mark(one.ok), one.name, one.version or "-", one.note) for one in found.engines))
    show(
        "",
        "Builders",
        rows((mark(one.version is not None), one.name, one.version or "-", one.note) for one in found.builders),
    )
    show("", "Files", rows((mark(possible), kind) for kind, possible in found.formats.items()))
    for number, one in enumerate(found.problems):
        show(*([""] if number else ["", "To mend"]), f"  {one.problem}", f"    {one.command}")
    if not found.problems:
        show("", "Nothing is missing.")
