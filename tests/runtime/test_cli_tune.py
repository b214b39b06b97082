"""`ganrt tune`: what it prints, and that it speaks JSON."""

import json

import pytest

from ganrt.cli import main


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANRT_CACHE_DIR", str(tmp_path / "cache"))


def test_every_way_is_shown_with_its_times(tiny_bundle_path, capsys):
    assert main(["tune", str(tiny_bundle_path), "--seconds", "0.02"]) == 0
    said = capsys.readouterr().out
    assert "milliseconds a call" in said
    assert "onnxruntime" in said
    assert "openvino" in said
    assert "Remembered for later loads." in said


def test_json_names_the_best_and_every_cost(tiny_bundle_path, capsys):
    assert main(["tune", str(tiny_bundle_path), "--seconds", "0.02", "--precision", "fp32", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["best"] in report["costs"]
    assert report["costs"][report["best"]]["1"] == min(table["1"] for table in report["costs"].values())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seconds", "0"], "give a number above 0"),
        (["--backend", "cuda"], "There is no backend 'cuda'"),
        (["--form", "phases"], "has no form 'phases'; it has: plain"),
        (["--precision", "int8"], "holds no int8 graph"),
    ],
)
def test_what_cannot_be_is_one_sentence(tiny_bundle_path, capsys, words, sentence):
    assert main(["tune", str(tiny_bundle_path), *words]) != 0
    assert sentence in capsys.readouterr().err
