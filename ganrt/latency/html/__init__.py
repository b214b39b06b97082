"""A report as one HTML page that needs nothing else: no network, no font, no script of others.

Everything is drawn here, as SVG in the text; a few lines of script show what is under the pointer, change between light
and dark, and copy a command. The page tells the browser to load nothing (Content-Security-Policy), and its own script
by its digest, so that whatever a bundle calls itself, it cannot become one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.resources import files

from ..results import Report
from . import curve, distribution, head, inside, roof, throughput
from .details import Details, Exhibit
from .rows import remarks, rows_table
from .sections import SECTIONS
from .text import attributes, element, text
from .ways import Way, legend, ways

__all__ = ["Details", "Exhibit", "page"]


def page(report: Report, details: Details | None = None) -> str:
    """The whole page; `details`: what was measured beyond the report."""
    details = details or Details()
    shown = ways(report)
    contents = {name: content for name, content in _contents(report, shown, details) if content}
    links = "".join(element("a", SECTIONS[name][0], href=f"#{name}") for name in contents)
    body = [
        head.head(report),
        head.figures(shown, report.roofs),
        head.notes(report, remarks(shown)),
        element("nav", links, aria_label="Sections"),
        *(_section(name, content) for name, content in contents.items()),
    ]
    style, script = (files(__name__).joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{text(report.settings.name)} - ganrt bench</title>
<style>{style}</style>
</head>
<body>
<main>
{"".join(body)}
</main>
<div id="tip" role="status" hidden></div>
<script>{script}</script>
</body>
</html>
"""


def _contents(report: Report, shown: Sequence[Way], details: Details) -> Iterator[tuple[str, str]]:
    """Each section's id and content; one without content is left out."""
    keys, timed = legend(shown), any(row.samples_ms for row in report.rows)
    yield "rows", rows_table(shown) if report.rows else ""
    yield "distribution", keys + distribution.cards(shown) if timed else ""
    yield "percentiles", keys + curve.panels(shown) if timed else ""
    yield "throughput", keys + throughput.charts(shown, report.settings.percentile) if timed else ""
    yield "roofline", keys + roof.section(shown, report.roofs) if report.roofs else ""
    yield "stages", inside.stages_section(shown)
    yield "operations", inside.operations_section(shown)
    yield "energy", inside.energy_section(shown)
    yield "samples", "".join(map(_exhibit, details.exhibits))
    yield "repeat", "".join(_command(said, line) for said, line in details.commands)


def _section(name: str, content: str) -> str:
    title, lead = SECTIONS[name]
    return element(
        "section", element("h2", title) + (element("p", lead, class_="lead") if lead else "") + content, id=name
    )


def _exhibit(one: Exhibit) -> str:
    source = f"data:{one.mime};base64,{base64.b64encode(one.data).decode()}"
    if one.mime.startswith("audio/"):
        shown = element("audio", controls="", src=source)
    else:
        width = f"width:{one.width}px" if one.width else None
        given = {"src": source, "alt": one.caption, "style": width, "class": "coarse" if one.coarse else None}
        shown = f"<img{attributes(given)}>"
    return element("figure", element("figcaption", text(one.caption)) + shown, class_="exhibit")


def _command(said: str, line: str) -> str:
    button = element("button", "copy", type="button", class_="copy")
    return element(
        "div", element("p", text(said)) + element("pre", element("code", text(line))) + button, class_="command"
    )
