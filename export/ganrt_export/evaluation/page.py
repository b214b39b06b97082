"""An evaluation as one HTML page that needs nothing else: no network, no script; legible in light and dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path

from ganrt.media.atomic import write_bytes
from ganrt.media.image import encode_image

from .compare import SCORES
from .figure import draw
from .results import Evaluation
from .run import Exhibit
from .table import features_line, findings, said, share, title

__all__ = ["write_page"]

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #4a7fb5; --real: #8888 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { margin-bottom: .2rem } h2 { margin-top: 2.5rem } p.sub { opacity: .75; margin-top: 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
td, th { padding: .25rem .9rem; text-align: right } tr { border-bottom: 1px solid var(--line) } th { opacity: .7 }
td:first-child, th:first-child, .text { text-align: left }
ul.notes li { margin: .3rem 0 } img { max-width: 100%; height: auto; image-rendering: pixelated; border-radius: 4px }
.bar { display: inline-block; height: .45em; border-radius: 2px; background: var(--bar); vertical-align: middle }
.real { background: var(--real) } td.bars { line-height: .8; text-align: left; min-width: 14rem }
code { overflow-wrap: anywhere }
"""


def write_page(path: Path, result: Evaluation, exhibits: Sequence[Exhibit]) -> None:
    """Writes the page, whole or not at all. Raises OutputError."""
    name = html.escape(result.judged.name)
    body = "".join((*_head(result), *_scores(result), *_findings(result), *_classes(result), *_figure(exhibits)))
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<meta name=viewport content='width=device-width'><title>{name} - ganrt evaluate</title>"
        f"<style>{_STYLE}</style><main>{body}</main></html>\n"
    )
    write_bytes(path, page.encode())


def _head(result: Evaluation) -> Iterator[str]:
    yield f"<h1>{html.escape(result.judged.name)}</h1><p class=sub>{html.escape(title(result))}"
    yield f"<br>{html.escape(features_line(result))}<br>Bundle <code>{html.escape(result.judged.digest[:16])}</code>, "
    yield f"computed as {html.escape(result.judged.way)}, ganrt {html.escape(result.ganrt)}</p>"
    if result.notes:
        yield "<ul class=notes>" + "".join(f"<li>{html.escape(note)}" for note in result.notes) + "</ul>"


def _scores(result: Evaluation) -> Iterator[str]:
    yield "<h2>Scores</h2><p class=sub>± one standard error; real pictures are what a perfect generator reaches</p>"
    yield "<table><tr><th>score<th>samples<th>real pictures<th class=text>better"
    for score in SCORES:
        mine, real = (said(getattr(quality, score.field)) for quality in (result.quality, result.real_quality))
        better = {-1: "lower", 1: "higher", 0: "near 1"}[score.better]
        yield f"<tr><td>{html.escape(score.title.strip())}<td>{mine}<td>{real}<td class=text>{better}"
    yield "</table>"


def _findings(result: Evaluation) -> Iterator[str]:
    yield "<h2>Modes and copies</h2><table>"
    for heading, line in findings(result):
        yield f"<tr><th class=text>{html.escape(heading)}<td class=text>{html.escape(line)}"
    yield "</table>"


def _classes(result: Evaluation) -> Iterator[str]:
    classes = result.classes
    if classes is None:
        return
    most = max(*classes.shares.values(), *classes.real_shares.values())
    yield "<h2>Classes</h2><p class=sub>bars: share of the samples, and in grey of the held-out pictures</p>"
    yield "<table><tr><th>class<th>samples<th>held-out<th class=text><th>taken for it"
    for name, part in classes.shares.items():
        real, accuracy = classes.real_shares[name], classes.accuracies.get(name)
        bars = "<br>".join(
            f"<span class='bar{kind}' style='width:{200 * value / most:.0f}px'></span>"
            for value, kind in ((part, ""), (real, " real"))
        )
        known = "" if accuracy is None else share(accuracy)
        yield f"<tr><td>{html.escape(name)}<td>{part:.1%}<td>{real:.1%}<td class=bars>{bars}<td>{known}"
    yield "</table>"


def _figure(exhibits: Sequence[Exhibit]) -> Iterator[str]:
    data = base64.b64encode(encode_image(draw(exhibits), "png")).decode()
    yield "<h2>Nearest training pictures</h2><p class=sub>in the features above</p>"
    yield f"<img src='data:image/png;base64,{data}' alt='Samples beside the training pictures nearest to them'>"
