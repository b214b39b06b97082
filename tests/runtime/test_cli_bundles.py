"""`ganrt info` and `ganrt verify`: for people, and as JSON for programs."""

import json
import re

import msgspec
import numpy as np
import pytest
import tiny

from ganrt.backends import NAMES, available
from ganrt.bundle import Bundle, write_bundle
from ganrt.cli import main

HERE = [name for name in NAMES if available(name)]


@pytest.fixture
def damaged(tmp_path):
    """A bundle in a folder, one byte of whose reference samples is another."""
    folder = tmp_path / "damaged"
    write_bundle(folder, *tiny.make("conditional"))
    data = bytearray((folder / tiny.GOLDENS).read_bytes())
    data[-1] ^= 1
    (folder / tiny.GOLDENS).write_bytes(data)
    return folder


@pytest.fixture
def wrong(tmp_path):
    """A bundle with all digests right, whose reference samples are not what its graph gives."""
    manifest, files = tiny.make("conditional")
    raw = Bundle.open(write_bundle(tmp_path / "right.ganrt", manifest, files).path).goldens
    path = tmp_path / "wrong.ganrt"
    write_bundle(path, manifest, {**files, tiny.GOLDENS: tiny.npy(raw * np.float32(0.5))})
    return path


@pytest.mark.parametrize("name", ["digits", *tiny.SPECS])
def test_info_tells_how_to_call_and_the_call_works(name, capfd, tiny_bundles):
    source = str(tiny_bundles.get(name, name))
    assert main(["info", source]) == 0
    text = capfd.readouterr().out
    call = text[text.index("From Python") :].splitlines()[1:]
    assert len(call) == 3
    names = {}
    exec("\n".join(line.strip() for line in call), names)
    dtype, shape = re.search(r"# (\w+) \[([\d, ]+)\]$", call[-1]).groups()
    result = next(value for value in names.values() if isinstance(value, np.ndarray))
    assert (str(result.dtype), str(list(result.shape))) == (dtype, f"[{shape}]")


def test_info_tells_what_goes_in_and_what_comes_out(capfd, tiny_bundles):
    main(["info", str(tiny_bundles["infogan"])])
    text = " ".join(capfd.readouterr().out.split())
    for line in (
        "z latent, 5 numbers, normal; drawn from the seed",
        "category code, a category from 0 to 2",
        "style code, 2 numbers from -2 to 2",
        "image pictures, 5 x 6, grey: uint8 [n, 6, 5, 1]",
        "fp32 generator.fp32.onnx",
        "family tiny",
        "licence MIT",
    ):
        assert line in text


def test_info_as_json_holds_the_manifest(capfd, tiny_bundle_path):
    assert main(["info", str(tiny_bundle_path), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    bundle = Bundle.open(tiny_bundle_path)
    assert set(told) == {"path", "size", "digest", "manifest", "call"}
    assert told["digest"] == bundle.digest
    assert told["manifest"] == json.loads(msgspec.json.encode(bundle.manifest))


def test_nothing_in_a_strangers_bundle_reaches_the_terminal_as_a_command(tmp_path, capfd):
    manifest, files = tiny.make("conditional")
    nasty = "\x1b[2J\x1b]0;owned\x07[bold red]markup[/]"
    manifest = msgspec.structs.replace(manifest, description=nasty, license=nasty, quality={"figure": nasty, nasty: 1})
    write_bundle(tmp_path / "nasty.ganrt", manifest, files)
    for command in ("info", "verify"):
        assert main([command, str(tmp_path / "nasty.ganrt")]) == 0
        shown = capfd.readouterr().out
        assert "\x1b" not in shown
        assert "\x07" not in shown
    main(["info", str(tmp_path / "nasty.ganrt")])
    assert "[bold red]markup[/]" in capfd.readouterr().out


def test_verify_ticks_every_file(capfd):
    assert main(["verify", "digits"]) == 0
    lines = capfd.readouterr().out.splitlines()
    members = Bundle.open("digits").manifest.files
    assert [line.split()[:2] for line in lines[: len(members)]] == [["✓", member] for member in members]
    assert lines[-1] == "digits: all right"


@pytest.mark.parametrize("bundle", ["digits", "conditional", "audio", "table"])
def test_verify_run_holds_every_engine_of_this_machine_to_the_references(bundle, capfd, tiny_bundles):
    assert main(["verify", str(tiny_bundles.get(bundle, bundle)), "--run", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert set(told) == {"path", "digest", "ok", "files", "trials"}
    assert told["ok"] is True
    good = {trial["backend"] for trial in told["trials"] if trial["ok"] and trial["precision"] == "fp32"}
    assert good == set(HERE)
    for trial in told["trials"]:
        if trial["ok"]:
            assert trial["figures"]["psnr_db"] > 40
            assert trial["figures"]["max_error"] >= 0


def test_verify_run_prints_the_distance_of_each_engine(capfd):
    assert main(["verify", "digits", "--run"]) == 0
    text = capfd.readouterr().out
    for name in HERE:
        assert re.search(rf"✓\s+{name} fp32\s+.*: [\d.]+ dB, largest difference [\d.e-]+, uint8 within [01]", text)


def test_verify_of_a_damaged_file_says_which_and_exits_with_1(damaged, capfd):
    assert main(["verify", str(damaged), "--run"]) == 1
    text = capfd.readouterr().out
    assert re.search(rf"✗\s+{tiny.GOLDENS}.*has been changed or damaged", " ".join(text.split()))
    assert re.search(rf"✓\s+{tiny.GRAPH}", text)
    assert "No engine was run, because the bundle is damaged." in text
    assert main(["verify", str(damaged), "--json"]) == 1
    told = json.loads(capfd.readouterr().out)
    assert told["ok"] is False
    assert [bool(file["problem"]) for file in told["files"]] == [file["file"] == tiny.GOLDENS for file in told["files"]]


def test_verify_run_of_a_graph_that_gives_something_else_exits_with_1(wrong, capfd):
    assert main(["verify", str(wrong)]) == 0  # every digest is right
    assert main(["verify", str(wrong), "--run"]) == 1
    text = " ".join(capfd.readouterr().out.split())
    for name in HERE:
        assert re.search(rf"✗ {name} fp32 .*does not reproduce this bundle", text)
    assert "NOT all right" in text


def test_a_bundle_without_references_runs_and_says_so(tmp_path, capfd):
    manifest, files = tiny.make("conditional")
    write_bundle(tmp_path / "a.ganrt", msgspec.structs.replace(manifest, goldens=None), {tiny.GRAPH: files[tiny.GRAPH]})
    assert main(["verify", str(tmp_path / "a.ganrt"), "--run"]) == 0
    assert "the bundle has no reference samples to hold it to" in " ".join(capfd.readouterr().out.split())
