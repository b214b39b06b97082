"""What a manifest may say of engines, and that reading it never touches one."""

import json

import msgspec
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from ganrt.bundle import Bundle, write_bundle
from ganrt.cli import main
from ganrt.errors import ManifestError
from ganrt.manifest import Engine, FileEntry, Profile, decode, encode

GRAPH = "a" * 64


def engine(**changes):
    facts = {
        "file": "engines/one.plan",
        "graph": GRAPH,
        "engine": "tensorrt-rtx",
        "version": "1.7.1.116",
        "precision": "fp32",
        "capabilities": ("8.6", "12.0"),
        "profiles": (Profile(batch=(1, 16, 64)), Profile(batch=(1, 1, 1), sizes={"photo_2": (64, 256, 512)})),
        "platform": "linux-x86_64",
    }
    return Engine(**{**facts, **changes})


def manifest_with(**changes):
    manifest = tiny.make("conditional").manifest
    entry = FileEntry(sha256=GRAPH, size=3)
    return msgspec.structs.replace(
        manifest, engines={"one": engine(**changes)}, files={**manifest.files, "engines/one.plan": entry}
    )


spans = st.lists(st.integers(1, 1 << 24), min_size=3, max_size=3).map(sorted).map(tuple)


@given(
    capabilities=st.lists(st.sampled_from(["7.5", "8.6", "12.0"]), unique=True).map(tuple),
    profiles=st.lists(st.builds(Profile, batch=spans, sizes=st.dictionaries(st.sampled_from("ab"), spans)), min_size=1),
)
def test_an_engine_comes_back_as_it_was_written(capabilities, profiles):
    manifest = manifest_with(capabilities=capabilities, profiles=tuple(profiles[:64]))
    assert decode(encode(manifest), "it") == manifest


def test_a_manifest_from_before_engines_still_reads():
    data = json.loads(encode(tiny.make("conditional").manifest))
    del data["engines"]
    assert decode(json.dumps(data).encode(), "it").engines == {}


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("file", "engines/two.plan", "'engines/two.plan' is used but not listed in files"),
        ("mapping", "engines/m.plan", "needs both of mapping and mapping_graph, or neither"),
        ("capabilities", ["sm86"], "Expected `str` matching regex"),
        ("profiles", [], "Expected `array` of length >= 1"),
        ("profiles", [{"batch": [4, 1, 8]}], "4:1:8 for batch; least, best and most must rise"),
        ("profiles", [{"batch": [0, 1, 8]}], "Expected `int` >= 1"),
        ("precision", "fp8", "Invalid enum value 'fp8'"),
        ("graph", "abc", "Expected `str` matching regex"),
        ("version", "1\u001b[2J", "Expected `str` matching regex"),
        ("trusted", True, "unknown field `trusted`"),
    ],
)
def test_an_engine_that_contradicts_itself_is_refused(path, value, sentence):
    data = json.loads(encode(manifest_with()))
    data["engines"]["one"][path] = value
    with pytest.raises(ManifestError) as caught:
        decode(json.dumps(data).encode(), "it")
    assert sentence in str(caught.value)


def test_an_engine_is_current_while_the_bundle_holds_its_graph(tmp_path):
    files = {**tiny.make("conditional").files, "engines/one.plan": b"any bytes: nothing reads them"}
    bundle = write_bundle(tmp_path / "a.ganrt", manifest_with(), files)
    (one,) = bundle.manifest.engines.values()
    assert not bundle.manifest.current(one)
    digest = bundle.manifest.files[tiny.GRAPH].sha256
    assert bundle.manifest.current(msgspec.structs.replace(one, graph=digest))
    assert not bundle.manifest.current(msgspec.structs.replace(one, graph=digest, precision="fp16"))
    mapped = msgspec.structs.replace(one, graph=digest, mapping="engines/one.plan", mapping_graph=GRAPH)
    assert not bundle.manifest.current(mapped)


def test_bytes_that_are_no_engine_open_verify_draw_and_are_listed(tmp_path, capfd):
    """Nothing of the runtime loads an engine from a bundle."""
    files = {**tiny.make("conditional").files, "engines/one.plan": b"any bytes: nothing reads them"}
    path = write_bundle(tmp_path / "a.ganrt", manifest_with(), files).path
    Bundle.open(path).verify()
    assert main(["info", str(path)]) == 0
    text = " ".join(capfd.readouterr().out.split())
    assert "one for compute capability 8.6, 12.0: tensorrt-rtx 1.7.1.116, linux-x86_64 (29 B)" in text
    assert "batch 1, photo_2 64 to 512, best at 256" in text
    assert main(["info", str(path), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)["manifest"]["engines"]["one"]
    assert told["capabilities"] == ["8.6", "12.0"]
    assert main(["sample", str(path), "-n", "1", "--label", "3", "-o", str(tmp_path / "a.png")]) == 0
