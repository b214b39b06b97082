"""The head of the page: what was timed, where, with what, and the figures that matter most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..noise import doubts
from ..results import Report, versions
from ..roofline import Roof
from .roof import place
from .text import element, ms, number, text
from .ways import Way

__all__ = ["figures", "head", "notes"]


def head(report: Report) -> str:
    """Name, and the facts beside every figure."""
    title = element("p", "ganrt bench", class_="over") + element("h1", text(report.settings.name))
    facts = "".join(element("div", element("dt", name) + element("dd", text(said))) for name, said in _facts(report))
    return element("header", title + element("dl", facts))


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    here, asked = report.environment, report.settings
    cores = f"{here.processor.cores} core{'s' if here.processor.cores > 1 else ''}"
    memory = f", {here.memory_gib:g} GiB of memory" if here.memory_gib else ""
    yield "Machine", f"{here.processor.name}, {cores}{memory}"
    yield "It has", ", ".join(here.processor.features) or here.processor.architecture
    yield "System", f"{here.system}, Python {here.python}"
    yield "Versions", ", ".join([f"ganrt {report.ganrt}", *versions(report)])
    among = f"{asked.processes} process{'es' if asked.processes > 1 else ''}"
    yield (
        "Settings",
        f"{asked.seconds:g} s of calls a row{'' if asked.whole else ' at most'}, in {among}; seed {asked.seed}",
    )
    yield "Bundle", f"{asked.bundle[:16]}…"
    yield "Made", report.created.replace("T", " ").replace("+00:00", " UTC")


def figures(shown: Sequence[Way], roofs: Sequence[Roof]) -> str:
    """Up to five numbers to remember."""
    rows = [(way, row) for way in shown for row in way.rows if row.samples_ms and row.percentiles]
    if not rows:
        return ""
    tiles = []
    least = min(row.batch for _, row in rows)
    way, one = min((part for part in rows if part[1].batch == least), key=lambda part: part[1].bound(50) or math.inf)
    called = "one sample" if least == 1 else f"{least} samples"
    tiles.append((ms(one.bound(50)), f"{called}, p50 at most", way.name))
    percent = max(
        (found.percent for found in one.percentiles if found.ms is not None and found.percent <= 99), default=50.0
    )
    if percent > 50:
        tiles.append((ms(one.bound(percent)), f"{called}, p{percent:g} at most", "at 99 % confidence"))
    way, most = max(rows, key=lambda part: part[1].samples_a_second or 0.0)
    tiles.append((number(most.samples_a_second), "samples a second", f"{way.name}, batch {most.batch:,}"))
    shares = [
        (found.share, way.name, row.batch)
        for way, row in rows
        for roof in roofs
        if (found := place(way, row, roof)) is not None and found.share is not None
    ]
    if shares:
        share, name, batch = max(shares)
        tiles.append((f"{share:.0%}", "of the measured matrix product", f"{name}, batch {batch:,}"))
    fidelity = [(row.checks.psnr_db, way.name) for way, row in rows if row.checks and row.checks.psnr_db is not None]
    if fidelity:
        worst, name = min(fidelity)
        tiles.append((f"{worst:.0f} dB", "from the reference at worst", name))
    made = "".join(
        element("div", element("b", text(value)) + element("span", text(said)) + element("small", text(of)))
        for value, said, of in tiles
    )
    return element("section", made, class_="figures", aria_label="Figures to remember")


def notes(report: Report, remarks: Iterator[str]) -> str:
    """Warnings about the machine, each kind once, and remarks about rows."""
    said = ["Interrupted: these are partial results."] if report.interrupted else []
    said += doubts([row.noise for row in report.rows])
    said += [f"{name} was not timed: {why}" for name, why in report.skipped.items()]
    said += remarks
    if not said:
        return ""
    items = "".join(element("li", text(one)) for one in said)
    return element("section", element("h2", "Before believing it") + element("ul", items), class_="doubts")
