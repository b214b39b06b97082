"""`ganrt bench --html` and `--profile`: a page that is written whole or not at all, and figures in the JSON."""

from functools import partial

import msgspec
import pytest

from ganrt.cli import bench_page, main
from ganrt.generator import Generator
from ganrt.latency.results import Report, read
from ganrt.latency.roofline import measure_roof

QUICK = ["--seconds", "0.05", "--processes", "1", "--backend", "onnxruntime", "--precision", "fp32", "--threads", "1"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bench_page, "_SECONDS", 0.05)
    monkeypatch.setattr(bench_page, "measure_roof", partial(measure_roof, trial=0.01, span=1 << 20))


def test_the_page_is_written_and_says_how_to_write_it_again(tmp_path, capsys):
    path = tmp_path / "report.html"
    path.write_text("an older one")
    assert main(["bench", "digits", "--batch", "1,2", *QUICK, "--html", str(path)]) == 0
    page = path.read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    how = "--backend onnxruntime --precision fp32 --threads 1 --seconds 0.05 --processes 1"
    assert f"ganrt bench digits --batch 1,2 {how} --html {path}" in page
    assert "ganrt verify digits --run" in page
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]
    said = capsys.readouterr()
    assert "draw " in said.out  # the profile, in the terminal as well
    assert "engine " in said.out


def test_where_no_page_can_be_written_nothing_is_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Generator, "load", None)
    assert main(["bench", "digits", *QUICK, "--html", str(tmp_path / "absent" / "report.html")]) == 1
    assert f"Make the folder {tmp_path / 'absent'} first." in capsys.readouterr().err


def test_a_profile_is_part_of_the_json(tmp_path, tiny_bundle_path, capsys):
    assert main(["bench", str(tiny_bundle_path), "--batch", "3", *QUICK, "--profile", "--json"]) == 0
    out = capsys.readouterr().out
    (tmp_path / "r.json").write_text(out)
    (row,) = read(tmp_path / "r.json").rows
    assert row.profile.batch == 3
    assert row.profile.operations.nodes
    assert msgspec.json.decode(out, type=Report).roofs == []


def test_without_being_asked_nothing_is_profiled(tiny_bundle_path, capsys):
    assert main(["bench", str(tiny_bundle_path), *QUICK, "--json"]) == 0
    (row,) = msgspec.json.decode(capsys.readouterr().out, type=Report).rows
    assert row.profile is None


def test_ctrl_c_while_profiling_leaves_the_rows_and_the_page(tmp_path, tiny_bundle_path, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Generator, "profile", stop)
    path = tmp_path / "report.html"
    assert main(["bench", str(tiny_bundle_path), *QUICK, "--html", str(path), "--json"]) == 130
    report = msgspec.json.decode(capsys.readouterr().out, type=Report)
    assert report.interrupted
    assert report.rows[0].state == "ok"
    assert "Interrupted: these are partial results." in path.read_text("utf-8")


def test_sounds_and_tables_have_a_page_too(tmp_path, tiny_bundles):
    for name, shown in (("audio", "data:audio/wav"), ("table", 'id="operations"')):
        path = tmp_path / f"{name}.html"
        assert main(["bench", str(tiny_bundles[name]), *QUICK, "--html", str(path)]) == 0
        assert shown in path.read_text("utf-8")
