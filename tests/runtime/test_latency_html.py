"""The page: whole, well-formed, alone in the world, true to its samples, and deaf to what strangers call things."""

import base64
import re
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganrt.bundle import Bundle
from ganrt.cli import bench_page
from ganrt.cli.bench_page import commands, explain
from ganrt.environment import describe
from ganrt.generator import Generator
from ganrt.latency import html
from ganrt.latency.bench import summarize
from ganrt.latency.energy import Energy
from ganrt.latency.html import Details, Exhibit, page
from ganrt.latency.html.svg import Labels, Linear, Log, Tail
from ganrt.latency.html.text import ms, number, text
from ganrt.latency.html.throughput import knee
from ganrt.latency.results import Asked, EngineCall, Process, Report, Settings, Timing, in_words
from ganrt.latency.roofline import Arithmetic, Copying, Roof

SECTIONS = ["rows", "distribution", "percentiles", "throughput"]  # of a report alone
SECTIONS += ["roofline", "stages", "operations", "energy", "samples", "repeat"]
VOID = {"meta", "img"}
ROOF = Roof(1, [Arithmetic(90.0, "measured here")], [Copying(60.0, 1 << 21, "cache"), Copying(9.0, 1 << 28, "memory")])


class Page(HTMLParser):
    """Elements as (name, attributes), their text by the nearest id, and complaints about nesting."""

    def __init__(self, markup):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.wrong, self.words = [], [], [], []
        self.feed(markup)
        self.close()

    def handle_starttag(self, name, attributes):
        names = [one for one, _ in attributes]
        if len(set(names)) < len(names):
            self.wrong.append(f"{name} has an attribute twice")
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        if not self.open or self.open.pop() != name:
            self.wrong.append(f"</{name}> closes another element")

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def named(self, name):
        return [attributes for one, attributes in self.elements if one == name]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The page of a real run: digits, each engine here, two batch sizes, a row that failed; report and markup."""
    patch = pytest.MonkeyPatch()
    patch.setattr(bench_page, "_SECONDS", 0.1)
    patch.setenv("GANRT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    rows = []
    for engine in ("onnxruntime", "openvino"):
        with Generator.load("digits", backend=engine, precision="fp32", threads=1) as digits:
            asked = Asked(engine, "fp32", "auto", 1)
            rows += [digits.benchmark(batch, seconds=0.2, asked=asked) for batch in (1, 4)]
    rows.append(Timing(4, Asked("mnn", "fp32"), "failed", fault="It repeats itself."))
    settings_ = Settings("digits", Bundle.open("digits").digest, 0.2, 99.0, 0)
    report = Report("0.1.0", "2026-01-01T00:00:00+00:00", describe(), settings_, rows, {"tensorrt": "not installed"})
    exhibits = explain(report, "digits", lambda _: None, roofs=False)
    report.roofs = [ROOF]
    patch.undo()
    typed = ["bench", "digits", "--html", "a file.html"]
    return report, page(report, Details(exhibits, commands(report, typed)))


def test_every_section_is_there_and_linked(written):
    found = Page(written[1])
    assert [one["id"] for one in found.named("section") if "id" in one] == SECTIONS
    assert [one["href"] for one in found.named("a")] == [f"#{name}" for name in SECTIONS]


def test_it_is_well_formed(written):
    found = Page(written[1])
    assert found.wrong == []
    assert found.open == []
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    pictures = re.findall(r"<svg.*?</svg>", written[1], re.DOTALL)
    assert len(pictures) > 10
    for picture in pictures:
        ET.fromstring(picture)
        assert "nan" not in picture
        assert "inf" not in picture


def test_it_loads_nothing(written):
    markup = re.sub(r"base64,[\w+/=]+", "base64,", written[1])
    assert not re.search(r"https?:|//[a-z]|@import|url\(", markup)
    for _, attributes in Page(markup).elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    names = {name for name, _ in Page(markup).elements}
    assert not names & {"link", "iframe", "object", "embed", "base", "form"}


def test_the_browser_is_told_to_load_nothing_and_to_run_its_own_script_alone(written):
    (policy,) = [one["content"] for one in Page(written[1]).named("meta") if "http-equiv" in one]
    (script,) = re.findall(r"<script>(.*?)</script>", written[1], re.DOTALL)
    digest = base64.b64encode(sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_it_says_what_the_report_says(written):
    report, markup = written
    words = " ".join(Page(markup).words)
    here = report.environment
    for said in (here.processor.name, here.python, "digits", "It repeats itself.", "tensorrt was not timed", "cores"):
        assert said in words
    for row in report.rows:
        for one in row.percentiles:
            assert one.ms is None or number(one.ms) in words
        assert row.state == "failed" or row.profile.operations.kinds[0].operation in words
        assert row.state == "failed" or row.profile.work.counted in words
        assert in_words(row.ran) in words
    assert "ganrt bench digits --html 'a file.html'" in words
    assert f"ganrt=={report.ganrt}" in words


def test_a_row_that_failed_is_shown_as_failed_and_has_no_figures(written):
    (line,) = re.findall(r"<tr[^>]*>(?:(?!</tr>).)*It repeats itself\..*?</tr>", written[1])
    assert "FAILED" in line
    assert "ms" not in line


def test_the_samples_of_every_way_are_pictures_inside_the_page(written):
    sources = [one["src"] for one in Page(written[1]).named("img")]
    assert len(sources) == 3  # the references, and two engines
    for source in sources:
        assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_streams_are_told_of_what_ran_and_of_its_operations(written):
    (first, *_), _ = written[0].rows, written
    told = msgspec.structs.replace(first.profile.operations, streams=2)
    ran = [msgspec.structs.replace(first.ran[0], threads=2, streams=2)]
    row_ = msgspec.structs.replace(first, ran=ran, profile=msgspec.structs.replace(first.profile, operations=told))
    words = " ".join(Page(page(report_of(row_))).words)
    assert "2 threads in 2 streams" in words
    assert "between them, in each of 2 streams" in words


def test_sounds_can_be_heard():
    made = page(report_of(row([1.0, 2.0])), Details(exhibits=[Exhibit("w", "audio/wav", b"RIFF")]))
    (heard,) = Page(made).named("audio")
    assert heard["src"] == f"data:audio/wav;base64,{base64.b64encode(b'RIFF').decode()}"


def test_energy_is_told_or_it_is_said_that_it_is_not(written):
    report, markup = written
    assert re.search(r"Not told: this machine|joules a sample", markup)
    counted = msgspec.structs.replace(
        report.rows[0].profile, energy=Energy(3.0, 1.5, ("package-0",)), energy_samples=12
    )
    told = report_of(msgspec.structs.replace(report.rows[0], profile=counted))
    words = " ".join(Page(page(told)).words)
    assert "joules a sample" in words
    assert "0.250" in words
    assert "2.00" in words
    assert "package-0" in words


def test_without_what_only_the_command_measures_the_rest_still_stands(written):
    bare = [msgspec.structs.replace(one, profile=None) for one in written[0].rows]
    found = Page(page(report_of(*bare)))
    assert found.wrong == []
    assert [one["id"] for one in found.named("section") if "id" in one] == SECTIONS[:4]


def test_a_report_without_any_timed_row_is_a_page_too():
    failed = Timing(1, Asked(), "failed", fault="No.")
    found = Page(page(report_of(failed)))
    assert found.wrong == []
    assert "No." in " ".join(found.words)
    assert Page(page(report_of())).wrong == []


HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover=alert(1) x='",
    "</title></style></svg><iframe src=//evil>",
    "&lt;b&gt; &amp;amp;",
    "\u202egnp.exe\x00\x1b[31m",
    "javascript:alert(1)",
    "]]><!--",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_strangers_call_things_stays_text(written, name):
    """The names of a bundle, its nodes, forms, engines and faults, and what was typed."""
    report, _ = written
    call = EngineCall(1, 1, name, name, name, name, name, 1, (name,))
    rows = [
        msgspec.structs.replace(one, ran=[call] if one.ran else [], fault=one.fault and name) for one in report.rows
    ]
    asked = Asked(name, name, name, 1)
    rows = [
        msgspec.structs.replace(one, asked=asked, scenario=name, profile=one.profile and renamed(one.profile, name))
        for one in rows
    ]
    named = msgspec.structs.replace(report.environment.processor, name=name)
    where = msgspec.structs.replace(report.environment, processor=named)
    asked_for = msgspec.structs.replace(report.settings, name=name, bundle=name)
    roof = Roof(1, [Arithmetic(9.0, name)], [], [name])
    told = Report(name, name, where, asked_for, rows, {name: name}, roofs=[roof])
    made = page(told, Details([Exhibit(name, "image/png", b"x")], [(name, name)]))
    plain, found = Page(written[1]), Page(made)
    assert found.wrong == []
    assert {one for one, _ in found.elements} <= {one for one, _ in plain.elements}
    assert len(found.named("script")) == len(found.named("style")) == len(found.named("title")) == 1
    known = {attribute for _, attributes in plain.elements for attribute in attributes}
    assert {attribute for _, attributes in found.elements for attribute in attributes} <= known | {"title"}
    shown = "".join(letter if letter.isprintable() else "?" for letter in name)
    assert "".join(found.words).count(shown) > 10
    assert not any(letter in made for letter in "\u202e\x00\x1b")


def renamed(profile, name):
    told = profile.operations
    nodes = [msgspec.structs.replace(node, name=name, operation=name, kernel=name) for node in told.nodes]
    kinds = [msgspec.structs.replace(kind, operation=name) for kind in told.kinds]
    told = msgspec.structs.replace(told, engine=name, nodes=nodes, kinds=kinds)
    work = msgspec.structs.replace(profile.work, counted=name)
    return msgspec.structs.replace(profile, operations=told, work=work, note=name, energy=Energy(None, 1.0, (), name))


def row(samples, batch=1, asked=None):
    """A row with these times in milliseconds, its figures computed as they are for every row."""
    call = EngineCall(batch, 1, "onnxruntime", "ONNX Runtime 1.0", "CPU", "fp32", "plain", 1)
    made = Timing(batch, asked or Asked(), "ok", [call])
    made.samples_ms, made.blocks = list(samples), [len(samples)]
    made.processes = [Process(len(samples), 1, 0)]
    summarize(made)
    return made


def report_of(*rows):
    return Report("0.1.0", "2026-01-01T00:00:00+00:00", describe(), Settings("t", "d" * 64, 1.0, 99.0, 0), list(rows))


times = st.floats(1e-3, 1e5, allow_nan=False)


@given(st.lists(times, min_size=1, max_size=80), st.lists(st.floats(1e5, 1e7), max_size=20), times)
@settings(max_examples=30)
def test_no_call_is_left_out_of_a_distribution(samples, slow, level):
    """Whatever the times are: bars and dots together are as many as the calls."""
    samples = [level * (1 + one / 1e6) for one in samples] + slow
    made = page(report_of(row(samples)))
    found = Page(made)
    assert found.wrong == []
    bars = re.findall(r'data-tip="[^"]* ms: ([\d,]+) calls"', made)
    dots = re.findall(r'data-tip="outlier: ', made)
    assert sum(int(one.replace(",", "")) for one in bars) + len(dots) == len(samples)
    drawn = " ".join(re.findall(r"<svg.*?</svg>", made, re.DOTALL))
    assert not re.search(r"\b(nan|inf)\b", drawn)


def test_the_outliers_of_the_order_are_each_shown_or_counted():
    random = np.random.default_rng(0)
    samples = np.where(random.random(9000) < 0.08, 50.0, random.normal(1, 0.01, 9000))
    made = page(report_of(row(samples.tolist())))
    alone = len(re.findall(r'data-tip="call [\d,]+: [^"]* ms"', made))
    more = sum(map(int, re.findall(r"the slowest of (\d+) outliers here", made)))
    assert alone + more == (samples == 50).sum()


def test_the_knee_is_the_smallest_batch_near_the_best():
    rates = {1: 100, 2: 180, 4: 300, 8: 340, 16: 350, 32: 320}
    rows = [msgspec.structs.replace(row([1.0], batch), samples_a_second=float(rate)) for batch, rate in rates.items()]
    assert knee(rows).batch == 8
    assert knee(rows[:1]) is None
    assert knee(rows[:3]) is None  # the best so far is the largest: where it ends is not known
    made = page(report_of(*rows))
    assert made.count(">knee 8<") == 2  # for wide and for narrow screens
    assert ">knee 16<" not in made


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-6, 1e6), count=st.integers(1, 8))
def test_ticks_lie_within_their_scale_and_rise(low, width, count):
    scale = Linear(low, low + width, 0, 300)
    ticks = scale.ticks(count)
    assert ticks == sorted(ticks)
    slack = 1e-6 * (abs(low) + width)
    assert all(scale.low - slack <= one <= scale.high + slack for one in ticks)
    assert len(ticks) <= 2 * count + 2


@given(low=st.floats(1e-6, 1e6), times_=st.floats(1.001, 1e9), count=st.integers(2, 8))
def test_ticks_of_a_logarithmic_scale_do_the_same(low, times_, count):
    scale = Log(low, low * times_, 0, 300)
    ticks = scale.ticks(count)
    assert ticks == sorted(ticks)
    assert all(low * 0.999 <= one <= low * times_ * 1.001 for one in ticks)
    assert len(ticks) <= count


@given(st.lists(times, min_size=2, max_size=40), st.floats(0, 1))
def test_a_broken_axis_keeps_the_order_and_stays_in_its_place(values, share):
    low, high = min(values), max(values)
    scale = Tail(low, high, low + share * (high - low) + 1e-9, 10, 350)
    places = [scale(one) for one in sorted(values)]
    assert all(a <= b + 1e-6 for a, b in pairwise(places))
    assert places[0] >= 10 - 1e-6
    assert places[-1] <= 350 + 1e-6


def test_words_step_aside_for_each_other():
    labels = Labels([(50, 50)])
    first, second = labels(50, 50, "16"), labels(50, 50, "32")
    places = [re.findall(r'[xy]="([\d.]+)"', one) for one in (first, second)]
    assert places[0] != places[1]
    assert labels(51, 50, "16") == ""


@given(st.floats(-1e12, 1e12, allow_nan=False))
def test_numbers_are_never_powers_of_ten(value):
    assert "e" not in number(value)
    assert not value or abs(value) < 1e-3 or float(number(value).replace(",", "")) == pytest.approx(value, rel=6e-3)


def test_units_follow_the_size():
    assert [ms(one) for one in (0.5, 12.0, 9999.0, 60000.0, None)] == ["0.500 ms", "12.0 ms", "9,999 ms", "60.0 s", ""]
    assert text("a\nb\t<") == "a\nb?&lt;"


def colours(theme):
    """The six colours of ways and the paper in one theme, as linear RGB."""
    style = files(html).joinpath("page.css").read_text()
    pairs = dict(re.findall(r"--(\w+): light-dark\((#\w+, #\w+)\)", style))
    chosen = [pairs[name].split(", ")[theme] for name in ("c0", "c1", "c2", "c3", "c4", "c5", "paper")]
    longer = ["#" + "".join(2 * letter for letter in one[1:]) if len(one) == 4 else one for one in chosen]
    values = np.array([[int(one[at : at + 2], 16) / 255 for at in (1, 3, 5)] for one in longer])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


# Machado, Oliveira and Fernandes 2009, severity 1: what eyes without one kind of cone make of linear RGB
BLIND = {
    "full sight": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


# OKLab (Ottosson 2020): linear RGB -> cones, cube roots of them -> lightness and two opponent axes
CONES = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
OPPONENTS = [
    [0.2104542553, 0.7936177850, -0.0040720468],
    [1.9779984951, -2.4285922050, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.8086757660],
]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eyes", BLIND)
def test_colours_are_told_apart_by_all_eyes_in_both_themes(theme, eyes):
    """At least 0.1 apart in OKLab; 0.02 is just noticed."""
    seen = np.clip(colours(theme)[:6] @ np.transpose(BLIND[eyes]), 0, 1)
    lab = np.cbrt(seen @ np.transpose(CONES)) @ np.transpose(OPPONENTS)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[np.triu_indices(6, 1)]
    assert apart.min() > 0.1


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_from_the_paper(theme):
    """WCAG 2.2, 1.4.11: at least 3 to 1 for what carries meaning."""
    *shown, paper = colours(theme) @ [0.2126, 0.7152, 0.0722]
    contrasts = [(max(one, paper) + 0.05) / (min(one, paper) + 0.05) for one in shown]
    assert min(contrasts) >= 2.95
