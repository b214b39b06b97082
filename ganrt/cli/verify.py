"""`ganrt verify`: is this bundle whole, and does it run right here?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ..errors import GanrtError
from .options import Json, Source
from .terminal import mark, plain, print_json, rows, show, size, waiting

if TYPE_CHECKING:
    from .trial import Trial  # at run time it would bring numpy to every --help

__all__ = ["FileCheck", "Verification", "command"]


class FileCheck(msgspec.Struct, frozen=True):
    """`problem` is empty when size and digest are what the manifest says."""

    file: str
    size: int
    sha256: str
    problem: str


class Verification(msgspec.Struct, frozen=True):
    """What --json prints. `trials` is empty without --run."""

    path: str
    digest: str
    ok: bool
    files: list[FileCheck]
    trials: list[Trial]


def command(
    source: Source,
    run: Annotated[
        bool, typer.Option("--run", help="Also run every engine of this machine on the reference samples.")
    ] = False,
    json: Json = False,
) -> None:
    """Check a bundle's files and, with --run, the engines.

    Every file is held to its digest; with --run every engine of this machine to the bundle's reference samples.
    Exits with 1 when something is not as it should be.

    \b
    Examples:
      ganrt verify digits
      ganrt verify faces.ganrt --run
    """
    from ..bundle import Bundle
    from .trial import trials

    bundle = Bundle.open(source)
    files = []
    for member, entry in bundle.manifest.files.items():
        try:
            bundle.read(member)
            problem = ""
        except GanrtError as error:
            problem = str(error)
        files.append(FileCheck(member, entry.size, entry.sha256, problem))
    whole = not any(file.problem for file in files)
    if whole:
        bundle.verify()  # the graphs and the reference samples agree with the spec
    tried: list[Trial] = []
    if run and whole:
        with waiting(f"running {bundle.manifest.name}"):
            tried = trials(bundle)
    required = [trial for trial in tried if trial.required]
    ok = whole and all(trial.ok for trial in required) and (bool(required) or not run)
    if json:
        print_json(Verification(str(bundle.path), bundle.digest, ok, files, tried))
    else:
        show(rows(map(_file_row, files)))
        if tried:
            show("", rows(map(_trial_row, tried)))
        if run and not whole:
            show("", "No engine was run, because the bundle is damaged.")
        show("", f"{plain(bundle.manifest.name)}: {'all right' if ok else 'NOT all right'}")
    if not ok:
        raise typer.Exit(1)


def _file_row(file: FileCheck) -> tuple[str, ...]:
    return mark(not file.problem), file.file, size(file.size), file.problem or f"SHA-256 {file.sha256[:16]}..."


def _trial_row(trial: Trial) -> tuple[str, ...]:
    """A trial in words: the engine and its distance from the reference, or what is wrong."""
    good, figures, said = trial.ok, trial.figures, trial.reason
    if figures is not None:
        step = "" if figures.max_step is None else f", uint8 within {figures.max_step}"
        said += f": {figures.psnr_db:.1f} dB, largest difference {figures.max_error:.2g}{step}"
    elif good:
        said += "; the bundle has no reference samples to hold it to"
    elif not trial.required and trial.precision:
        good, said = None, f"not to be used: {said}"
    return mark(good), f"{trial.backend} {trial.precision}".strip(), said
