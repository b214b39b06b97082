"""`ganrt augment`: a labelled folder of pictures, filled up with generated ones. Torch is never loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ganrt.cli.options import WHAT, WHERE, Backend, Precision, Threads, Truncation
from ganrt.errors import ArgumentError

__all__ = ["command"]


def command(
    source: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="A generator of several classes: a .ganrt file, 'digits', ...")
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Real pictures, a sub-folder for each class. Only read.", show_default=False
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT", help="The new folder; it must not exist.", show_default=False),
    ],
    per_class: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Pictures that each class shall have at least; as many as the largest has if left out.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER=CLASS",
            help="A sub-folder and the generator's class, by name or index, where they are not called alike.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same samples.", rich_help_panel=WHAT)
    ] = 0,
    truncation: Truncation = None,
    link: Annotated[
        bool, typer.Option("--link", help="Links to the real pictures in place of copies.", rich_help_panel=WHERE)
    ] = False,
    backend: Backend = "auto",
    threads: Threads = None,
    precision: Precision = "auto",
) -> None:
    """Fill up a labelled folder of pictures with generated ones, until its classes are of one size.

    OUT holds the real pictures as they are, the generated ones beside them as generated-*, in the same size, colour and
    file type, and generated.json, which lists those with the bundle's digest, seed, index and label. Do this to what a
    classifier is trained on, never to what it is tested on, and train the generator on nothing else.

    \b
    Examples:
      ganrt augment chest.ganrt --data chest/train -o chest/train-balanced
      ganrt augment chest.ganrt --data chest/train -o more --per-class 5000 --link
      ganrt augment digits --data scans -o balanced --map 0=zero --map 1=one
    """
    from ganrt import Generator
    from ganrt.bundle import Bundle
    from ganrt.cli.terminal import plain, rows, say, show, waiting

    from ..augment import MANIFEST, check_output, fill_up, plan
    from ..labelled_folder import read_folder

    bundle, mapping = Bundle.open(source), dict(map_pair(text) for text in map or ())
    with waiting(f"reading {data}") as advance:
        folder = read_folder(data, advance)
    shares = plan(bundle, folder, per_class, mapping)
    check_output(output, folder)
    with waiting(f"opening {source}") as bar:
        generator = Generator.load(source, backend=backend, threads=threads, precision=precision, progress=bar.describe)
    more = sum(share.generated for share in shares)
    with generator, waiting(f"writing {output}", total=len(folder.files) + more) as advance:
        fill_up(generator, folder, shares, output, seed=seed, truncation=truncation, link=link, advance=advance)
    if folder.others:
        kept = f"{len(folder.others):,} other file{'s' if len(folder.others) > 1 else ''}"
        say(f"{kept} came along uncounted, such as {plain(folder.others[0])}.")
    added = {share.folder: share for share in shares}
    table = [("class", "real", "generated", "drawn as")]
    for name, real in folder.pictures.items():
        share = added.get(name)
        table.append((name, f"{real:,}", f"{share.generated:,}" if share else "0", share.name if share else ""))
    show(rows(table))
    real = sum(folder.pictures.values())
    how = "linked" if link else "copied"
    show(f"{plain(output)}: {real:,} real pictures {how}, {more:,} generated, listed in {MANIFEST}")


def map_pair(text: str) -> tuple[str, str]:
    """Folder and class of one --map.

    >>> map_pair("healthy=normal")
    ('healthy', 'normal')
    """
    folder, equals, chosen = text.partition("=")
    if not (folder and equals and chosen):
        raise ArgumentError(f"--map {text} is not FOLDER=CLASS, such as --map healthy=normal.")
    return folder, chosen
