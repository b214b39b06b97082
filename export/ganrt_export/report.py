"""An exported bundle as one HTML page: its pictures by precision beside PyTorch's, how far each is off, how fast it is.

The page needs nothing else: pictures lie inside as PNG, and it is legible in light and dark. Everything in it is
computed here and now from the bundle: the reference is PyTorch's own output, which the bundle keeps as goldens.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ganrt import Generator, __version__
from ganrt.backends import UNASKED, available, open_session, precisions
from ganrt.backends.acceptance import Figures, References, to_uint8
from ganrt.backends.base import GRAPH_OF, PLAIN, Graph, Options
from ganrt.bundle import Bundle
from ganrt.environment import processor, usable_cores
from ganrt.errors import BackendError
from ganrt.media.atomic import write_bytes
from ganrt.spec import Image

__all__ = ["write_report"]

_SHOWN = 8  # samples in each row of pictures
_AMPLIFIED = 16  # differences are shown this many times as large
_SECONDS = 0.1  # of measuring each way

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bar: #4a7fb5; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem } p.sub { opacity: .7; margin-top: 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .8rem; text-align: right }
td:first-child, th:first-child, .text { text-align: left }
tr { border-bottom: 1px solid var(--line) } th { opacity: .7 }
.pictures td { padding: .2rem .6rem; vertical-align: middle }
.pictures img { image-rendering: pixelated; display: block }
.bar { display: inline-block; height: .7em; background: var(--bar); border-radius: 2px; margin-right: .5em }
.fault { color: #c0392b } code { background: var(--soft); padding: 0 .3em; border-radius: 3px }
"""


class _Shown(NamedTuple):
    """One precision on one engine: what it drew of the goldens, and how far from PyTorch that is."""

    precision: str
    engine: str
    raw: NDArray[Any] | None
    figures: Figures | None
    fault: str = ""


def write_report(bundle: Bundle, path: Path, tell: Callable[[str], None] = lambda _: None) -> None:
    """Writes the page, whole or not at all. Raises OutputError when it cannot be written."""
    shown = list(_drawn(bundle, tell))
    costs = dict(_costs(bundle, tell))
    where = f"{_text(processor().name or 'an unnamed processor')}, {usable_cores()} cores"
    family = _text(bundle.manifest.family)
    parts = [
        f"<h1>{_text(bundle.manifest.name)}</h1>",
        f"<p class=sub>{family}, exported by ganrt {__version__}; this page was made on {where}</p>",
        *_pictures(bundle, shown),
        *_fidelity(shown),
        *_speed(costs),
        *_graphs(bundle),
        *_notes(bundle),
    ]
    page = (
        f"<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{_text(bundle.manifest.name)}</title><style>{_STYLE}</style>{''.join(parts)}\n"
    )
    write_bytes(path, page.encode())


def _drawn(bundle: Bundle, tell: Callable[[str], None]) -> Iterator[_Shown]:
    """Every precision of this bundle, on the first engine here that computes in it; BF16 also from another form."""
    references = References(bundle)
    if not references.available:
        return
    count = min(references.count, 64)
    forms = (PLAIN, *bundle.manifest.forms)
    for precision, of in GRAPH_OF.items():
        if of not in bundle.manifest.graphs:
            continue
        for name in [one for one in UNASKED if available(one) and precision in precisions(one)]:
            tell(f"drawing in {precision} on {name}")
            for form in forms if precision == "bf16" else (PLAIN,):
                try:
                    graph = Graph.of(bundle, of, form)
                    with closing(open_session(name, graph, Options(usable_cores(), precision))) as session:
                        if session.info.precision != precision:
                            continue  # it computes in another one, and says so
                        outputs = references.empty_outputs(session, count, raw=True)
                        session.run(references.feeds(count), outputs)
                        raw = outputs[bundle.manifest.spec.output_ports()[-1].name]
                        engine = session.info.engine + ("" if form == PLAIN else f", {form}")
                        yield _Shown(precision, engine, raw, references.judge(outputs, count))
                        break
                except BackendError as problem:
                    yield _Shown(precision, name, None, None, str(problem))


def _costs(bundle: Bundle, tell: Callable[[str], None]) -> Iterator[tuple[str, Mapping[int, float]]]:
    """Way -> batch -> milliseconds, of every precision asked for by itself."""
    for precision, of in GRAPH_OF.items():
        if of not in bundle.manifest.graphs:
            continue
        try:
            tuned = Generator.tune(bundle.path, precision=precision, seconds=_SECONDS, progress=tell)
        except Exception as problem:  # noqa: BLE001  a precision that no engine here has leaves its rows out
            tell(str(problem))
            continue
        with tuned:
            yield from tuned.costs.items()


def _pictures(bundle: Bundle, shown: Sequence[_Shown]) -> Iterator[str]:
    image = bundle.manifest.spec.output
    reference = References(bundle).raw
    if not isinstance(image, Image) or not len(reference):
        return
    rows = range(min(_SHOWN, len(reference)))
    pixels = to_uint8(reference, image)[rows]
    yield "<h2>The same samples</h2><table class=pictures>"
    yield f"<tr><td>PyTorch<td>{_strip(pixels)}<th class=text>difference &times;{_AMPLIFIED}"
    seen: set[str] = set()
    for one in shown:
        if one.raw is None or one.precision in seen:
            continue
        seen.add(one.precision)
        drawn = to_uint8(one.raw[rows], image)
        away = np.clip(np.abs(drawn - pixels) * _AMPLIFIED, 0, 255)
        yield f"<tr><td>{one.precision}<br><small>{_text(one.engine)}</small><td>{_strip(drawn)}<td>{_strip(away)}"
    yield "</table>"


def _fidelity(shown: Sequence[_Shown]) -> Iterator[str]:
    if not shown:
        return
    yield "<h2>How far from PyTorch</h2><table><tr><th>precision<th class=text>engine<th>PSNR<th>largest error"
    yield "<th>largest step of a pixel<th>pixels within one step"
    for one in shown:
        yield f"<tr><td>{one.precision}<td class=text>{_text(one.engine)}"
        if one.figures is None:
            yield f"<td class=fault colspan=4>{_text(one.fault)}"
            continue
        step = "" if one.figures.max_step is None else f"{one.figures.max_step}"
        within = "" if one.figures.within_one is None else f"{one.figures.within_one:.3%}"
        yield f"<td>{one.figures.psnr_db:.1f} dB<td>{one.figures.max_error:.2g}<td>{step}<td>{within}"
    yield "</table>"


def _speed(costs: Mapping[str, Mapping[int, float]]) -> Iterator[str]:
    if not costs:
        return
    sizes = sorted({size for table in costs.values() for size in table})
    slowest = max(table[1] for table in costs.values())
    yield "<h2>How fast here</h2><p class=sub>milliseconds a call, by batch size; the bar is batch 1</p><table><tr><th>"
    yield "".join(f"<th>{size}" for size in sizes) + "<th>"
    for name, table in sorted(costs.items(), key=lambda item: item[1][1]):
        cells = "".join(f"<td>{table[size]:.2f}" if size in table else "<td>" for size in sizes)
        width = max(1, round(200 * table[1] / slowest))
        yield f"<tr><td>{_text(name)}{cells}<td class=text><span class=bar style='width:{width}px'></span>"
    yield "</table>"


def _graphs(bundle: Bundle) -> Iterator[str]:
    manifest = bundle.manifest
    counted = manifest.provenance.get("operations", {})
    yield "<h2>Graphs</h2><table><tr><th><th class=text>file<th>bytes<th>multiply-adds of a sample<th>nodes"
    members = {**{f"{precision}": member for precision, member in manifest.graphs.items()}, **manifest.forms}
    for name, member in members.items():
        count = counted.get(name, {}) if isinstance(counted, dict) else {}
        adds, nodes = count.get("multiply_adds"), count.get("nodes")
        yield (
            f"<tr><td>{_text(name)}<td class=text><code>{_text(member)}</code><td>{manifest.files[member].size:,}"
            f"<td>{'' if adds is None else f'{adds:,}'}<td>{'' if nodes is None else nodes}"
        )
    for name, engine in manifest.engines.items():
        size = manifest.files[engine.file].size
        yield f"<tr><td>{_text(name)}<td class=text><code>{_text(engine.file)}</code><td>{size:,}<td><td>"
    yield "</table>"


def _notes(bundle: Bundle) -> Iterator[str]:
    notes = bundle.manifest.provenance.get("notes", ())
    if notes:
        yield "<h2>Notes</h2><ul>" + "".join(f"<li>{_text(str(note))}" for note in notes) + "</ul>"


def _strip(pictures: NDArray[Any]) -> str:
    """Pictures [n, height, width, channels] side by side, as one PNG."""
    from PIL import Image as Pillow

    height = pictures.shape[1]
    strip = np.concatenate(list(pictures.astype(np.uint8)), axis=1)
    strip = strip[..., 0] if strip.shape[-1] == 1 else strip
    file = io.BytesIO()
    Pillow.fromarray(strip).save(file, "PNG")
    times = max(1, 64 // height)
    data = base64.b64encode(file.getvalue()).decode()
    return f"<img src='data:image/png;base64,{data}' height={height * times} alt=''>"


def _text(text: str) -> str:
    return html.escape(text)
