"""A labelled folder of pictures, filled up with samples of a class-conditional generator.

Real pictures are counted in each class; what a class lacks is drawn, class by class, from one seed: sample `index` of
`seed` under a label, so that `Generator.sample` makes each of them again. No two share a latent, of whatever class.
The new folder is written beside its final name and renamed; the old one is only read. The runtime alone is needed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from ganrt import Generator
from ganrt.bundle import Bundle
from ganrt.errors import ArgumentError, DataError, OutputError, legible
from ganrt.media.atomic import Replacement, make_folder, write_bytes
from ganrt.media.image import FORMATS, encode_image
from ganrt.media.writer import slug
from ganrt.spec import Image, Label

from .labelled_folder import LabelledFolder

__all__ = ["MANIFEST", "Drawn", "Manifest", "Share", "check_output", "fill_up", "match", "plan"]

MANIFEST = "generated.json"
_NAMED = 12  # classes that an error lists


class Share(msgspec.Struct, frozen=True):
    """What one class gets. `folder`: its sub-folder; `label`: its index in the generator, `name` what that calls it.

    `start`: index of its first sample.
    """

    folder: str
    label: int
    name: str
    real: int
    generated: int
    start: int


class Drawn(msgspec.Struct, frozen=True):
    """One generated file: sample `index` of the manifest's seed, under `label`."""

    file: str
    folder: str
    label: int
    index: int


class Manifest(msgspec.Struct, frozen=True):
    """generated.json: which files are not real, and how each was made. `digest` is the bundle's."""

    bundle: str
    digest: str
    license: str
    backend: str
    precision: str
    seed: int
    truncation: float | None
    classes: tuple[Share, ...]
    files: tuple[Drawn, ...]


def plan(
    bundle: Bundle, folder: LabelledFolder, per_class: int | None = None, mapping: Mapping[str, str] | None = None
) -> tuple[Share, ...]:
    """What each class lacks to `per_class` pictures, by default to as many as the largest class has; at least one.

    `mapping`: folder name -> class of the generator, by name or index, where they are not called alike.
    Raises ArgumentError when the bundle draws no pictures of classes, a class has no counterpart, or nothing is
    lacking; DataError when the folder has been filled up before.
    """
    spec = bundle.manifest.spec
    if spec.label is None or spec.signals or not isinstance(spec.output, Image):
        what = "draws no pictures" if not isinstance(spec.output, Image) else "is unconditional: it knows no classes"
        what = "takes a signal of yours" if spec.signals else what
        raise ArgumentError(f"'{legible(bundle.manifest.name, 60)}' {what}, so it cannot fill up classes.")
    if Path(MANIFEST) in folder.files:
        raise DataError(
            f"{folder.root} holds {MANIFEST}, so it has been filled up before; start from the real pictures alone, or "
            "generated ones are taken for real."
        )
    target = max(folder.pictures.values()) if per_class is None else per_class
    lacking = {name: target - real for name, real in folder.pictures.items() if real < target}
    if not lacking:
        least = min(folder.pictures.values())
        raise ArgumentError(
            f"Nothing is lacking: in {folder.root} each class has {least:,} or more; ask for more with --per-class."
        )
    labels = match(folder, lacking, spec.label, mapping or {})
    shares, start = [], 0
    for name, count in lacking.items():
        called = _names(spec.label)[labels[name]]
        shares.append(Share(name, labels[name], called, folder.pictures[name], count, start))
        start += count
    return tuple(shares)


def match(folder: LabelledFolder, lacking: Iterable[str], label: Label, mapping: Mapping[str, str]) -> dict[str, int]:
    """The generator's class index of each sub-folder in `lacking`. Raises ArgumentError that lists both sides.

    Equal names match; so do those that differ in case, or in hyphens and underscores for spaces.
    """
    names = _names(label)
    alike = {_plain(name): index for index, name in reversed(list(enumerate(names)))}
    both = f"The generator knows {_listed(names)}; {folder.root} holds {_listed(folder.pictures)}."
    for name, chosen in mapping.items():
        if name not in folder.pictures:
            raise ArgumentError(f"There is no folder '{legible(name, 60)}' to map. {both}")
        if chosen not in names and not (re.fullmatch(r"\d{1,9}", chosen) and int(chosen) < label.classes):
            raise ArgumentError(f"'{legible(name, 60)}' cannot be '{legible(chosen, 60)}'. {both}")
    found: dict[str, int] = {}
    for name in lacking:
        chosen = mapping.get(name, name)
        if chosen in names:
            found[name] = names.index(chosen)
        elif name in mapping:
            found[name] = int(chosen)
        elif _plain(name) in alike:
            found[name] = alike[_plain(name)]
        else:
            likely = names[int(name)] if re.fullmatch(r"\d{1,9}", name) and int(name) < label.classes else names[0]
            raise ArgumentError(
                f"The class '{legible(name, 60)}' is unknown to the generator. {both} "
                f"Say which is which: --map '{legible(name, 60)}={legible(likely, 60)}'."
            )
    return found


def check_output(output: Path, folder: LabelledFolder) -> None:
    """What would fail after the work fails before it. Raises OutputError."""
    if output.exists() or output.is_symlink():
        raise OutputError(f"{output} exists already; choose another name, or remove it first.")
    parent = output.absolute().parent
    if not parent.is_dir():
        raise OutputError(f"The folder {parent} does not exist; make it, or choose another place with -o.")
    if parent.resolve().is_relative_to(folder.root.resolve()):
        raise OutputError(f"{output} lies inside {folder.root}, which is left as it is; choose another place with -o.")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{output} cannot be written; choose another place with -o.")


def fill_up(
    generator: Generator,
    folder: LabelledFolder,
    shares: tuple[Share, ...],
    output: Path,
    *,
    seed: int = 0,
    truncation: float | None = None,
    link: bool = False,
    advance: Callable[[int], None] = lambda files: None,
) -> Manifest:
    """Writes `output`: all files of `folder`, what `shares` adds, and generated.json, which is also returned.

    `link`: the files of `folder` as symbolic links. `advance` hears of each file. The generated pictures have the size
    of the real ones, where those have one in common; they are grey where those are, and of their file type.
    Raises OutputError, DataError when a file cannot be read, and ArgumentError for what the generator does not take;
    `output` then does not exist.
    """
    temporary = output.absolute().parent / f".{output.name[:100]}.{secrets.token_hex(6)}.tmp"
    try:
        make_folder(temporary)
        for file in folder.files:
            _put(folder.root / file, temporary / file, link)
            advance(1)
        manifest = _draw(generator, folder, shares, temporary, seed, truncation, advance)
        write_bytes(temporary / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        try:
            temporary.rename(output)
        except OSError as problem:
            raise OutputError(f"{output} could not be written: {problem.strerror}. Choose another place.") from problem
        return manifest
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(source: Path, target: Path, link: bool) -> None:
    make_folder(target.parent)
    try:
        if link:
            target.symlink_to(source.resolve())
            return
        with source.open("rb") as file, Replacement(target) as copy:
            shutil.copyfileobj(file, copy)
    except OSError as problem:  # a fault in writing the copy is an OutputError already
        if link:
            raise OutputError(f"No link could be made here: {problem.strerror}. Leave out --link.") from problem
        raise DataError(f"{source} cannot be read: {problem.strerror}.") from problem


def _draw(
    generator: Generator,
    folder: LabelledFolder,
    shares: tuple[Share, ...],
    place: Path,
    seed: int,
    truncation: float | None,
    advance: Callable[[int], None],
) -> Manifest:
    suffix = folder.suffix.removeprefix(".") if folder.suffix.removeprefix(".") in FORMATS else "png"
    stem = f"generated-{slug(generator.name)}-seed{seed}"
    files: list[Drawn] = []
    for share in shares:
        index = share.start
        for batch in generator.stream(
            share.generated, seed=seed, start=index, label=share.label, truncation=truncation
        ):
            for picture in batch:
                file = f"{share.folder}/{stem}-{index:06}.{suffix}"
                write_bytes(place / file, encode_image(_like(picture, folder), suffix))
                files.append(Drawn(file, share.folder, share.label, index))
                index += 1
                advance(1)
    about = generator.bundle.manifest
    return Manifest(
        bundle=about.name,
        digest=generator.bundle.digest,
        license=about.license,
        backend=generator.backend,
        precision=generator.precision,
        seed=seed,
        truncation=truncation,
        classes=shares,
        files=tuple(files),
    )


def _like(picture: NDArray[np.uint8], folder: LabelledFolder) -> NDArray[np.uint8]:
    """A sample, uint8 [height, width, channels], in the folder's size and colour; what is too long is cut evenly."""
    from PIL import Image as Pillow
    from PIL import ImageOps

    made = Pillow.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).convert(
        "L" if folder.grey else "RGB"
    )
    if folder.size is not None and made.size != folder.size:
        made = ImageOps.fit(made, folder.size, Pillow.Resampling.LANCZOS)
    pixels = np.asarray(made)
    return pixels[..., None] if folder.grey else pixels


def _names(label: Label) -> tuple[str, ...]:
    return label.names or tuple(map(str, range(label.classes)))


def _plain(name: str) -> str:
    return re.sub(r"[-_\s]+", " ", name).strip().casefold()


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return legible(", ".join(every[:_NAMED]), 400) + more
