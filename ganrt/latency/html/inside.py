"""Where the time of a call goes: its stages, and the operations that the engine's own profiler tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..operations import Operations
from ..profile import Profile
from ..results import Timing
from ..stages import ALLOCATE, AROUND, DRAW, ENGINE
from .tables import Column, bar, row, table, words
from .text import element, ms, number, text
from .ways import Way

__all__ = ["STAGES", "energy_section", "operations_section", "stages_section"]

# stage -> what the legend says
STAGES = {
    DRAW: "latents drawn",
    ENGINE: "engine",
    ALLOCATE: "result allocated",
    AROUND: "around",
}
_KINDS, _NODES = 10, 12  # shown
_BETWEEN = 0.005  # of the call, below which the time between operations is nothing


def _rows(shown: Sequence[Way]) -> Iterator[tuple[Way, Timing, Profile]]:
    for way in shown:
        for timing in way.rows:
            if timing.profile is not None:
                yield way, timing, timing.profile


def stages_section(shown: Sequence[Way]) -> str:
    """A stacked bar for each row, and its figures."""
    columns = [words("way"), Column("batch"), Column("", "stacked"), *map(Column, STAGES.values()), Column("call")]
    rows = [row(columns, _stages(*one)) for one in _rows(shown)]
    swatches = {said: element("i", class_=f"swatch {name}") for name, said in STAGES.items()}
    keys = "".join(element("span", swatch + text(said), class_="way") for said, swatch in swatches.items())
    return element("p", keys, class_="legend") + table(columns, rows) if rows else ""


def _stages(way: Way, timing: Timing, profile: Profile) -> Iterator[str]:
    took = {stage.name: stage.ms for stage in profile.stages.stages}
    total = sum(took.values()) or 1.0
    yield way.key()
    yield f"{timing.batch:,}"
    parts = [(name, said, took[name]) for name, said in STAGES.items() if took.get(name)]
    yield element(
        "span",
        "".join(
            element(
                "i", class_=name, style=f"width:{one / total:.2%}", data_tip=f"{said}: {ms(one)}, {one / total:.1%}"
            )
            for name, said, one in parts
        ),
        class_="stack",
    )
    yield from (number(took.get(name)) for name in STAGES)
    yield element("b", number(total))


def operations_section(shown: Sequence[Way]) -> str:
    """A fold for each row, the first one open."""
    parts = list[str]()
    for way, timing, profile in _rows(shown):
        title = way.key() + element("span", f"batch {timing.batch:,}", class_="of")
        if profile.operations is None:
            parts.append(element("p", f"{title} {text(profile.note)}", class_="note"))
            continue
        told = profile.operations
        between = told.call_ms - told.inside_ms
        count = sum(kind.count for kind in told.kinds)
        said = f"{ms(told.inside_ms)} in {count} operations, {ms(between)} between them"
        said += f", in each of {told.streams} streams" if told.streams > 1 else ""
        summary = element("summary", title + element("span", text(said), class_="unit"))
        content = element("div", _kinds(told) + _nodes(told), class_="beside even")
        opened = "" if any(part.startswith("<details") for part in parts) else " open"
        parts.append(f"<details{opened} class='{way.colour}'>{summary}{content}</details>")
    return "".join(parts)


def _kinds(told: Operations) -> str:
    most = _KINDS if len(told.kinds) > _KINDS + 1 else _KINDS + 1
    kinds = [(kind.operation, f"{kind.count:,}", kind.ms) for kind in told.kinds[:most]]
    rest, between = told.kinds[most:], told.call_ms - told.inside_ms
    if rest:
        kinds.append((f"{len(rest)} other kinds", f"{sum(one.count for one in rest):,}", sum(one.ms for one in rest)))
    if between > _BETWEEN * told.call_ms:
        kinds.append(("between the operations", "", between))
    greatest = max((one for *_, one in kinds), default=1.0) or 1.0
    columns = (words("kind"), Column("nodes"), Column("ms"), Column("share", "barred"))
    rows = [
        row(columns, (text(kind), count, number(one), bar(one / greatest, f"{one / told.call_ms:.1%}")))
        for kind, count, one in kinds
    ]
    return table(columns, rows, small=True)


def _nodes(told: Operations) -> str:
    columns = [Column("slowest nodes", "words long"), words("kind"), words("kernel"), Column("ms"), Column("share")]
    rows = [
        (
            element("code", text(node.name), title=node.name),
            text(node.operation),
            element("code", text(node.kernel)),
            number(node.ms),
            f"{node.ms / told.call_ms:.1%}",
        )
        for node in told.nodes[:_NODES]
    ]
    kept = [at for at in range(len(columns)) if at != 2 or any(node.kernel for node in told.nodes)]
    columns = [columns[at] for at in kept]
    return table(columns, (row(columns, [cells[at] for at in kept]) for cells in rows), small=True)


def energy_section(shown: Sequence[Way]) -> str:
    """Joules a sample and watts, or why they are not told."""
    columns = (words("way"), Column("batch"), Column("joules a sample"), Column("watts"), words("counted"))
    rows, reasons = list[str](), dict[str, None]()
    for way, timing, profile in _rows(shown):
        energy = profile.energy
        if energy.joules is None:
            reasons[energy.note] = None
            continue
        cells = (way.key(), f"{timing.batch:,}", number(energy.joules / profile.energy_samples), number(energy.watts))
        rows.append(row(columns, (*cells, text(", ".join(energy.domains)))))
    told = "".join(element("p", f"Not told: {text(one)}.", class_="note") for one in reasons)
    return (table(columns, rows) if rows else "") + told
